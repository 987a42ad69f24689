"""The lists of tickets: what is on a page, in which order, at what cost."""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.accounts.permissions import Access
from core.accounts.staff import StaffQueues
from core.db import Database
from core.ids import new_public_id
from core.models import Article, Ticket
from core.tickets.lists import (
    Scope,
    StaffFilter,
    StateFilter,
    Tab,
    customer_tickets,
    staff_counts,
    staff_tickets,
)
from core.tickets.search import index_articles
from core.tickets.view import mark_seen
from core.words import Author, Flag, Priority, TicketState
from tests.tickets.statements import plan, watched
from tests.tickets.world import World, a_world

AT = datetime(2026, 1, 1, tzinfo=UTC)
TICKETS = 150


@pytest.fixture
def world(database: Database) -> World:
    """The tickets of ``a_world`` and 150 more, some of them changed in the same moment."""
    world = a_world(database)
    with database.write() as session:
        fill(session, world, TICKETS)
    return world


def fill(session: Session, world: World, number: int) -> None:
    """Store that many tickets of all kinds, each with one article."""
    chance, firm = random.Random(7), world.firm
    owners = [(None, None)] + [
        (firm.customer_users[login], firm.customers[customer])
        for login, customer in (("anna", "K-1000"), ("bert", "K-1000"), ("carol", "K-2000"))
    ]
    tickets, articles = [], []
    for n in range(1000, 1000 + number):
        account, customer = chance.choice(owners)
        at = AT + timedelta(hours=n // 3)
        tickets.append(
            {
                "id": n,
                "public_id": new_public_id(),
                "queue_id": chance.choice(list(firm.queues.values())),
                "customer_id": customer,
                "customer_user_id": account,
                "requester": "a@b.example",
                "subject": f"Anliegen {n}",
                "state": chance.choice(list(TicketState)),
                "priority": Priority.NORMAL,
                "owner_id": chance.choice([None, *firm.staff.values()]),
                "flag": chance.choice([None, Flag.STRANGER]),
                "created_at": at,
                "changed_at": at,
                "version": 1,
            }
        )
        articles.append(
            {
                "id": n,
                "ticket_id": n,
                "author": Author.CUSTOMER,
                "customer_user_id": account,
                "subject": f"Anliegen {n}",
                "text": f"Wort{n % 5} Allgemeines",
                "from_address": "",
                "from_name": "",
                "has_html": False,
                "visible": True,
                "created_at": at,
            }
        )
    session.execute(insert(Ticket), tickets)
    session.execute(insert(Article), articles)
    index_articles(session, [(row["id"], row["subject"], row["text"]) for row in articles])


def everything(session: Session, keep: Callable[[Ticket], bool]) -> list[int]:
    """Return the ids of the tickets to keep, in the order of a list, without any of its code."""
    found = [ticket for ticket in session.query(Ticket) if keep(ticket)]
    return [t.id for t in sorted(found, key=lambda t: (t.changed_at, t.id), reverse=True)]


def walk(page_at: Callable[[str | None], object]) -> tuple[list[int], list[int]]:
    """Return the ids of a list walked forwards, and walked back from its last full page."""
    pages = []
    cursor: str | None = None
    while True:
        page = page_at(cursor).page
        pages.append(page)
        cursor = page.next
        if cursor is None:
            break
    forwards = [ticket.id for page in pages for ticket in page.items]
    back: list[int] = []
    cursor = pages[-1].previous
    while cursor is not None:
        page = page_at(cursor).page
        back = [ticket.id for ticket in page.items] + back
        cursor = page.previous
    return forwards, back + [ticket.id for ticket in pages[-1].items]


def in_tab(tab: Tab, ticket: Ticket) -> bool:
    return tab is Tab.ALL or (ticket.state is TicketState.CLOSED) is (tab is Tab.CLOSED)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("login", ["anna", "bert", "chris", "carol"])
def test_the_lists_of_customers(database: Database, world: World, login: str, scope: Scope) -> None:
    with database.read() as session:
        access = world.access(session, login)

        def visible(ticket: Ticket) -> bool:
            own = ticket.customer_user_id == access.customer_user_id
            return access.may_see_ticket(ticket) and (scope is Scope.COMPANY or own)

        for tab in Tab:
            expected = everything(session, lambda t, tab=tab: visible(t) and in_tab(tab, t))
            forwards, back = walk(
                lambda cursor, tab=tab: customer_tickets(
                    session, access, scope=scope, tab=tab, cursor=cursor, limit=7
                )
            )
            assert forwards == back == expected
        counts = customer_tickets(session, access, scope=scope).counts
        closed = everything(session, lambda t: visible(t) and t.state is TicketState.CLOSED)
        assert (counts.closed, counts.all) == (len(closed), len(everything(session, visible)))


FILTERS: list[tuple[str, StaffFilter, Callable[[Ticket], bool]]] = [
    ("unclosed", StaffFilter(), lambda t: t.state is not TicketState.CLOSED),
    *(
        (state, StaffFilter(state=StateFilter(state)), lambda t, s=state: t.state is s)
        for state in TicketState
    ),
    ("all", StaffFilter(state=StateFilter.ALL), lambda _t: True),
    ("a flag", StaffFilter(flag=Flag.STRANGER, state=StateFilter.ALL),
     lambda t: t.flag is Flag.STRANGER),
    ("nobody's", StaffFilter(owner_id=0, state=StateFilter.ALL), lambda t: t.owner_id is None),
]  # fmt: skip


@pytest.mark.parametrize("login", ["root", "jonas"])
def test_the_list_of_staff(database: Database, world: World, login: str) -> None:
    with database.read() as session:
        queues = world.queues(session, login)
        for name, wanted, keep in FILTERS:
            expected = everything(
                session, lambda t, keep=keep: t.queue_id in queues.readable and keep(t)
            )
            forwards, back = walk(
                lambda cursor, wanted=wanted: staff_tickets(
                    session, queues, wanted, cursor=cursor, limit=11
                )
            )
            assert expected
            assert forwards == back == expected, name


@pytest.mark.parametrize("login", ["root", "jonas"])
def test_the_filters_of_staff_that_name_somebody(
    database: Database, world: World, login: str
) -> None:
    firm = world.firm
    jonas, anna = firm.staff["jonas"], firm.customer_users["anna"]
    acme, sales = firm.customers["K-2000"], firm.queues["Vertrieb"]
    billing = firm.queues["Rechnung"]
    every = StateFilter.ALL
    rows: Iterable[tuple[StaffFilter, Callable[[Ticket], bool]]] = [
        (StaffFilter(state=every, owner_id=jonas), lambda t: t.owner_id == jonas),
        (StaffFilter(state=every, customer_user_id=anna), lambda t: t.customer_user_id == anna),
        (StaffFilter(state=every, customer_id=acme), lambda t: t.customer_id == acme),
        (StaffFilter(state=every, queue_id=sales), lambda t: t.queue_id == sales),
        (StaffFilter(state=every, queue_id=billing), lambda t: t.queue_id == billing),
        (StaffFilter(customer_id=acme, queue_id=sales, owner_id=0),
         lambda t: t.customer_id == acme and t.queue_id == sales and t.owner_id is None
         and t.state is not TicketState.CLOSED),
        (StaffFilter(state=every, query="Wort3"), lambda t: t.subject.endswith(("3", "8"))
         and t.subject.startswith("Anliegen")),
    ]  # fmt: skip
    with database.read() as session:
        queues = world.queues(session, login)
        for wanted, keep in rows:
            expected = everything(
                session, lambda t, keep=keep: t.queue_id in queues.readable and keep(t)
            )
            forwards, back = walk(
                lambda cursor, wanted=wanted: staff_tickets(
                    session, queues, wanted, cursor=cursor, limit=10
                )
            )
            assert forwards == back == expected, wanted


@pytest.mark.parametrize("login", ["root", "jonas"])
def test_what_is_to_do_is_counted(database: Database, world: World, login: str) -> None:
    """By state, within the other filters; closed tickets are not counted."""
    anna = world.firm.customer_users["anna"]
    rows: list[tuple[StaffFilter, Callable[[Ticket], bool]]] = [
        (StaffFilter(), lambda _t: True),
        (StaffFilter(state=StateFilter.CLOSED), lambda _t: True),
        (StaffFilter(customer_user_id=anna), lambda t: t.customer_user_id == anna),
        (StaffFilter(query="Wort3"), lambda t: t.subject in {f"Anliegen {n}" for n in WITH_3}),
    ]
    with database.read() as session:
        queues = world.queues(session, login)
        for wanted, keep in rows:
            found = [
                ticket.state
                for ticket in session.query(Ticket)
                if ticket.queue_id in queues.readable and keep(ticket)
            ]
            assert staff_counts(session, queues, wanted) == {
                state: found.count(state) for state in TicketState if state != "closed"
            }


WITH_3 = [n for n in range(1000, 1000 + TICKETS) if n % 5 == 3]


def test_who_has_no_queue_sees_nothing(database: Database, world: World) -> None:
    with database.read() as session:
        nobody = StaffQueues(frozenset(), frozenset())
        for wanted in (StaffFilter(), StaffFilter(state=StateFilter.ALL, query="Wort3")):
            assert staff_tickets(session, nobody, wanted).page.items == ()
        access = Access(world.firm.customer_users["anna"], 1, True, {})
        found = customer_tickets(session, access, scope=Scope.COMPANY, tab=Tab.ALL)
        assert (found.page.items, found.counts.all) == ((), 0)


def test_a_row_of_a_list_needs_no_further_query(database: Database, world: World) -> None:
    """However many rows: the same statements, and what they show is loaded with them."""
    with database.read() as session:
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        calls: list[Callable[[int], object]] = [
            lambda n: customer_tickets(session, access, tab=Tab.ALL, limit=n),
            lambda n: staff_tickets(session, queues, StaffFilter(), limit=n),
            lambda n: staff_tickets(
                session, queues, StaffFilter(state=StateFilter.ALL, query="Wort1"), limit=n
            ),
        ]
        for call in calls:
            counts = []
            for limit in (2, 10):
                session.expunge_all()
                with watched(database) as seen:
                    page = call(limit).page
                    for ticket in page.items:
                        names = (ticket.queue.name, ticket.owner and ticket.owner.name)
                        assert names[0]
                        assert ticket.customer is None or ticket.customer.number
                        assert ticket.customer_user is None or ticket.customer_user.name
                assert len(page.items) == limit
                counts.append(len(seen))
            assert counts[0] == counts[1] <= 6


INDEXES = [
    (StaffFilter(), "ix_tickets_state_changed"),
    (StaffFilter(state=StateFilter.CLOSED), "ix_tickets_state_changed"),
    (StaffFilter(state=StateFilter.ALL), "ix_tickets_changed"),
    (StaffFilter(queue_id=1), "ix_tickets_queue_state_changed"),
    (StaffFilter(queue_id=1, state=StateFilter.ALL), "ix_tickets_queue_state_changed"),
    (StaffFilter(customer_id=1), "ix_tickets_customer_changed"),
    (StaffFilter(customer_user_id=1), "ix_tickets_customer_user_changed"),
]


def test_a_list_of_staff_is_read_from_an_index(database: Database, world: World) -> None:
    with database.read() as session:
        queues = world.queues(session, "root")
        for wanted, index in INDEXES:
            with watched(database) as seen:
                staff_tickets(session, queues, wanted)
            found = plan(session, database, seen[-1])
            if database.is_sqlite:
                assert index in found, wanted
                assert "SCAN tickets\n" not in found + "\n", found
            else:  # of 150 rows any index that has them in order is as good to it
                assert "_changed on tickets" in found, wanted
                assert "Seq Scan on tickets" not in found, found


def test_an_agents_list_is_read_from_an_index(database: Database, world: World) -> None:
    with database.read() as session:
        queues = world.queues(session, "jonas")
        with watched(database) as seen:
            staff_tickets(session, queues, StaffFilter())
        found = plan(session, database, seen[-1])
        assert "ix_tickets_queue_state_changed" in found or not database.is_sqlite
        assert "Seq Scan on tickets" not in found


@pytest.mark.parametrize(
    ("scope", "indexes"),
    [
        (Scope.OWN, {"ix_tickets_customer_user_changed"}),
        (Scope.COMPANY, {"ix_tickets_customer_user_changed", "ix_tickets_customer_changed"}),
    ],
)
def test_a_customers_list_is_read_from_an_index(
    database: Database, world: World, scope: Scope, indexes: set[str]
) -> None:
    with database.read() as session:
        access = world.access(session, "chris")
        with watched(database) as seen:
            customer_tickets(session, access, scope=scope, tab=Tab.ALL)
        page = next(each for each in seen if "LIMIT" in each[0])
        found = plan(session, database, page)
    assert all(index in found for index in indexes), found


def test_news_are_what_others_wrote_since_the_last_look(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        anna, bert = world.firm.customer_users["anna"], world.firm.customer_users["bert"]

        def news(login: str) -> bool:
            access = world.access(session, login)
            found = customer_tickets(session, access, scope=Scope.COMPANY, tab=Tab.ALL, limit=200)
            assert ticket in found.page.items
            return ticket.id in found.news

        def write(**fields: object) -> Article:
            article = Article(
                ticket_id=ticket.id, text="x", created_at=AT, **{"visible": True, **fields}
            )
            session.add(article)
            session.flush()
            return article

        assert not news("anna")  # her own mail
        assert not news("chris")  # who has never looked at it
        write(author=Author.STAFF, visible=False)
        assert not news("anna")
        answer = write(author=Author.STAFF)
        assert news("anna")
        assert not news("chris")
        mark_seen(session, anna, ticket, answer.id)
        mark_seen(session, world.firm.customer_users["chris"], ticket, answer.id)
        assert not news("anna")
        write(author=Author.CUSTOMER, customer_user_id=bert)
        assert news("anna")
        assert news("chris")
        mark_seen(session, anna, ticket, answer.id - 1)  # never backwards
        assert news("anna")
