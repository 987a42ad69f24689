"""Tags of tickets: who may give them, in which form, and what a merge makes of them."""

import pytest
from sqlalchemy import select

from core.audit import staff_actor
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.models import AuditEvent, Ticket
from core.tickets.merging import merge
from core.tickets.tags import all_tags, change_tags, has_tag, tags_of
from tests.tickets.world import World, a_world


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def give(
    database: Database, world: World, name: str, *tags: str, login: str = "jonas",
    version: int | None = None,
) -> None:  # fmt: skip
    with database.write() as session:
        staff = world.staff(session, login)
        change_tags(session, staff_actor(staff), staff, world.tickets[name], tags, version)


def stored(database: Database, world: World, *names: str) -> list[tuple[str, ...]]:
    with database.read() as session:
        ids = [world.ticket(session, name).id for name in names]
        found = tags_of(session, ids)
        return [found[each] for each in ids]


def test_a_ticket_has_exactly_the_tags_given(database: Database, world: World) -> None:
    give(database, world, "anna-sales", " VIP", "vip", "", "Größe  M")
    assert stored(database, world, "anna-sales", "bert-sales") == [("größe m", "vip"), ()]
    give(database, world, "anna-sales", "vip", "alt")
    assert stored(database, world, "anna-sales") == [("alt", "vip")]
    with database.read() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.before, event.after) == (
            {"tags": ["größe m", "vip"]}, {"tags": ["alt", "vip"]},
        )  # fmt: skip
        names = session.scalars(select(Ticket.public_id).where(has_tag("vip"))).all()
        assert names == [world.tickets["anna-sales"]]


def test_the_same_tags_change_nothing(database: Database, world: World) -> None:
    give(database, world, "anna-sales", "a")
    with database.read() as session:
        before = world.ticket(session, "anna-sales").version
    give(database, world, "anna-sales", "A", version=before)
    with database.read() as session:
        assert world.ticket(session, "anna-sales").version == before


@pytest.mark.parametrize(
    ("tags", "login", "version", "error"),
    [
        (("a,b",), "jonas", None, Invalid),
        (("x" * 51,), "jonas", None, Invalid),
        (tuple(map(str, range(11))), "jonas", None, Invalid),
        (("a",), "tina", None, Forbidden),  # she reads the queue
        (("a",), "jonas", 77, Stale),
    ],
)
def test_what_is_refused(
    database: Database, world: World, tags: tuple[str, ...], login: str, version: int | None,
    error: type[Exception],
) -> None:  # fmt: skip
    with pytest.raises(error):
        give(database, world, "anna-sales", *tags, login=login, version=version)
    assert stored(database, world, "anna-sales") == [()]


def test_a_ticket_of_another_queue_is_none(database: Database, world: World) -> None:
    with pytest.raises(NotFound):
        give(database, world, "anna-support", "a")


def test_the_tags_of_queues(database: Database, world: World) -> None:
    give(database, world, "anna-sales", "b", "a")
    give(database, world, "anna-support", "c", login="root")
    with database.read() as session:
        queues = world.firm.queues
        assert all_tags(session, [queues["Vertrieb"]]) == ["a", "b"]
        assert all_tags(session, queues.values()) == ["a", "b", "c"]
        assert all_tags(session, []) == []


def test_a_merge_unites_tags(database: Database, world: World) -> None:
    give(database, world, "anna-sales", "a", "b", login="root")
    give(database, world, "anna-support", "b", "c", login="root")
    with database.write() as session:
        root = world.staff(session, "root")
        source, target = (world.ticket(session, n) for n in ("anna-sales", "anna-support"))
        merge(session, staff_actor(root), root, source.public_id, target.number, source.version)
    assert stored(database, world, "anna-sales", "anna-support") == [(), ("a", "b", "c")]
