"""What staff and customers do with a ticket: who may, what it changes, what the audit log says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import customer_user_access
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, SchalterError, Stale
from core.intake import submission
from core.intake.pipeline import take_in
from core.models import (
    Article,
    AuditEvent,
    CustomerGroup,
    CustomerUser,
    Group,
    Queue,
    Staff,
    Ticket,
    TicketLink,
)
from core.organisation import load_organisation
from core.tickets.notes import add_note
from core.tickets.view import ticket_for_customer
from core.tickets.work import (
    TicketValues,
    assign_to_account,
    change_ticket,
    close_by_customer,
    link,
    move_hides,
    ticket_values,
    unlink,
)
from core.tickets.writing import MAX_WRITTEN
from core.words import Author, Flag, FollowUp, Priority, TicketState, Validity
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail
from tests.tickets.world import World, a_world


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def change(
    session: Session, world: World, login: str, name: str, version: int | None = None, **new: Any
) -> Ticket:
    """Let a member of staff change a ticket in what differs."""
    staff, ticket = world.staff(session, login), world.ticket(session, name)
    wanted = replace(ticket_values(ticket), **new)
    return change_ticket(
        session,
        audit.staff_actor(staff, "192.0.2.7"),
        staff,
        ticket.public_id,
        wanted,
        ticket.version if version is None else version,
    )


def last_event(session: Session) -> AuditEvent:
    session.flush()
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert event is not None
    return event


def test_a_change_and_its_audit_event(database: Database, world: World) -> None:
    with database.write() as session:
        before = world.ticket(session, "anna-sales")
        version, changed_at = before.version, before.changed_at
        ticket = change(
            session,
            world,
            "jonas",
            "anna-sales",
            state=TicketState.OPEN,
            priority=Priority.HIGH,
            owner_id=world.firm.staff["jonas"],
        )
        assert (ticket.version, ticket.changed_at > changed_at) == (version + 1, True)
        event = last_event(session)
        assert (event.action, event.object_kind, event.object_id) == (
            "changed",
            "ticket",
            ticket.id,
        )
        assert (event.actor_name, event.peer) == ("jonas", "192.0.2.7")
        assert event.before == {"state": "new", "priority": "normal", "owner_id": None}
        assert event.after == {"state": "open", "priority": "high", "owner_id": "jonas"}


def test_nothing_changed_is_no_change(database: Database, world: World) -> None:
    with database.write() as session:
        event, version = last_event(session).id, world.ticket(session, "anna-sales").version
        assert change(session, world, "jonas", "anna-sales").version == version
        assert last_event(session).id == event


def test_the_second_of_two_gets_stale(database: Database, world: World) -> None:
    with database.write() as session:
        version = world.ticket(session, "anna-sales").version
        change(session, world, "jonas", "anna-sales", version, priority=Priority.LOW)
        with pytest.raises(Stale):
            change(session, world, "root", "anna-sales", version, priority=Priority.HIGH)
        assert world.ticket(session, "anna-sales").priority is Priority.LOW


def test_a_customers_reply_makes_a_form_stale(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        version = ticket.version
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        take_in(session, [submission.reply(anna, ticket, "Noch etwas")])
        with pytest.raises(Stale):
            change(session, world, "jonas", "anna-sales", version, state=TicketState.CLOSED)


ATTEMPTS: list[tuple[str, str, str, dict[str, object], type[SchalterError], str | None]] = [
    # what, who, ticket, change by names -> error, field
    ("another group's ticket", "jonas", "anna-support", {"priority": Priority.LOW}, NotFound, None),
    ("only read", "tina", "anna-sales", {"priority": Priority.LOW}, Forbidden, None),
    ("to a foreign queue", "jonas", "anna-sales", {"queue_id": "Technik"}, Invalid, "queue_id"),
    ("to no queue", "root", "anna-sales", {"queue_id": 999}, Invalid, "queue_id"),
    ("an owner elsewhere", "root", "anna-support", {"owner_id": "jonas"}, Invalid, "owner_id"),
    ("an owner who only reads", "root", "anna-sales", {"owner_id": "tina"}, Invalid, "owner_id"),
    ("no such owner", "root", "anna-sales", {"owner_id": 999}, Invalid, "owner_id"),
]


@pytest.mark.parametrize(
    ("login", "name", "new", "error", "field"),
    [row[1:] for row in ATTEMPTS],
    ids=[row[0] for row in ATTEMPTS],
)
def test_what_may_not_be_changed(
    sqlite_database: Database,
    login: str,
    name: str,
    new: dict[str, object],
    error: type[SchalterError],
    field: str | None,
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        ids = {
            **world.firm.queues,
            **{member.login: member.id for member in session.scalars(select(Staff))},
        }
        values = {key: ids.get(value, value) for key, value in new.items()}
        before = ticket_values(world.ticket(session, name))
        with pytest.raises(error) as caught:
            change(session, world, login, name, **values)
        assert getattr(caught.value, "field", None) == field
        session.expire_all()
        assert ticket_values(world.ticket(session, name)) == before


def test_an_owner_must_be_able_to_work_where_the_ticket_goes(
    database: Database, world: World
) -> None:
    jonas, support = world.firm.staff["jonas"], world.firm.queues["Technik"]
    with database.write() as session:
        change(session, world, "root", "anna-sales", owner_id=jonas)
        with pytest.raises(Invalid, match="jonas") as caught:
            change(session, world, "root", "anna-sales", queue_id=support)
        assert caught.value.field == "owner_id"
        moved = change(session, world, "root", "anna-sales", queue_id=support, owner_id=None)
        assert (moved.queue.name, moved.owner) == ("Technik", None)
        assert last_event(session).after == {"queue_id": "Technik", "owner_id": None}


def test_a_gone_owner_stands_in_no_other_changes_way(database: Database, world: World) -> None:
    with database.write() as session:
        change(session, world, "root", "anna-sales", owner_id=world.firm.staff["jonas"])
        world.staff(session, "jonas").valid = False
        session.flush()
        ticket = change(session, world, "root", "anna-sales", state=TicketState.OPEN)
        assert ticket.owner_id == world.firm.staff["jonas"]


def test_an_invalid_queue_takes_no_tickets(database: Database, world: World) -> None:
    with database.write() as session:
        session.get_one(Queue, world.firm.queues["Rechnung"]).valid = False
    with database.write() as session:
        with pytest.raises(Invalid, match="invalid") as caught:
            change(session, world, "root", "anna-sales", queue_id=world.firm.queues["Rechnung"])
        assert caught.value.field == "queue_id"


STATES: list[tuple[TicketState, TicketState, bool, bool]] = [
    # from, to -> has closed_at, somebody waits
    (TicketState.NEW, TicketState.OPEN, False, True),
    (TicketState.NEW, TicketState.WAITING, False, False),
    (TicketState.NEW, TicketState.CLOSED, True, False),
    (TicketState.WAITING, TicketState.OPEN, False, False),
    (TicketState.CLOSED, TicketState.OPEN, False, False),
    (TicketState.CLOSED, TicketState.WAITING, False, False),
]


@pytest.mark.parametrize(("before", "after", "is_closed", "waits"), STATES)
def test_the_instants_of_a_state(
    sqlite_database: Database, before: TicketState, after: TicketState, is_closed: bool, waits: bool
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        if before is not TicketState.NEW:
            change(session, world, "root", "anna-sales", state=before)
        ticket = change(session, world, "root", "anna-sales", state=after)
        assert (ticket.closed_at is not None, ticket.waiting_since is not None) == (
            is_closed,
            waits,
        )


def test_whether_a_move_hides_a_ticket(database: Database, world: World) -> None:
    queues = world.firm.queues
    with database.read() as session:
        rows = [
            ("anna-sales", "Technik", False),  # she may use it
            ("anna-sales", "Rechnung", True),
            ("bert-sales", "Technik", False),  # he may read it
            ("carol-sales", "Technik", True),
        ]
        for name, queue, hides in rows:
            ticket = world.ticket(session, name)
            assert move_hides(session, ticket, queues[queue]) is hides, (name, queue)
            account = session.get_one(CustomerUser, ticket.customer_user_id)
            access = customer_user_access(session, load_organisation(session), account)
            assert access.may_see(queues[queue]) is not hides


def test_a_note_is_internal_and_moves_nothing(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        before = (ticket.version, ticket.changed_at, ticket.state, ticket.waiting_since)
        jonas = world.staff(session, "jonas")
        note = add_note(
            session, audit.staff_actor(jonas), jonas, ticket.public_id, " Rückruf\r\nmorgen\0 "
        )
        assert (note.text, note.visible, note.author, note.staff_id) == (
            "Rückruf\nmorgen",
            False,
            Author.STAFF,
            jonas.id,
        )
        session.expire_all()
        assert before == (ticket.version, ticket.changed_at, ticket.state, ticket.waiting_since)
        event = last_event(session)
        assert (event.action, event.after) == ("noted", {"article": note.id})


@pytest.mark.parametrize("text", ["", "  \n ", "\0", "x" * (MAX_WRITTEN + 1)])
def test_a_note_that_cannot_be(sqlite_database: Database, text: str) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        jonas = world.staff(session, "jonas")
        with pytest.raises(Invalid) as caught:
            add_note(session, audit.staff_actor(jonas), jonas, world.tickets["anna-sales"], text)
        assert caught.value.field == "text"


DEEDS: dict[str, Callable[[Session, World, Staff, str], object]] = {
    "note": lambda s, _w, staff, id_: add_note(s, audit.staff_actor(staff), staff, id_, "x"),
    "assign": lambda s, w, staff, id_: assign_to_account(
        s, audit.staff_actor(staff), staff, id_, w.firm.customer_users["anna"], 1
    ),
    "link": lambda s, _w, staff, id_: link(s, audit.staff_actor(staff), staff, id_, 100_001),
    "unlink": lambda s, _w, staff, id_: unlink(s, audit.staff_actor(staff), staff, id_, 100_001),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_deeds_need_a_queue_that_may_be_worked(sqlite_database: Database, deed: str) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        events = len(session.scalars(select(AuditEvent)).all())
        for login, name, error in (
            ("jonas", "anna-support", NotFound),
            ("tina", "anna-sales", Forbidden),
        ):
            with pytest.raises(error):
                DEEDS[deed](session, world, world.staff(session, login), world.tickets[name])
        assert len(session.scalars(select(AuditEvent)).all()) == events
        assert not session.scalars(select(TicketLink)).all()


def a_strangers_ticket(session: Session, world: World, queue: str = "Vertrieb") -> Ticket:
    """Let a stranger's mail open a ticket in a queue that takes them."""
    session.get_one(Queue, world.firm.queues[queue]).strangers = "accept"
    session.flush()  # the organisation is read anew
    mail = a_mail(sender="wer@fremd.example", to=f"{queue.lower()}@example.org", message_id="<s@x>")
    ticket_id = take_in(session, [mail])[0].recipients[0].ticket_id
    return session.get_one(Ticket, ticket_id)


