"""Reading the audit log: the history of one thing, and what was done at all."""

from datetime import UTC, datetime, timedelta

import pytest

from core import audit
from core.audit import SYSTEM, Actor
from core.audit_log import MAX_PAGE, AuditFilter, audit_events
from core.db import Database
from core.models import AuditEvent
from core.words import ActorKind
from tests.accounts.people import ADMIN

ANNA = Actor(ActorKind.CUSTOMER, 7, "Anna", "192.0.2.1")
START = datetime(2026, 11, 1, 12, tzinfo=UTC)

EVENTS = [
    # who, what, to what kind, id and name: one an hour
    (ADMIN, "created", "customer-user", 1, "anna"),
    (ADMIN, "changed", "customer-user", 1, "anna"),
    (ADMIN, "created", "customer-user", 2, "bert_100%"),
    (ADMIN, "created", "staff", 1, "jonas"),
    (ANNA, "signed-in", "customer-user", 7, "Anna"),
    (SYSTEM, "changed", "settings", None, ""),
]


@pytest.fixture
def filled(database: Database) -> Database:
    """A database with these events."""
    with database.write() as session:
        session.add_all(
            AuditEvent(
                at=START + timedelta(hours=hour),
                actor_kind=actor.kind,
                actor_id=actor.id,
                actor_name=actor.name,
                peer=actor.peer,
                action=action,
                object_kind=kind,
                object_id=object_id,
                object_name=name,
            )
            for hour, (actor, action, kind, object_id, name) in enumerate(EVENTS)
        )
    return database


FILTERS = [
    (AuditFilter(), [5, 4, 3, 2, 1, 0]),
    (AuditFilter(object_kind="customer-user", object_id=1), [1, 0]),
    (AuditFilter(object_kind="staff", object_id=1), [3]),
    (AuditFilter(object_kind="customer-user"), [4, 2, 1, 0]),
    (AuditFilter(action="created"), [3, 2, 0]),
    (AuditFilter(action="creat"), []),
    (AuditFilter(actor_kind=ActorKind.CUSTOMER), [4]),
    (AuditFilter(actor="roo"), [3, 2, 1, 0]),
    (AuditFilter(actor=" ANNA "), [4]),
    (AuditFilter(query="anna"), [4, 1, 0]),
    (AuditFilter(query="%"), [2]),
    (AuditFilter(query="_"), [2]),
    (AuditFilter(query="a_na"), []),
    (AuditFilter(query="\x00"), [5, 4, 3, 2, 1, 0]),
    (AuditFilter(query="\ud800"), []),
    (AuditFilter(since=START + timedelta(hours=4)), [5, 4]),
    (AuditFilter(until=START + timedelta(hours=1)), [0]),
    (AuditFilter(since=START + timedelta(hours=1), until=START + timedelta(hours=3)), [2, 1]),
    (AuditFilter(actor="root", action="created", object_kind="customer-user"), [2, 0]),
]


def test_what_each_filter_shows(filled: Database) -> None:
    with filled.read() as session:
        for wanted, expected in FILTERS:
            found = audit_events(session, wanted).items
            hours = [(event.at - START) // timedelta(hours=1) for event in found]
            assert hours == expected, wanted


def test_the_log_comes_in_pages_the_newest_first(filled: Database) -> None:
    seen: list[int] = []
    cursor: str | None = None
    with filled.read() as session:
        while True:
            page = audit_events(session, AuditFilter(), cursor=cursor, limit=4)
            seen += [event.id for event in page.items]
            cursor = page.next
            if cursor is None:
                break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(EVENTS)


def test_a_page_has_a_limit_whatever_is_asked_for(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        for number in range(MAX_PAGE + 1):
            audit.record(session, SYSTEM, "changed", "x", number)
    with sqlite_database.read() as session:
        assert len(audit_events(session, AuditFilter(), limit=10**9).items) == MAX_PAGE


def test_secrets_are_named_and_not_shown(database: Database) -> None:
    with database.write() as session:
        audit.record(
            session, ADMIN, "changed", "x", 1, "", {"password": ""}, {"password": "geheim-123"}
        )
    with database.read() as session:
        event = audit_events(session, AuditFilter()).items[0]
    assert (event.before, event.after) == ({"password": ""}, {"password": "***"})


def test_names_stay_as_they_were(database: Database) -> None:
    long = "ä" * 600
    with database.write() as session:
        audit.record(session, ADMIN, "changed", "x", 1, long)
    with database.read() as session:
        assert audit_events(session, AuditFilter()).items[0].object_name == long[:500]
