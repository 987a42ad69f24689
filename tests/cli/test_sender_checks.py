"""``explain`` checks the sender as the gateway does; ``deliver`` believes the relay."""

from sqlalchemy import select

from core.models import Mail
from core.words import Evidence
from tests.cli.conftest import Installation
from tests.intake.firm import a_firm
from tests.support.dns import key_record, name_server, signed

RAW = b"From: anna@muster.example\r\nSubject: Frage\r\n\r\nGuten Tag\r\n"
ENVELOPE = ("--mail-from", "anna@muster.example", "--rcpt", "vertrieb@example.org")
RELAY = {"SCHALTER_SMTP__AUTHSERV_ID": "mx.example.org"}
RESULTS = b"Authentication-Results: mx.example.org; dkim=pass header.d=muster.example\r\n"


def test_explain_asks_name_servers(small_installation: Installation) -> None:
    a_firm(small_installation.database)
    file = small_installation.folder / "a.eml"
    file.write_bytes(signed(RAW, "muster.example"))
    with name_server({("s._domainkey.muster.example", "TXT"): [key_record()]}) as server:
        env = {"SCHALTER_SMTP__NAME_SERVERS": f'["{server.address}"]'}
        outside = small_installation.run("explain", file, *ENVELOPE, "--peer", "9.9.9.9", **env)
        inside = small_installation.run("explain", file, *ENVELOPE, "--peer", "10.0.0.1", **env)
    assert "anna@muster.example: verified. Signed by the domain" in outside.stdout
    assert "anna@muster.example: neutral." in inside.stdout


def test_a_name_server_that_is_away_is_a_doubt(small_installation: Installation) -> None:
    a_firm(small_installation.database)
    file = small_installation.folder / "a.eml"
    file.write_bytes(RAW)
    with name_server({}) as server:
        server.failing |= {"_dmarc.muster.example", "muster.example"}
        env = {"SCHALTER_SMTP__NAME_SERVERS": f'["{server.address}"]'}
        told = small_installation.run("explain", file, *ENVELOPE, "--peer", "9.9.9.9", **env)
    assert "hold (sender-not-verified)" in told.stdout
    assert "name servers did not answer" in told.stdout


def test_deliver_believes_the_relay(installation: Installation) -> None:
    a_firm(installation.database)
    for header, expected in ((b"", Evidence.NEUTRAL), (RESULTS, Evidence.VERIFIED)):
        raw = header + RAW.replace(b"Frage", expected.value.encode())
        assert installation.run("deliver", *ENVELOPE, stdin=raw, **RELAY).exit_code == 0
        with installation.database.read() as session:
            mail = session.scalars(select(Mail).order_by(Mail.id.desc()).limit(1)).one()
            assert mail.evidence is expected
