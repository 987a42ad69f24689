"""Mail that came back: noted once at the mail, counted for its address, no change of a ticket."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from core.audit import Actor
from core.db import Database
from core.mail.reports import Action, Report, ReportedRecipient
from core.models import AuditEvent, BouncingAddress, OutgoingMail, Ticket
from core.outgoing.bounces import bouncing, clear_bounces, note_refusal, record_bounce
from core.words import ActorKind, OutgoingKind, OutgoingState, TicketState
from tests.intake.firm import a_firm

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ANNA = "anna@muster.example"
UNKNOWN = ReportedRecipient(ANNA, Action.FAILED, "5.1.1", "550 5.1.1 User unknown")
EXPIRED = ReportedRecipient(ANNA, Action.FAILED, "4.4.7", "message expired")
POLICY = ReportedRecipient(ANNA, Action.FAILED, "5.7.1", "550 5.7.1 not wanted here")
DELAYED = ReportedRecipient(ANNA, Action.DELAYED, "4.4.1", "connection timed out")
DELIVERED = ReportedRecipient(ANNA, Action.DELIVERED, "2.1.5", "250 2.1.5 Ok")
OPERATOR = Actor(ActorKind.SYSTEM, None, "test")


def a_mail(
    database: Database,
    state: OutgoingState = OutgoingState.SENT,
    recipient: str = ANNA,
    ticket_id: int | None = None,
) -> int:
    """Store an outgoing mail and return its id."""
    with database.write() as session:
        mail = OutgoingMail(
            kind=OutgoingKind.REPLY,
            state=state,
            recipient=recipient,
            recipient_key=recipient.lower(),
            subject="[Ticket#100001] Drucker",
            ticket_id=ticket_id,
            leased_until=AT if state is OutgoingState.WAITING else None,
            settled_at=None if state is OutgoingState.WAITING else AT - timedelta(hours=1),
        )
        session.add(mail)
        session.flush()  # the id is what the caller wants
        return mail.id


def reported(database: Database, outgoing_id: int, *recipients: ReportedRecipient) -> OutgoingMail:
    """Record a report about a mail and return what has become of the mail."""
    with database.write() as session:
        record_bounce(session, outgoing_id, Report(recipients), AT, None)
    return stored(database, outgoing_id)


def stored(database: Database, outgoing_id: int) -> OutgoingMail:
    """Return an outgoing mail as the database has it."""
    with database.read() as session:
        return session.get_one(OutgoingMail, outgoing_id)


def counted(database: Database) -> dict[str, int]:
    """Return how many bounces are counted for each address."""
    with database.read() as session:
        return {each.address_key: each.bounces for each in session.scalars(select(BouncingAddress))}


@pytest.mark.parametrize(
    ("recipients", "state", "bounce", "count"),
    [
        ([UNKNOWN], OutgoingState.BOUNCED, "550 5.1.1 User unknown", 1),
        ([EXPIRED], OutgoingState.BOUNCED, "4.4.7 message expired", None),
        ([POLICY], OutgoingState.BOUNCED, "550 5.7.1 not wanted here", None),
        ([DELAYED], OutgoingState.SENT, "4.4.1 connection timed out", None),
        ([DELIVERED], OutgoingState.SENT, "", None),
        ([DELIVERED, DELAYED], OutgoingState.SENT, "4.4.1 connection timed out", None),
        ([EXPIRED, UNKNOWN], OutgoingState.BOUNCED, "550 5.1.1 User unknown", 1),
        ([], OutgoingState.SENT, "", None),
    ],
)
def test_what_a_report_changes(
    database: Database,
    recipients: list[ReportedRecipient],
    state: OutgoingState,
    bounce: str,
    count: int | None,
) -> None:
    mail = reported(database, a_mail(database), *recipients)
    assert (mail.state, mail.bounce) == (state, bounce)
    assert mail.bounced_at == (AT if state is OutgoingState.BOUNCED else None)
    assert mail.settled_at == AT - timedelta(hours=1)  # when it was sent
    assert counted(database) == ({ANNA: count} if count else {})


@pytest.mark.parametrize("state", list(OutgoingState))
def test_only_what_is_under_way_can_bounce(sqlite_database: Database, state: OutgoingState) -> None:
    mail = reported(sqlite_database, a_mail(sqlite_database, state), UNKNOWN)
    bounces = state in {OutgoingState.WAITING, OutgoingState.SENT}
    assert mail.state == (OutgoingState.BOUNCED if bounces else state)
    assert mail.settled_at is not None
    assert (mail.leased_until, bool(mail.bounce)) == (None, bounces)


def test_a_report_that_comes_twice_is_counted_once(database: Database) -> None:
    outgoing_id = a_mail(database)
    reported(database, outgoing_id, UNKNOWN)
    mail = reported(database, outgoing_id, DELAYED)
    assert (mail.state, mail.bounce) == (OutgoingState.BOUNCED, "550 5.1.1 User unknown")
    reported(database, outgoing_id, UNKNOWN)
    assert counted(database) == {ANNA: 1}


def test_a_mail_that_is_not_there_has_no_bounce(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        record_bounce(session, 4711, Report((UNKNOWN,)), AT, None)
    assert counted(sqlite_database) == {}


def test_of_several_recipients_each_mail_hears_of_its_own(sqlite_database: Database) -> None:
    bert = ReportedRecipient("bert@muster.example", Action.DELIVERED, "2.0.0", "")
    ours = reported(sqlite_database, a_mail(sqlite_database), bert, UNKNOWN)
    theirs = a_mail(sqlite_database, recipient="bert@muster.example")
    assert ours.state == OutgoingState.BOUNCED
    assert reported(sqlite_database, theirs, bert, UNKNOWN).state == OutgoingState.SENT
    # An alias: what it stands for has failed, and we know no better address to blame.
    alias = a_mail(sqlite_database, recipient="team@muster.example")
    assert reported(sqlite_database, alias, bert, UNKNOWN).state == OutgoingState.BOUNCED
    assert counted(sqlite_database) == {ANNA: 1, "team@muster.example": 1}


def test_what_a_server_says_is_one_short_line(sqlite_database: Database) -> None:
    said = ReportedRecipient(ANNA, Action.FAILED, "5.1.1", "a\r\nb\x00\u202e " + "x" * 1000)
    mail = reported(sqlite_database, a_mail(sqlite_database), said)
    assert mail.bounce == ("5.1.1 a b " + "x" * 1000)[:500]


def test_a_ticket_keeps_its_state_and_tells_of_it(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        ticket = Ticket(
            public_id="0" * 22,
            queue_id=firm.queues["Vertrieb"],
            subject="Drucker",
            state=TicketState.CLOSED,
            requester=ANNA,
            created_at=AT,
            changed_at=AT,
        )
        session.add(ticket)
        session.flush()  # the id is needed below
        ticket_id = ticket.id
    outgoing_id = a_mail(database, ticket_id=ticket_id)
    with database.write() as session:
        record_bounce(session, outgoing_id, Report((UNKNOWN,)), AT, 7)
    with database.read() as session:
        ticket = session.get_one(Ticket, ticket_id)
        assert (ticket.state, ticket.changed_at) == (TicketState.CLOSED, AT)
        event = session.scalars(select(AuditEvent)).one()
    assert (event.action, event.object_kind, event.object_id) == ("came-back", "ticket", ticket_id)
    assert event.after == {"recipient": ANNA, "why": "550 5.1.1 User unknown", "article": 7}


def test_an_address_counts_as_bad_after_three(database: Database) -> None:
    other = a_mail(database, recipient="bert@muster.example")
    reported(database, other, ReportedRecipient("bert@muster.example", Action.FAILED, "5.1.1", ""))
    for number in range(3):
        with database.read() as session:
            assert bouncing(session, [ANNA, "bert@muster.example"]) == {}, number
        reported(database, a_mail(database), UNKNOWN)
    with database.read() as session:
        found = bouncing(session, [ANNA, "bert@muster.example", "nobody@muster.example"])
        assert bouncing(session, []) == {}
    assert set(found) == {ANNA}
    assert (found[ANNA].bounces, found[ANNA].last_text) == (3, "550 5.1.1 User unknown")
    assert found[ANNA].last_at == AT


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ("550 5.1.1 <anna@muster.example>: Recipient address rejected", 1),
        ("550 No such user", 1),
        ("556 No mail here", 1),
        ("554 Transaction failed", None),
        ("552 Message too large", None),
        ("554 5.7.1 <anna@muster.example>: Relay access denied", None),  # we, not the address
    ],
)
def test_a_refusal_of_the_relay_counts_too(
    sqlite_database: Database, reply: str, count: int | None
) -> None:
    outgoing_id = a_mail(sqlite_database, OutgoingState.WAITING)
    with sqlite_database.write() as session:
        note_refusal(session, session.get_one(OutgoingMail, outgoing_id), reply)
    assert stored(sqlite_database, outgoing_id).state == OutgoingState.WAITING
    assert counted(sqlite_database) == ({ANNA: count} if count else {})


def test_a_good_address_is_cleared_and_that_is_audited(database: Database) -> None:
    for _time in range(4):
        reported(database, a_mail(database), UNKNOWN)
    for _time in range(2):  # the second time there is nothing to clear
        with database.write() as session:
            clear_bounces(session, OPERATOR, ANNA)
    assert counted(database) == {}
    with database.read() as session:
        event = session.scalars(select(AuditEvent)).one()
    assert (event.action, event.object_kind, event.object_name) == (
        "bounces-cleared",
        "mail-address",
        ANNA,
    )
    assert event.before == {"bounces": 4, "why": "550 5.1.1 User unknown"}
    assert event.after == {"bounces": 0}
    reported(database, a_mail(database), UNKNOWN)
    assert counted(database) == {ANNA: 1}


def test_no_bounce_is_lost_when_many_come_at_once(database: Database) -> None:
    ids = [a_mail(database) for _number in range(24)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda outgoing_id: reported(database, outgoing_id, UNKNOWN), ids))
    assert counted(database) == {ANNA: 24}


def test_one_report_in_two_copies_at_once_is_counted_once(postgresql_database: Database) -> None:
    outgoing_id = a_mail(postgresql_database)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: reported(postgresql_database, outgoing_id, UNKNOWN), range(8)))
    assert counted(postgresql_database) == {ANNA: 1}
