"""Notices: who is told of a new message, what is in the mail, and when there is none."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy.orm import Session

from core.db import Database
from core.intake import submission
from core.intake.pipeline import take_in
from core.models import (
    Article,
    BouncingAddress,
    CustomerUser,
    Mail,
    OutgoingMail,
    Ticket,
    TicketMute,
    now,
)
from core.outgoing import caps
from core.outgoing.mutes import muting_of
from core.outgoing.notices import MAX_TEXT
from core.words import Author, Evidence, Flag, OutgoingKind, OutgoingState, Validity
from tests.outgoing.automatic import PORTAL, Office, an_office, text_of


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return an_office(database, tmp_path)


def told(office: Office, text: str = "Es geht wieder.\n\nGrüße") -> int:
    """Let Bert write in a ticket of Anna's, who sees her firm's; return Anna's notice."""
    ticket_id = office.open_ticket("Drucker")
    with office.database.write() as session:
        bert = session.get_one(CustomerUser, office.firm.customer_users["bert"])
        bert.sees_customer_tickets = True
        bert.first_name, bert.last_name = "Bert", "Muster"
        message = submission.reply(bert, session.get_one(Ticket, ticket_id), text, ())
        (receipt,) = take_in(session, [message])
        article_id = receipt.recipients[0].article_id
        assert article_id is not None, receipt
        session.get_one(Article, article_id).from_name = "Sparkasse"  # what a mail may claim
    return office.put(OutgoingKind.NOTICE, article_id=article_id, language="de")


def test_a_notice_says_who_wrote_what_and_how_to_answer(office: Office) -> None:
    outgoing_id = told(office)
    message = office.composed(outgoing_id)
    assert message["Subject"] == "[Ticket#100001] Drucker"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"].addresses[0].username.startswith("Vertrieb+t")
    text = text_of(message)
    assert text.startswith(
        "Bert Muster hat im Ticket 100001 geschrieben:\n\nEs geht wieder.\n\nGrüße\n\n"
    )
    assert "antworten Sie einfach auf diese E-Mail" in text
    assert f"Das Ticket im Portal: {PORTAL}/tickets/" in text
    assert "Sparkasse" not in text


def test_the_mute_link_of_a_notice_mutes_its_ticket(office: Office) -> None:
    outgoing_id = told(office)
    message = office.composed(outgoing_id)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip("<>")
    assert f"Keine E-Mails mehr zu diesem Ticket: {link}\n" in text_of(message)
    token = urlsplit(link).path.rpartition("/")[2]
    keys = office.installation.keys.ring.believed(now().date())
    with office.database.read() as session:
        muting = muting_of(session, keys, token)
        assert muting is not None
        assert (muting.customer_user_id, muting.number) == (
            office.firm.customer_users["anna"],
            100001,
        )
        mail = session.get_one(OutgoingMail, outgoing_id)
        assert mail.mail_from.startswith("Vertrieb+b")  # a report names the mail


def test_a_notice_in_english(office: Office) -> None:
    outgoing_id = told(office)
    with office.database.write() as session:
        session.get_one(OutgoingMail, outgoing_id).language = "en"
    assert text_of(office.composed(outgoing_id)).startswith("Bert Muster has written in ticket ")


def test_a_long_message_is_cut(office: Office) -> None:
    text = text_of(office.composed(told(office, "x" * (MAX_TEXT + 1))))
    assert "x" * MAX_TEXT + " […]" in text
    assert "x" * (MAX_TEXT + 1) not in text


def test_what_staff_wrote_is_told_with_their_name(office: Office) -> None:
    ticket_id = office.open_ticket("Drucker")
    with office.database.write() as session:
        article = Article(
            ticket_id=ticket_id,
            author=Author.STAFF,
            staff_id=office.firm.staff["jonas"],
            subject="Drucker",
            text="Wir kommen morgen.",
            visible=True,
            created_at=now(),
        )
        session.add(article)
        session.flush()
        article_id = article.id
    text = text_of(office.composed(office.put(OutgoingKind.NOTICE, article_id=article_id)))
    assert "hat im Ticket 100001 geschrieben:\n\nWir kommen morgen." in text


def test_nothing_of_a_mail_that_is_not_verified(office: Office) -> None:
    outgoing_id = told(office, "Überweisen Sie an evil.example")
    with office.database.write() as session:
        article = session.get_one(OutgoingMail, outgoing_id).article
        assert article is not None
        article.subject = "Kontosperre"
        session.get_one(Mail, article.mail_id).evidence = Evidence.NEUTRAL
    message = office.composed(outgoing_id)
    assert message["Subject"] == "[Ticket#100001] Neue Nachricht"
    assert text_of(message).startswith("Im Ticket 100001 gibt es eine neue Nachricht.\n\n___")
    for word in ("evil", "Kontosperre", "Bert", "Sparkasse"):
        assert word not in message.as_string() + text_of(message)


