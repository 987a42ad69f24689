"""The numbers of the dashboard."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from core.db import Database
from core.intake.pipeline import take_in
from core.models import Ticket, now
from core.tickets.overview import overview
from core.words import TicketState
from tests.intake.mails import a_mail
from tests.tickets.statements import watched
from tests.tickets.world import World, a_world


@pytest.fixture
def world(database: Database) -> World:
    world = a_world(database)
    with database.write() as session:
        mails = [
            a_mail(sender="wer@fremd.example", message_id="<h1@x>"),
            a_mail(sender="wer@fremd.example", message_id="<h2@x>", to="technik@example.org"),
            a_mail(sender="wer@fremd.example", message_id="<h3@x>", to="postmaster@example.org"),
        ]
        take_in(session, mails)
        old = now() - timedelta(days=3)
        for name, state, since in (
            ("anna-support", TicketState.OPEN, old),
            ("bert-sales", TicketState.WAITING, None),
            ("carol-sales", TicketState.OPEN, old + timedelta(days=1)),
        ):
            session.execute(
                update(Ticket)
                .where(Ticket.public_id == world.tickets[name])
                .values(state=state, waiting_since=since)
            )
    return world


@pytest.mark.parametrize(
    ("login", "numbers", "unanswered", "held", "mails"),
    [
        ("root", (1, 2, 1), "anna-support", 3, 7),
        ("jonas", (1, 1, 1), "carol-sales", 1, 4),
        ("tina", (1, 1, 1), "carol-sales", 0, 4),  # reads, and decides nothing
    ],
)
def test_the_numbers_are_those_of_ones_queues(
    database: Database,
    world: World,
    login: str,
    numbers: tuple[int, int, int],
    unanswered: str,
    held: int,
    mails: int,
) -> None:
    with database.read() as session:
        found = overview(session, world.staff(session, login))
        assert (found.new, found.open, found.waiting) == numbers
        assert found.unanswered is not None
        assert found.unanswered.public_id == world.tickets[unanswered]
        assert found.unanswered_since == found.unanswered.waiting_since
        assert found.held.waiting == held
        assert (found.held.oldest is not None) is bool(held)
        assert len(found.last_mails) == mails


def test_few_statements(database: Database, world: World) -> None:
    with database.read() as session:
        root = world.staff(session, "root")
        with watched(database) as seen:
            overview(session, root)
        assert len(seen) <= 10


def test_an_empty_desk(sqlite_database: Database) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        session.execute(update(Ticket).values(state=TicketState.CLOSED))
        found = overview(session, world.staff(session, "root"))
    assert (found.new, found.open, found.waiting, found.unanswered) == (0, 0, 0, None)
    assert found.unanswered_since is None
    assert (found.held.waiting, found.held.oldest) == (0, None)
