"""``schalter deliver``: the same pipeline, and exit statuses that a mail server understands."""

from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import func, select

from core.cli.mailfiles import FoundMessage, read_mbox
from core.models import Delivery, Mail, RawMail, Ticket
from core.words import HeldState
from tests.cli.conftest import Installation, one_line
from tests.intake.firm import a_firm
from tests.sources.crm import ANNA as CRM_ANNA
from tests.sources.crm import Crm

ANNA = ("deliver", "--mail-from", "anna@muster.example", "--rcpt")
MAIL = (
    b"From: Anna <anna@muster.example>\nTo: vertrieb@example.org\nSubject: Frage\n"
    b"Message-ID: <1@muster.example>\n\nBitte rufen Sie an.\n"
)
SEPARATOR = b"From anna@muster.example Tue Nov 24 10:00:00 2026\n"


def a_mail(number: int) -> bytes:
    """Return a mail that is like no other."""
    return MAIL.replace(b"<1@", f"<{number}@".encode())


def count(installation: Installation, model: type) -> int:
    """Return the number of rows."""
    with installation.database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_piped_mail_opens_a_ticket(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    result = installation.run(*ANNA, "vertrieb@example.org", stdin=SEPARATOR + MAIL)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("standard input: 250 2.0.0 Accepted as ")
    assert result.stdout.endswith(": vertrieb@example.org: open-ticket 100001 (allowed)\n")
    with installation.database.read() as session:
        mail = session.scalars(select(Mail)).one()
        assert (mail.protocol, mail.trusted, mail.mail_from) == (
            "deliver", True, "anna@muster.example",
        )  # fmt: skip
        assert session.scalars(select(RawMail.content)).one() == MAIL


def test_json_is_a_receipt(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    told = installation.json(
        *ANNA, "vertrieb@example.org", "--rcpt", "rechnung@example.org", stdin=MAIL
    )
    (message,) = told["messages"]
    assert message["reply"] == f"250 2.0.0 Accepted as {message['reference']}"
    assert (message["source"], message["number"]) == ("standard input", None)
    assert (message["subject"], message["defects"]) == ("Frage", [])
    assert [
        (part["recipient"], part["decision"], part["reason"], part["ticket"])
        for part in message["recipients"]
    ] == [
        ("vertrieb@example.org", "open-ticket", "allowed", 100001),
        ("rechnung@example.org", "hold", "queue-forbidden", None),
    ]


def test_delivering_again_makes_no_second_ticket(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    first = installation.json(*ANNA, "vertrieb@example.org", stdin=MAIL)["messages"][0]
    second = installation.json(*ANNA, "vertrieb@example.org", stdin=MAIL)["messages"][0]
    assert second["reference"] == first["reference"]
    assert second["recipients"][0]["duplicate"] is True
    assert count(installation, Ticket) == 1


# What is delivered to whom, the exit status, and how the one line on stderr begins.
STATUSES = [
    (MAIL, "rechnung@example.org", 0, ""),
    (MAIL, "nobody@example.org", 67, "schalter: 5.1.1 No such address here"),
    (MAIL.replace(b"anna@", b"x@"), "technik@example.org", 0, ""),
    (
        b"Received: by x\n" * 51 + MAIL,
        "vertrieb@example.org",
        77,
        "schalter: 5.4.6 Message refused: too many hops",
    ),
    (MAIL + b"x" * 20_000, "vertrieb@example.org", 77, "schalter: 5.3.4 Message too big"),
    (b"", "vertrieb@example.org", 0, ""),
    (b"\0" * 100, "vertrieb@example.org", 0, ""),
]


@pytest.mark.parametrize(("raw", "recipient", "status", "told"), STATUSES, ids=lambda v: str(v)[:9])
def test_the_status_tells_what_became_of_it(
    raw: bytes, recipient: str, status: int, told: str, small_installation: Installation
) -> None:
    a_firm(small_installation.database, sender_policy="open")
    result = small_installation.run(
        *ANNA, recipient, stdin=raw, SCHALTER_SMTP__MAX_MESSAGE_BYTES="15000"
    )
    assert result.exit_code == status, result.output
    assert result.stderr.startswith(told)
    assert len(result.stderr.splitlines()) == bool(told)


def test_one_allowed_recipient_is_enough_as_with_smtp(small_installation: Installation) -> None:
    a_firm(small_installation.database, sender_policy="open")
    recipients = ("nobody@example.org", "--rcpt", "vertrieb@example.org")
    assert small_installation.run(*ANNA, *recipients, stdin=MAIL).exit_code == 0


def test_files_and_an_mbox_are_told_apart(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    (installation.folder / "one.eml").write_bytes(a_mail(1))
    (installation.folder / "many.mbox").write_bytes(
        SEPARATOR + a_mail(2) + b"\n" + SEPARATOR + a_mail(3) + b"\n"
    )
    told = installation.json(
        *ANNA, "vertrieb@example.org",
        installation.folder / "one.eml", installation.folder / "many.mbox",
    )  # fmt: skip
    assert [(Path(each["source"]).name, each["number"]) for each in told["messages"]] == [
        ("one.eml", None), ("many.mbox", 1), ("many.mbox", 2),
    ]  # fmt: skip
    with installation.database.read() as session:
        assert set(session.scalars(select(RawMail.content))) == {a_mail(1), a_mail(2), a_mail(3)}


def test_a_broken_message_in_an_mbox_hurts_no_other(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    broken = b"From: anna@muster.example\nX: " + b"a" * 100_000 + b"\nSubject: Broken\n\nText\n"
    mails = (a_mail(1), broken, b"no header at all\n", a_mail(2))
    mbox = installation.folder / "box.mbox"
    mbox.write_bytes(b"".join(SEPARATOR + mail + b"\n" for mail in mails))
    result = installation.run(*ANNA, "vertrieb@example.org", mbox)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert [line.partition(": ")[0].rpartition(", ")[2] for line in lines] == [
        "message 1", "message 2", "message 3", "message 4",
    ]  # fmt: skip
    assert "too long" in lines[1]
    assert "no From field" in lines[2]
    assert count(installation, Delivery) == 4
    assert count(installation, RawMail) == 4
    with installation.database.read() as session:
        held = session.scalars(select(Delivery).where(Delivery.held == HeldState.WAITING)).all()
        filed = session.scalars(select(Delivery).where(Delivery.ticket_id.is_not(None))).all()
    assert len(held) + len(filed) == 4


def test_many_messages_are_taken_in_in_batches(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open", burst_tickets=1000)
    mbox = installation.folder / "box.mbox"
    mbox.write_bytes(b"".join(SEPARATOR + a_mail(n) + b"\n" for n in range(150)))
    assert len(installation.json(*ANNA, "vertrieb@example.org", mbox)["messages"]) == 150
    assert count(installation, Ticket) == 150


@pytest.mark.parametrize(
    ("name", "told"),
    [("none.eml", "no such file or directory"), ("", "is a directory; name the files in it")],
)
def test_a_file_that_cannot_be_read_stops_all(
    name: str, told: str, small_installation: Installation
) -> None:
    a_firm(small_installation.database, sender_policy="open")
    (small_installation.folder / "one.eml").write_bytes(MAIL)
    result = small_installation.run(
        *ANNA, "vertrieb@example.org",
        small_installation.folder / "one.eml", small_installation.folder / name,
    )  # fmt: skip
    assert result.exit_code == 66
    assert one_line(result).endswith(told)
    assert count(small_installation, Mail) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("deliver", "--rcpt", "vertrieb@example.org"),
        ("deliver", "--mail-from", "a@b.example"),
        (*ANNA, "nobody"),
        ("deliver", "--mail-from", "a b@c.example", "--rcpt", "vertrieb@example.org"),
        (*ANNA, "a@b.example", "--unknown"),
    ],
    ids=str,
)
def test_wrong_use_is_status_two(
    arguments: tuple[str, ...], small_installation: Installation
) -> None:
    assert small_installation.run(*arguments, stdin=MAIL).exit_code == 2


@pytest.mark.parametrize("mail_from", ["", "<>"])
def test_the_null_reverse_path(mail_from: str, small_installation: Installation) -> None:
    a_firm(small_installation.database, sender_policy="open")
    result = small_installation.run(
        "deliver", "--mail-from", mail_from, "--rcpt", "<vertrieb@example.org>", stdin=MAIL
    )
    assert result.exit_code == 0, result.output
    with small_installation.database.read() as session:
        assert session.scalars(select(Mail.mail_from)).one() == ""


def test_any_doubt_of_ours_is_try_again(small_installation: Installation) -> None:
    """A mail server must keep the mail: whatever the reason, it is no refusal."""
    for env in (
        {"SCHALTER_DATABASE__URL": f"sqlite:///{small_installation.folder}/none.db"},
        {"SCHALTER_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none"},
        {"SCHALTER_DATABASE__URL": "nonsense"},
        {"SCHALTER_SMTP__LISTN": "127.0.0.1:25"},
    ):
        result = small_installation.run(*ANNA, "vertrieb@example.org", stdin=MAIL, **env)
        assert result.exit_code == 75, result.output
        assert one_line(result).startswith("schalter: ")


# Text of an mbox, and what its messages are.
MBOXES = [
    (b"", []),
    (SEPARATOR, [b""]),
    (SEPARATOR + b"A: 1\n\nx\n\n" + SEPARATOR + b"B: 1\n\ny\n\n", [b"A: 1\n\nx\n", b"B: 1\n\ny\n"]),
    (SEPARATOR + b"A: 1\n\nFrom here on\n", [b"A: 1\n\nFrom here on\n"]),
    (SEPARATOR + b"A: 1\n\n\nFrom here\n", [b"A: 1\n\n\nFrom here\n"]),
    (SEPARATOR + b"A: 1\n\nx\n" + SEPARATOR + b"y\n", [b"A: 1\n\nx\n" + SEPARATOR + b"y\n"]),
    (SEPARATOR + b"A: 1\n\n>From x\n>>From y\n", [b"A: 1\n\nFrom x\n>From y\n"]),
    (b"A: 1\n\nx\n\n" + SEPARATOR + b"B: 1\n\ny", [b"A: 1\n\nx\n", b"B: 1\n\ny"]),
    (
        SEPARATOR.replace(b"\n", b"\r\n") + b"A: 1\r\n\r\nx\r\n\r\n" + SEPARATOR + b"B: 1\n",
        [b"A: 1\r\n\r\nx\r\n", b"B: 1\n"],
    ),
    (SEPARATOR + b"x" * 500 + b"\n\n" + SEPARATOR + b"B: 1\n", [None, b"B: 1\n"]),
    (SEPARATOR + b"x" * 200, [b"x" * 200]),
    (SEPARATOR + b"x" * 199 + b"\n\n", [b"x" * 199 + b"\n"]),
    (SEPARATOR + b"x" * 201, [None]),
]


@pytest.mark.parametrize(("text", "messages"), MBOXES, ids=range(len(MBOXES)))
def test_an_mbox_is_split(text: bytes, messages: list[bytes | None], tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(text)
    with (tmp_path / "box").open("rb") as opened:
        assert list(read_mbox("box", opened, 200)) == [
            FoundMessage("box", number, raw) for number, raw in enumerate(messages, 1)
        ]


def test_standard_input_is_never_split(small_installation: Installation) -> None:
    """Who writes a text that looks like a separator must not send two mails."""
    a_firm(small_installation.database, sender_policy="open")
    raw = SEPARATOR + MAIL + b"\n" + SEPARATOR + b"From: bert@muster.example\n\nForged\n"
    assert small_installation.run(*ANNA, "vertrieb@example.org", stdin=raw).exit_code == 0
    assert count(small_installation, Mail) == 1
    result = small_installation.run(*ANNA, "vertrieb@example.org", "--mbox", stdin=raw)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2


class TestCustomerSources:
    """Mail from somebody whom only a customer source knows."""

    @pytest.fixture
    def _configured(self, installation: Installation, crm: Crm) -> None:
        a_firm(installation.database, sender_policy="open")
        crm.hold(CRM_ANNA | {"login": "nina", "mail": "nina@muster.example"})
        installation.file(
            "schalter.toml",
            f"""
            [[customer_sources]]
            name = "crm"
            kind = "sql"
            when_away = "defer"
            url = "{crm.url}"
            table = "Kunden Benutzer"
            columns = {{ key = "id", login = "login", customer_number = "Kunden#", email = "mail" }}
            """,
        )

    def deliver(self, installation: Installation) -> Result:
        """Deliver one of Nina's mails."""
        return installation.run(
            "deliver", "--mail-from", "nina@muster.example", "--rcpt", "vertrieb@example.org",
            stdin=MAIL.replace(b"anna@", b"nina@"),
            SCHALTER_CONFIG=str(installation.folder / "schalter.toml"),
        )  # fmt: skip

    @pytest.mark.usefixtures("_configured")
    def test_is_filed(self, installation: Installation) -> None:
        result = self.deliver(installation)
        assert result.exit_code == 0, result.output
        assert "open-ticket 100001 (allowed)" in result.stdout

    @pytest.mark.usefixtures("_configured")
    def test_comes_again_while_the_source_is_away(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        (tmp_path / "crm.db").rename(tmp_path / "gone.db")
        result = self.deliver(installation)
        assert result.exit_code == 75, result.output
        assert "451 4.3.0" in result.stdout
        assert "defer (source-away)" in result.stdout
        assert count(installation, Mail) == 0
        (tmp_path / "gone.db").rename(tmp_path / "crm.db")
        assert self.deliver(installation).exit_code == 0
