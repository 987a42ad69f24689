"""Who really sent it: what the gateway believes of others, and what it checks itself."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from core.config import SmtpSection
from core.mail.authentication.check import BUSY
from core.mail.authentication.findings import chips
from core.models import Mail
from core.words import DecisionKind, Evidence
from gateway.limits import Limits
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, HELLO, Running
from tests.support.arc import arc_sealed
from tests.support.dns import NameServer, key_record, name_server, signed

RELAY = "mx.example.org"
SPOOFED = "S: 550 5.7.26 Message refused: the sender could not be authenticated"


def send(running: Running, header: str, reply: str = ACCEPTED) -> None:
    """Send a mail of Anna's with these fields on top, in a session of its own."""
    fields = "".join(f"    C: {line}\n" for line in header.splitlines())
    running.play(
        f"""{HELLO}{ENVELOPE}{DATA}
{fields}    C: From: anna@muster.example
    C: Subject: Frage
    C:
    C: Guten Tag
    C: .
    {reply}
    C: QUIT
    S: 221 2.0.0 Bye
    """
    )


def evidence(running: Running) -> Evidence:
    """Return the evidence of the mail that was taken in last."""
    with running.database.read() as session:
        return session.scalars(select(Mail.evidence).order_by(Mail.id.desc()).limit(1)).one()


def results(text: str, name: str = RELAY) -> str:
    """Return the field that a relay writes."""
    return f"Authentication-Results: {name}; {text}"


RECEIVED = "Received: from client.example by mx.example.org; Wed, 1 Jan 2025 00:00:00 +0000"
PASS = "dkim=pass header.d=muster.example"
TRUSTED = [
    ("none", "", Evidence.NEUTRAL),
    ("signed", results(PASS), Evidence.VERIFIED),
    ("below its Received", f"{RECEIVED}\n{results(PASS)}", Evidence.VERIFIED),
    ("another name", results(PASS, "mx.evil.example"), Evidence.NEUTRAL),
    ("further below", f"{RECEIVED}\n{RECEIVED}\n{results(PASS)}", Evidence.NEUTRAL),
    ("somebody else's", results("dkim=pass header.d=esp.example"), Evidence.NEUTRAL),
    (
        "suspected",
        results("dmarc=fail (p=quarantine) header.from=muster.example"),
        Evidence.FAILED,
    ),
]


@pytest.mark.parametrize(
    ("header", "expected"), [r[1:] for r in TRUSTED], ids=[r[0] for r in TRUSTED]
)
def test_what_a_relay_found(run: Run, header: str, expected: Evidence) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, header)
    assert evidence(running) is expected


def test_a_relay_says_that_it_is_forged(run: Run) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, results("dmarc=fail (p=reject) header.from=muster.example"), SPOOFED)
    assert evidence(running) is Evidence.FAILED
    assert running.tickets() == 0


@pytest.mark.parametrize(
    "options",
    [{"authserv_id": RELAY}, {"trusted_relays": ["127.0.0.1"]}],
    ids=["from outside", "without a name to look for"],
)
def test_nobody_else_is_believed(run: Run, options: dict[str, object]) -> None:
    """Threat I6: a field that anybody can write."""
    running = run(**options)
    send(running, results(PASS))
    assert evidence(running) is Evidence.NEUTRAL


def test_what_was_found_is_stored(run: Run) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, results(f"spf=fail smtp.mailfrom=esp.example; {PASS}"))
    with running.database.read() as session:
        stored = session.scalars(select(Mail.authentication)).one()
    assert stored == {
        "source": "relay",
        "spf": ["fail", "esp.example"],
        "dkim": [["pass", "muster.example", ""]],
        "dmarc": None,
        "problem": "",
        "arc": None,
    }


# Our own check

