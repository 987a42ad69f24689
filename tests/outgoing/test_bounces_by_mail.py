"""Reports that come in as mail: they reach their outgoing mail, and open or reopen nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core.db import Database
from core.intake.incoming import Envelope, Incoming
from core.intake.pipeline import take_in
from core.mail.message import parse
from core.mail.reports import read_report
from core.models import Article, Delivery, OutgoingMail, Ticket, now
from core.outgoing.compose import Mailbox
from core.outgoing.installation import Installation
from core.outgoing.outbox import Posting, post
from core.secret_key import Keys, ensure_secret_key
from core.words import (
    DecisionKind,
    Flag,
    HeldState,
    OutgoingKind,
    OutgoingState,
    Protocol,
    TicketState,
)
from tests.intake.firm import a_firm
from tests.intake.mails import AT, a_mail
from tests.mail.report_corpus import raw_report, report_names

REPORTS = [name for name in report_names() if read_report(parse(raw_report(name))) is not None]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation with a key of its own."""
    path = str(tmp_path / "secret.key")
    ensure_secret_key(path)
    return Installation(Keys(path), "https://hilfe.example.org", "mx.example.org")


def a_sent_mail(database: Database, installation: Installation, *, ticket: bool = True) -> int:
    """Store a mail that was sent to Anna, for a closed ticket of hers or for none."""
    a_firm(database)
    ticket_id = None
    with database.write() as session:
        if ticket:
            take_in(session, [a_mail()])
            found = session.scalars(select(Ticket)).one()
            found.state, found.closed_at = TicketState.CLOSED, now()
            ticket_id = found.id
        session.execute(update(OutgoingMail).values(state=OutgoingState.CANCELLED))
        posting = Posting(
            kind=OutgoingKind.REPLY if ticket else OutgoingKind.INVITATION,
            sender=Mailbox("vertrieb@example.org"),
            to=(Mailbox("anna@muster.example"),),
            subject="Frage",
            text="Antwort",
            ticket_id=ticket_id,
        )
        (outgoing_id,) = post(session, installation, posting).outgoing_ids
        session.get_one(OutgoingMail, outgoing_id).state = OutgoingState.SENT
    return outgoing_id


def report_back(
    database: Database, installation: Installation, raw: bytes, recipient: str
) -> Delivery:
    """Let a report come in for an address; return what became of it."""
    envelope = Envelope("", (recipient,), Protocol.SMTP, "192.0.2.1")
    keys = installation.keys.ring.believed(AT.date())
    with database.write() as session:
        (receipt,) = take_in(session, [Incoming(envelope, raw, AT)], keys)
    assert receipt.reply.code == 250
    with database.read() as session:
        return session.scalars(select(Delivery).order_by(Delivery.id.desc()).limit(1)).one()


def outgoing(database: Database, outgoing_id: int) -> OutgoingMail:
    """Return an outgoing mail as it is stored."""
    with database.read() as session:
        return session.get_one(OutgoingMail, outgoing_id)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_any_server_reaches_its_mail(
    sqlite_database: Database, installation: Installation, name: str
) -> None:
    outgoing_id = a_sent_mail(sqlite_database, installation)
    mail = outgoing(sqlite_database, outgoing_id)
    report = read_report(parse(raw_report(name)))
    assert report is not None
    delivery = report_back(sqlite_database, installation, raw_report(name), mail.mail_from)
    assert delivery.decision is DecisionKind.APPEND_ARTICLE
    bounced = report.about("anna@muster.example").failed
    expected = OutgoingState.BOUNCED if bounced else OutgoingState.SENT
    assert outgoing(sqlite_database, outgoing_id).state is expected
    with sqlite_database.read() as session:
        ticket = session.scalars(select(Ticket)).one()  # no other was opened
        assert ticket.state is TicketState.CLOSED
        article = session.scalars(select(Article).order_by(Article.id.desc()).limit(1)).one()
        assert (article.flag, article.visible) == (Flag.DELIVERY_REPORT, False)
        waiting = select(func.count()).where(OutgoingMail.state == OutgoingState.WAITING)
        assert session.scalar(waiting) == 0  # nobody is answered


def test_a_report_about_a_mail_without_a_ticket(
    database: Database, installation: Installation
) -> None:
    outgoing_id = a_sent_mail(database, installation, ticket=False)
    mail = outgoing(database, outgoing_id)
    delivery = report_back(database, installation, raw_report("postfix"), mail.mail_from)
    assert (delivery.decision, delivery.ticket_id) == (DecisionKind.DISCARD, None)
    assert outgoing(database, outgoing_id).state is OutgoingState.BOUNCED


@pytest.mark.parametrize("change", [str.upper, str.title])
def test_the_case_of_the_address_does_not_matter(
    sqlite_database: Database, installation: Installation, change: Callable[[str], str]
) -> None:
    outgoing_id = a_sent_mail(sqlite_database, installation)
    recipient = change(outgoing(sqlite_database, outgoing_id).mail_from)
    report_back(sqlite_database, installation, raw_report("postfix"), recipient)
    assert outgoing(sqlite_database, outgoing_id).state is OutgoingState.BOUNCED


def test_a_report_without_our_token_is_held_and_changes_nothing(
    sqlite_database: Database, installation: Installation
) -> None:
    outgoing_id = a_sent_mail(sqlite_database, installation)
    mail = outgoing(sqlite_database, outgoing_id)
    local, _at, domain = mail.mail_from.partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    for recipient in (forged, "vertrieb@example.org", "vertrieb+b@example.org"):
        raw = raw_report("postfix").replace(b"4F1C2K0Zr7z3q@", recipient.encode())  # one each
        delivery = report_back(sqlite_database, installation, raw, recipient)
        assert (delivery.decision, delivery.held) == (DecisionKind.HOLD, HeldState.WAITING)
    assert outgoing(sqlite_database, outgoing_id).state is OutgoingState.SENT


def test_what_is_no_report_does_not_bounce_a_mail(
    sqlite_database: Database, installation: Installation
) -> None:
    outgoing_id = a_sent_mail(sqlite_database, installation)
    mail = outgoing(sqlite_database, outgoing_id)
    for name in set(report_names()) - set(REPORTS):
        report_back(sqlite_database, installation, raw_report(name), mail.mail_from)
    found = outgoing(sqlite_database, outgoing_id)
    assert changeable(found) == changeable(mail)
    with sqlite_database.read() as session:
        assert session.scalars(select(Ticket)).one().state is TicketState.CLOSED


def changeable(mail: OutgoingMail) -> tuple[object, ...]:
    """Return what a report could change."""
    return mail.state, mail.bounce, mail.bounced_at, mail.settled_at