def test_a_strangers_ticket_is_given_to_an_account(database: Database, world: World) -> None:
    with database.write() as session:
        ticket, jonas = a_strangers_ticket(session, world), world.staff(session, "jonas")
        anna = world.firm.customer_users["anna"]
        assert (ticket.flag, ticket.customer_user_id) == (Flag.STRANGER, None)
        with pytest.raises(NotFound):
            ticket_for_customer(session, world.access(session, "anna"), ticket.public_id)
        actor = audit.staff_actor(jonas)
        assign_to_account(session, actor, jonas, ticket.public_id, anna, ticket.version)
        assert (ticket.flag, ticket.customer_user_id) == (None, anna)
        assert ticket.customer_id == world.firm.customers["K-1000"]
        assert ticket_for_customer(session, world.access(session, "anna"), ticket.public_id)
        event = last_event(session)
        assert (event.before, event.after) == ({"customer_user": None}, {"customer_user": "anna"})
        with pytest.raises(Stale):
            assign_to_account(session, actor, jonas, ticket.public_id, anna, 1)


@pytest.mark.parametrize(
    ("login", "queue", "error"),
    [
        ("carol", "Technik", Forbidden),  # no permission at all
        ("bert", "Technik", Forbidden),  # may read only
        ("gone", "Vertrieb", Invalid),  # invalid account
        ("nobody", "Vertrieb", Invalid),
    ],
)
def test_no_ticket_for_who_may_not_write_to_its_queue(
    sqlite_database: Database, login: str, queue: str, error: type[SchalterError]
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        ticket, root = a_strangers_ticket(session, world, queue), world.staff(session, "root")
        account = world.firm.customer_users.get(login, 999)
        with pytest.raises(error):
            assign_to_account(
                session, audit.staff_actor(root), root, ticket.public_id, account, ticket.version
            )
        assert ticket.customer_user_id is None


def test_links_are_tied_once_and_untied(database: Database, world: World) -> None:
    with database.write() as session:
        jonas, public_id = world.staff(session, "jonas"), world.tickets["bert-sales"]
        other, foreign = (world.ticket(session, name) for name in ("anna-sales", "anna-support"))
        actor = audit.staff_actor(jonas)
        for _twice in range(2):
            assert link(session, actor, jonas, public_id, other.number) is other
        tied = session.scalars(select(TicketLink)).one()
        assert tied.ticket_id < tied.other_id
        assert last_event(session).action == "linked"
        own = world.ticket(session, "bert-sales").number
        for number in (own, foreign.number, 0, 99, 2**40, -1):
            with pytest.raises(Invalid) as caught:
                link(session, actor, jonas, public_id, number)
            assert caught.value.field == "number"
        for _twice in range(2):
            unlink(session, actor, jonas, public_id, other.number)
        assert not session.scalars(select(TicketLink)).all()
        events = session.scalars(select(AuditEvent.action)).all()
        assert (events.count("linked"), events.count("unlinked")) == (1, 1)


def test_a_customer_closes_a_ticket(database: Database, world: World) -> None:
    with database.write() as session:
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        access, public_id = world.access(session, "anna"), world.tickets["anna-sales"]
        version = world.ticket(session, "anna-sales").version
        for _twice in range(2):
            ticket = close_by_customer(session, audit.customer_actor(anna), access, public_id)
            assert (ticket.state, ticket.waiting_since) == (TicketState.CLOSED, None)
            assert (ticket.closed_at is not None, ticket.version) == (True, version + 1)
        event = last_event(session)
        assert (event.actor_name, event.before, event.after) == (
            "anna",
            {"state": "new"},
            {"state": "closed"},
        )


def test_who_may_not_close_a_ticket(database: Database, world: World) -> None:
    with database.write() as session:
        row = session.get_one(
            CustomerGroup, (world.firm.customers["K-2000"], world.firm.groups["vertrieb"])
        )
        row.permission = "ro"
        session.flush()
        carol = session.get_one(CustomerUser, world.firm.customer_users["carol"])
        actor, access = audit.customer_actor(carol), world.access(session, "carol")
        with pytest.raises(Forbidden):
            close_by_customer(session, actor, access, world.tickets["carol-sales"])
        with pytest.raises(NotFound):
            close_by_customer(session, actor, access, world.tickets["anna-sales"])
        assert world.ticket(session, "carol-sales").state is TicketState.NEW


def test_a_reply_that_closes_leaves_nobody_waiting(database: Database) -> None:
    """And one that opens again says so in the audit log."""
    firm = a_firm(database)
    with database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        new = submission.new_ticket(anna, firm.queues["Technik"], "Hallo", "Text")
        ticket = session.get_one(Ticket, take_in(session, [new])[0].recipients[0].ticket_id)
        assert ticket.waiting_since is not None
        seen = []
        for words, close in (("fertig", True), ("doch nicht", False), ("mehr", False)):
            take_in(session, [submission.reply(anna, ticket, words, close=close)])
            session.refresh(ticket)
            event = last_event(session)
            waits = ticket.waiting_since is not None
            seen.append((event.before, (event.after or {}).get("state"), waits))
        assert seen == [
            ({"state": "new"}, "closed", False),
            ({"state": "closed"}, "open", True),
            (None, None, True),
        ]


def test_a_reply_to_a_waiting_ticket_starts_the_clock(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = change(session, world, "jonas", "anna-sales", state=TicketState.WAITING)
        assert ticket.waiting_since is None
        session.flush()
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        take_in(session, [submission.reply(anna, ticket, "Hier die Angaben")])
        session.refresh(ticket)
        assert ticket.state is TicketState.OPEN
        assert ticket.waiting_since == ticket.changed_at


def test_a_reply_to_a_closed_ticket_follows_the_queue(database: Database, world: World) -> None:
    firm = world.firm
    with database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        ticket = change(session, world, "jonas", "anna-sales", state=TicketState.CLOSED)
        queue = session.get_one(Queue, firm.queues["Vertrieb"])
        queue.follow_up = FollowUp.REJECT
        session.flush()
        refused = take_in(session, [submission.reply(anna, ticket, "noch da?")])[0]
        assert refused.recipients[0].reason == "ticket-closed"
        queue.follow_up = FollowUp.NEW_TICKET
        session.flush()
        new = take_in(session, [submission.reply(anna, ticket, "noch da!")])[0].recipients[0]
        tied = session.scalars(select(TicketLink)).one()
        assert (tied.ticket_id, tied.other_id) == (ticket.id, new.ticket_id)
        session.refresh(ticket)
        assert ticket.state is TicketState.CLOSED
        assert len(session.scalars(select(Article).where(Article.visible)).all()) == 5


def test_a_customer_who_lost_the_queue_cannot_reply(database: Database, world: World) -> None:
    with database.write() as session:
        session.get_one(Group, world.firm.groups["vertrieb"]).valid = False
        session.flush()
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        ticket = world.ticket(session, "anna-sales")
        refused = take_in(session, [submission.reply(anna, ticket, "hallo")])[0]
        assert refused.recipients[0].reason == "queue-forbidden"
        assert session.get_one(CustomerUser, anna.id).valid is Validity.VALID


def test_values_are_those_of_the_ticket(sqlite_database: Database) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.read() as session:
        assert ticket_values(world.ticket(session, "anna-sales")) == TicketValues(
            queue_id=world.firm.queues["Vertrieb"],
            state=TicketState.NEW,
            priority=Priority.NORMAL,
            owner_id=None,
        )