ZONE = {
    ("muster.example", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"'],
    ("s._domainkey.muster.example", "TXT"): [key_record()],
    ("esp.example", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"'],
}
RECORD = ("_dmarc.muster.example", "TXT")
MAIL = b"From: anna@muster.example\r\nSubject: Frage\r\n\r\nGuten Tag\r\n"


@pytest.fixture
def server() -> Iterator[NameServer]:
    with name_server(ZONE) as running:
        yield running


@pytest.fixture
def checking(run: Run, server: NameServer) -> Running:
    """A gateway that checks the mail of everybody, the tests too."""
    return run(sender_checks="all", name_servers=[server.address], authserv_id=RELAY)


def submit(
    running: Running,
    raw: bytes,
    reply: str = ACCEPTED,
    mail_from: str = "anna@other.example",
    to: str = "vertrieb@example.org",
) -> None:
    """Send these bytes in a session of its own."""
    lines = "".join(f"    C: {line}\n" for line in raw.decode().removesuffix("\r\n").split("\r\n"))
    running.play(
        f"""{HELLO}
    C: MAIL FROM:<{mail_from}>
    S: 250 2.1.0 OK
    C: RCPT TO:<{to}>
    S: 250 2.1.5 OK
{DATA}{lines}    C: .
    {reply}
    """
    )


def test_a_signature_of_the_domain(checking: Running) -> None:
    submit(checking, signed(MAIL, "muster.example"))
    assert evidence(checking) is Evidence.VERIFIED


def test_a_signature_that_covers_a_part(checking: Running) -> None:
    submit(checking, signed(MAIL, "muster.example", length=True) + b"und mehr\r\n")
    assert evidence(checking) is Evidence.NEUTRAL


def test_a_replayed_mail(checking: Running) -> None:
    """A second delivery of signed bytes under the same envelope makes no second ticket."""
    raw = signed(MAIL, "muster.example")
    submit(checking, raw)
    submit(checking, raw)
    assert checking.tickets() == 1
    assert evidence(checking) is Evidence.VERIFIED


def test_a_mail_replayed_to_another_queue(checking: Running) -> None:
    """DKIM does not cover the envelope: it is Anna's text, and filed where she may write."""
    raw = signed(MAIL, "muster.example")
    submit(checking, raw)
    submit(checking, raw, to="technik@example.org")
    submit(checking, raw, to="rechnung@example.org")
    submit(checking, raw, to="technik@example.org")
    assert [(each.decision, each.reason) for each in checking.deliveries()[:3]] == [
        (DecisionKind.OPEN_TICKET, "allowed"),
        (DecisionKind.OPEN_TICKET, "allowed"),
        (DecisionKind.HOLD, "queue-forbidden"),
    ]
    assert checking.tickets() == 2
    assert evidence(checking) is Evidence.VERIFIED


def test_a_replayed_mail_with_another_subject(checking: Running) -> None:
    submit(checking, signed(MAIL, "muster.example").replace(b"Frage", b"Antwort"))
    assert evidence(checking) is Evidence.NEUTRAL


@pytest.mark.parametrize(
    "header",
    [
        results(PASS, f"({RELAY}) {RELAY}"),
        results(PASS, f'"{RELAY}"'),
        results(PASS, RELAY.upper()),
        f"{RECEIVED}\n{results(PASS)}",
        results(f"dkim=none ({PASS}); {PASS}"),
    ],
    ids=["comment", "quoted", "upper case", "below Received", "comment with a result"],
)
def test_tricks_with_results_from_outside(checking: Running, header: str) -> None:
    """Threat I6: however it is written, nobody outside is believed."""
    submit(checking, header.replace("\n", "\r\n").encode() + b"\r\n" + MAIL)
    assert evidence(checking) is Evidence.NEUTRAL


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (results(f"dkim=none ({PASS})"), Evidence.NEUTRAL),
        (results(PASS, f"({RELAY}) mx.evil.example"), Evidence.NEUTRAL),
        (results(PASS, f'"{RELAY}"'), Evidence.NEUTRAL),
        (results(PASS, RELAY.upper()), Evidence.VERIFIED),
        (results(PASS, "mx.evil.example") + "\n" + results(PASS), Evidence.NEUTRAL),
    ],
    ids=["result in a comment", "name in a comment", "quoted name", "upper case", "not on top"],
)
def test_tricks_with_results_through_a_relay(run: Run, header: str, expected: Evidence) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, header)
    assert evidence(running) is expected


def test_a_server_of_the_domain(checking: Running) -> None:
    submit(checking, MAIL, mail_from="bounce@muster.example")
    assert evidence(checking) is Evidence.VERIFIED


def test_a_server_of_somebody_else(checking: Running) -> None:
    """Threat I8: the same provider sends for others, too."""
    submit(checking, MAIL, mail_from="bounce@esp.example")
    assert evidence(checking) is Evidence.NEUTRAL


def test_two_senders(checking: Running) -> None:
    raw = signed(MAIL, "muster.example", include_headers=[b"from"])
    submit(checking, b"From: ceo@muster.example\r\n" + raw)
    assert evidence(checking) is Evidence.FAILED


def test_results_that_a_stranger_writes(checking: Running) -> None:
    submit(checking, results(PASS).encode() + b"\r\n" + MAIL)
    assert evidence(checking) is Evidence.NEUTRAL


