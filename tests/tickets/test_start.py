"""Tickets that staff begin for a customer: who may, for whom, and what is sent."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, SchalterError
from core.mail.message import parse
from core.mail.uploads import Upload
from core.models import AuditEvent, CustomerUser, OutgoingMail, Queue, RawMail, Staff, Ticket
from core.outgoing.compose import MAX_SUBJECT
from core.outgoing.installation import Installation
from core.tickets.start import StartValues, start_ticket
from core.tickets.view import conversation, ticket_for_customer, ticket_for_staff
from core.words import Author, OutgoingKind, TicketState, Validity
from tests.tickets.world import World, a_world

FILE = Upload("plan.png", "image/png", b"\x89PNG\r\n\x1a\nxx")


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def start(
    session: Session,
    world: World,
    installation: Installation,
    login: str = "jonas",
    customer_user: str = "anna",
    queue: str = "Vertrieb",
    **values: Any,
) -> Ticket:
    staff = world.staff(session, login)
    asked = StartValues(
        customer_user_id=world.firm.customer_users.get(customer_user, 999),
        queue_id=world.firm.queues.get(queue, 999),
        **{"subject": "Ihr Anruf", "text": "Wie besprochen.", **values},
    )
    return start_ticket(session, installation, audit.staff_actor(staff), staff, asked)


def sent(session: Session) -> list[OutgoingMail]:
    statement = select(OutgoingMail).where(OutgoingMail.kind == OutgoingKind.REPLY)
    return list(session.scalars(statement.order_by(OutgoingMail.id)))


def test_a_ticket_whose_first_message_is_sent(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        ticket = start(session, world, installation, uploads=(FILE,), cc=("b@x.example",))
        public_id = ticket.public_id
    with database.read() as session:
        ticket = ticket_for_customer(session, world.access(session, "anna"), public_id)
        (article,) = conversation(session, ticket, internal=False).articles
        assert (article.author, article.text) == (Author.STAFF, "Wie besprochen.")
        assert [file.filename for file in article.attachments] == ["plan.png"]
        assert (ticket.subject, ticket.state) == ("Ihr Anruf", TicketState.WAITING)
        assert (ticket.requester, ticket.waiting_since) == ("anna@muster.example", None)
        assert ticket.owner_id == world.firm.staff["jonas"]
        assert ticket.customer_id == world.firm.customers["K-1000"]
        mail, copy = sent(session)
        assert (mail.recipient, copy.recipient) == ("anna@muster.example", "b@x.example")
        assert (mail.ticket_id, mail.article_id) == (ticket.id, article.id)
        message = parse(session.get_one(RawMail, mail.raw_id or 0).content)
        assert message.subject == f"[Ticket#{ticket.number}] Ihr Anruf"
        assert (message.in_reply_to, message.references) == ((), ())
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.action, event.object_id) == ("created", ticket.id)
        assert event.after is not None
        assert event.after["customer_user"] == "anna"


@pytest.mark.parametrize("why", ["not asked for", "no notices"])
def test_a_ticket_that_only_the_portal_shows(
    database: Database, world: World, installation: Installation, why: str
) -> None:
    with database.write() as session:
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        anna.notices = why != "no notices"
        session.flush()
        send = why != "not asked for"
        ticket = start(session, world, installation, send=send, uploads=(FILE,))
        assert ticket.state is TicketState.OPEN
        assert sent(session) == []
        assert ticket_for_customer(session, world.access(session, "anna"), ticket.public_id)
        with pytest.raises(Invalid) as caught:
            start(session, world, installation, send=send, cc=("b@x.example",))
        assert caught.value.field == "cc"


REFUSED: list[tuple[str, dict[str, Any], type[SchalterError], str | None]] = [
    # what, how it differs -> error, field
    ("a queue that jonas does not work", {"queue": "Technik"}, Invalid, "queue_id"),
    ("a queue that tina only reads", {"login": "tina"}, Invalid, "queue_id"),
    ("no queue", {"queue": "Keine"}, Invalid, "queue_id"),
    ("no account", {"customer_user": "niemand"}, Invalid, "customer_user"),
    ("an invalid account", {"customer_user": "gone"}, Invalid, "customer_user"),
    (
        "an account that only reads the queue",
        {"login": "root", "customer_user": "bert", "queue": "Technik"},
        Forbidden,
        None,
    ),
    (
        "an account to which the queue is closed",
        {"login": "root", "customer_user": "carol", "queue": "Rechnung"},
        Forbidden,
        None,
    ),
    ("no subject", {"subject": " \r\n"}, Invalid, "subject"),
    ("a long subject", {"subject": "x" * (MAX_SUBJECT + 1)}, Invalid, "subject"),
    ("no text", {"text": "\n"}, Invalid, "text"),
    ("a wrong copy", {"cc": ("x",)}, Invalid, "cc"),
    ("a copy to ourselves", {"cc": ("vertrieb@example.org",)}, Invalid, "cc"),
]


@pytest.mark.parametrize(("values", "error", "field"), [row[1:] for row in REFUSED])
def test_what_cannot_be_begun(
    sqlite_database: Database,
    installation: Installation,
    values: dict[str, Any],
    error: type[SchalterError],
    field: str | None,
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        with pytest.raises(error) as caught:
            start(session, world, installation, **values)
        assert getattr(caught.value, "field", None) == field
        assert sent(session) == []


def test_an_invalid_queue_and_an_account_that_became_invalid(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        session.get_one(Queue, world.firm.queues["Technik"]).valid = False
        session.get_one(CustomerUser, world.firm.customer_users["bert"]).valid = Validity.INVALID
        session.flush()
        with pytest.raises(Invalid) as caught:
            start(session, world, installation, "root", queue="Technik")
        assert caught.value.field == "queue_id"
        with pytest.raises(Invalid) as caught:
            start(session, world, installation, customer_user="bert")
        assert caught.value.field == "customer_user"
        assert session.scalars(select(Staff)).first() is not None


def test_the_subject_is_one_line(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        ticket = start(session, world, installation, subject="Eins\r\nBcc: x@y.example")
        assert ticket.subject == "Eins Bcc: x@y.example"
        (mail,) = sent(session)
        message = parse(session.get_one(RawMail, mail.raw_id or 0).content)
        assert message.header_values("bcc") == []
        assert ticket_for_staff(session, world.queues(session, "root"), ticket.public_id)
