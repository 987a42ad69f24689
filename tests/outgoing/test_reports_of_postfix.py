"""The reports of a real Postfix about mail of ours that it could not deliver."""

import smtplib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from core.mail.message import parse
from core.mail.reports import Action, read_report
from core.models import now
from core.outgoing.compose import Mailbox, compose
from core.outgoing.installation import Installation
from core.outgoing.outbox import Posting, bounce_address, letter_of
from core.secret_key import Keys, ensure_secret_key
from core.words import OutgoingKind
from tests.support.postfix import NoPostfix, run_postfix
from tests.support.processes import free_port, wait_until

REFUSALS = {
    "nobody@muster.example": "550 5.1.1 <nobody@muster.example>: gibt es nicht",
    "full@muster.example": "552-5.2.2 This mailbox\r\n552-5.2.2 is full,\r\n552 5.2.2 sorry",
    "plain@muster.example": "550 no",
    "jürgen@muster.example": "550 5.1.1 gibt es nicht",
}


class World:
    """The other mail servers: they refuse some recipients and keep what else they are given."""

    def __init__(self) -> None:
        self.mails: list[tuple[str | None, list[str], bytes]] = []

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Refuse a recipient or take it."""
        if address in REFUSALS:
            return REFUSALS[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep a message."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, content))
        return "250 2.0.0 Ok"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, int]]:
    """The other mail servers and the port that they listen on."""
    world, port = World(), free_port()
    controller = Controller(world, hostname="127.0.0.1", port=port, enable_SMTPUTF8=True)
    controller.start()
    yield world, port
    controller.stop()


@pytest.fixture(scope="module")
def relay(world: tuple[World, int]) -> Iterator[int]:
    """The port of a Postfix that passes everything on to the world."""
    settings = f"relayhost = [127.0.0.1]:{world[1]}\nsmtp_dns_support_level = disabled\n"
    try:
        # Not in pytest's folder, which Postfix's own account may not enter.
        with TemporaryDirectory() as folder, run_postfix(Path(folder), settings, "smtp") as port:
            yield port
    except NoPostfix as why:
        pytest.skip(f"Postfix in front of the world: {why}")


@pytest.mark.parametrize(
    ("recipient", "status", "said"),
    [
        ("nobody@muster.example", "5.1.1", "550 5.1.1 <nobody@muster.example>: gibt es nicht"),
        ("full@muster.example", "5.2.2", "552 5.2.2 This mailbox is full, sorry"),
        ("plain@muster.example", "5.0.0", "550 no"),
        ("jürgen@muster.example", "5.1.1", "550 5.1.1 gibt es nicht"),
    ],
)
def test_a_refused_mail_comes_back_to_its_own_address(
    relay: int, world: tuple[World, int], tmp_path: Path, recipient: str, status: str, said: str
) -> None:
    path = str(tmp_path / "secret.key")
    ensure_secret_key(path)
    installation = Installation(Keys(path), "https://hilfe.example.org", "mx.example.org")
    posting = Posting(
        kind=OutgoingKind.REPLY,
        sender=Mailbox("technik@example.org", "Technik"),
        to=(Mailbox(recipient, "Jürgen Nobody"),),
        subject="Grüße",
        text="Guten Tag",
        ticket_id=1,
    )
    mail_from = bounce_address(installation, posting, 7)
    options = ["SMTPUTF8", "BODY=8BITMIME"] if not recipient.isascii() else []
    with smtplib.SMTP("127.0.0.1", relay) as client:
        content = compose(letter_of(installation, posting, 7, now()))
        client.sendmail(mail_from, [recipient], content, options)
    wait_until(lambda: any(mail_from in to for _from, to, _raw in world[0].mails), "the report")
    (report_mail,) = [raw for _from, to, raw in world[0].mails if mail_from in to]
    report = read_report(parse(report_mail))
    assert report is not None
    (told,) = report.recipients
    assert (told.action, told.status, told.diagnostic) == (Action.FAILED, status, said)
    assert (told.address, told.original) == (recipient, recipient)
    assert told.hard