@pytest.mark.parametrize(
    ("policy", "reply", "expected"),
    [
        ("none", ACCEPTED, Evidence.NEUTRAL),
        ("quarantine", ACCEPTED, Evidence.FAILED),
        ("reject", SPOOFED, Evidence.FAILED),
    ],
)
def test_what_a_domain_asks_for(
    checking: Running, server: NameServer, policy: str, reply: str, expected: Evidence
) -> None:
    server.zone[RECORD] = [f'"v=DMARC1; p={policy}"']
    submit(checking, MAIL, reply)
    assert evidence(checking) is expected
    assert checking.tickets() == (1 if policy == "none" else 0)


def test_name_servers_that_do_not_answer(checking: Running, server: NameServer) -> None:
    server.failing.add(RECORD[0])
    submit(checking, MAIL)
    with checking.database.read() as session:
        mail = session.scalars(select(Mail)).one()
    assert mail.evidence is Evidence.NEUTRAL
    assert "name servers" in mail.evidence_why


def test_too_much_to_check(run: Run, server: NameServer) -> None:
    """What cannot be checked in time is neutral, and never lost."""
    server.silent.add(RECORD[0])
    limits = Limits(checks=1, check_waiting_seconds=0.1, check_seconds=0.2)
    running = run(limits=limits, sender_checks="all", name_servers=[server.address])
    submit(running, MAIL)
    submit(running, MAIL.replace(b"Frage", b"Zweite"))
    assert running.tickets() == 2
    with running.database.read() as session:
        assert set(session.scalars(select(Mail.evidence_why))) == {BUSY}


@pytest.mark.parametrize(
    ("checks", "peer", "trusted", "expected"),
    [
        ("direct", "203.0.114.1", False, True),
        ("direct", "2a00:1450::1", False, True),
        ("direct", "203.0.114.1", True, False),
        ("direct", "127.0.0.1", False, False),
        ("direct", "10.0.0.1", False, False),
        ("direct", "fd00::1", False, False),
        ("direct", "", False, False),
        ("all", "10.0.0.1", False, True),
        ("all", "10.0.0.1", True, False),
        ("off", "203.0.114.1", False, False),
    ],
)
def test_whose_mail_is_checked(checks: str, peer: str, trusted: bool, expected: bool) -> None:
    section = SmtpSection.model_validate({"sender_checks": checks})
    assert section.checks_sender(peer, trusted=trusted) is expected


def test_a_list_whose_seals_are_believed(run: Run, server: NameServer) -> None:
    """From the configuration to the verdict and what staff see; without it the mail is forged."""
    server.zone[RECORD] = ['"v=DMARC1; p=reject"']
    server.zone[("s._domainkey.list.example", "TXT")] = [key_record()]
    options = {"sender_checks": "all", "name_servers": [server.address]}
    sealed = arc_sealed(MAIL, "list.example", PASS)
    submit(run(**options), sealed, SPOOFED)
    believing = run(**options, arc_sealers=["List.Example"])
    submit(believing, arc_sealed(MAIL, "evil.example", PASS), SPOOFED)
    submit(believing, sealed.replace(b"Guten", b"Schlechten"), SPOOFED)
    assert believing.tickets() == 0
    submit(believing, sealed)
    assert believing.tickets() == 1
    with believing.database.read() as session:
        mail = session.scalars(select(Mail).order_by(Mail.id.desc()).limit(1)).one()
    assert (mail.evidence, "ARC" in mail.evidence_why) == (Evidence.VERIFIED, True)
    shown = [(each.method, each.detail) for each in chips(mail.authentication)]
    assert shown[-2:] == [("ARC", "list.example"), ("ARC: DKIM", "muster.example")]


def test_sealers_in_the_configuration() -> None:
    section = SmtpSection.model_validate({"arc_sealers": ["Google.com.", "m\u00fcller.example"]})
    assert section.arc_sealers == ["google.com", "xn--mller-kva.example"]
    for wrong in ("", "a b", "@list.example", "*.example"):
        with pytest.raises(ValidationError, match="must be a domain"):
            SmtpSection.model_validate({"arc_sealers": [wrong]})


def test_name_servers_in_the_configuration() -> None:
    section = SmtpSection.model_validate({"name_servers": ["192.0.2.1", "::1", "[::1]:5353"]})
    assert section.name_server_addresses == [("192.0.2.1", 53), ("::1", 53), ("::1", 5353)]
    for wrong in ("dns.example", "192.0.2.1:x", "192.0.2.1:99999", ""):
        with pytest.raises(ValidationError, match="IP address"):
            SmtpSection.model_validate({"name_servers": [wrong]})