def test_who_may_only_read_is_not_asked_to_answer(office: Office) -> None:
    outgoing_id = told(office)
    with office.database.write() as session:
        mail = session.get_one(OutgoingMail, outgoing_id)
        queue = session.get_one(Ticket, mail.ticket_id).queue
        queue.valid = False
    assert "antworten Sie" not in text_of(office.composed(outgoing_id))


# When there is none

Change = Callable[[Session, Office, OutgoingMail], None]


def _muted(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.add(TicketMute(customer_user_id=mail.customer_user_id, ticket_id=mail.ticket_id))


def _no_notices(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.get_one(CustomerUser, mail.customer_user_id).notices = False


def _invalid_account(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.get_one(CustomerUser, mail.customer_user_id).valid = Validity.INVALID_TEMPORARILY


def _moved(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.get_one(Ticket, mail.ticket_id).queue_id = office.firm.queues["Rechnung"]


def _given_away(session: Session, office: Office, mail: OutgoingMail) -> None:
    ticket = session.get_one(Ticket, mail.ticket_id)
    ticket.customer_user_id = office.firm.customer_users["bert"]


def _split(session: Session, office: Office, mail: OutgoingMail) -> None:
    """The message went to a ticket of another customer's."""
    assert mail.article is not None
    ticket = mail.article.ticket
    other = Ticket(
        public_id="0" * 26,
        queue_id=ticket.queue_id,
        customer_id=office.firm.customers["K-2000"],
        requester="carol@acme.example",
        subject="Anderes",
        created_at=now(),
        changed_at=now(),
    )
    session.add(other)
    session.flush()
    mail.article.ticket_id = other.id


def _hidden(session: Session, office: Office, mail: OutgoingMail) -> None:
    assert mail.article is not None
    mail.article.visible = False


def _own(session: Session, office: Office, mail: OutgoingMail) -> None:
    assert mail.article is not None
    mail.article.customer_user_id = mail.customer_user_id


def _no_account(session: Session, office: Office, mail: OutgoingMail) -> None:
    mail.customer_user_id = None


def _other_address(session: Session, office: Office, mail: OutgoingMail) -> None:
    mail.recipient = mail.recipient_key = "frueher@muster.example"


def _bouncing(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.add(BouncingAddress(address_key=mail.recipient_key, bounces=3, last_at=now()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_muted, "The ticket is muted."),
        (_no_notices, "The account wants no mail about new answers."),
        (_invalid_account, "The account is invalid."),
        (_moved, "The account may not see the ticket."),
        (_given_away, "The account may not see the ticket."),
        (_split, "The account may not see the ticket."),
        (_hidden, "The message is not visible to the customer."),
        (_own, "It is the account's own message."),
        (_no_account, "There is no account to tell."),
        (_other_address, "The address is none of the account's any more."),
        (_bouncing, "Mail to this address came back several times."),
    ],
)
def test_a_change_before_it_is_sent_stops_it(office: Office, change: Change, why: str) -> None:
    outgoing_id = told(office)
    with office.database.write() as session:
        change(session, office, session.get_one(OutgoingMail, outgoing_id))
    assert office.send(outgoing_id) == why


@pytest.mark.parametrize(
    "flag", [Flag.SENDER_NOT_VERIFIED, Flag.AUTOMATIC, Flag.DELIVERY_REPORT, Flag.BURST]
)
def test_nobody_is_called_to_a_message_of_unknown_origin(office: Office, flag: Flag) -> None:
    outgoing_id = told(office)
    with office.database.write() as session:
        article = session.get_one(OutgoingMail, outgoing_id).article
        assert article is not None
        article.flag = flag
    assert office.send(outgoing_id) == "Nobody is told of such a message."


def test_two_robots_in_one_ticket_are_stopped(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "NOTICES_A_DAY", 3)
    outgoing_id = told(office)
    with office.database.read() as session:
        article_id = session.get_one(OutgoingMail, outgoing_id).article_id
    ids = [outgoing_id]
    ids += [office.put(OutgoingKind.NOTICE, article_id=article_id) for _n in range(3)]
    for each in ids[:3]:
        office.composed(each)
    assert office.send(ids[3]) == "The address had enough mail about this ticket in 24 hours."
    with office.database.write() as session:
        states = [session.get_one(OutgoingMail, each).state for each in ids]
        assert states == [*[OutgoingState.SENT] * 3, OutgoingState.SUPPRESSED]
        session.get_one(OutgoingMail, ids[0]).created_at -= caps.DAY
    office.composed(office.put(OutgoingKind.NOTICE, article_id=article_id))
