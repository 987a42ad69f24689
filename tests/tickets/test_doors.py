"""Every door to a ticket says the same: list, search, view, HTML, file, mail, link, reply."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import Access
from core.db import Database
from core.errors import Forbidden, NotFound
from core.ids import new_public_id
from core.mail.uploads import Upload
from core.models import (
    Article,
    Attachment,
    CustomerGroup,
    CustomerUser,
    Group,
    Queue,
    Ticket,
    TicketLink,
    now,
)
from core.outgoing.installation import Installation
from core.tickets.lists import (
    Scope,
    StaffFilter,
    StateFilter,
    Tab,
    customer_tickets,
    staff_tickets,
)
from core.tickets.merging import merge, split
from core.tickets.notes import add_note
from core.tickets.reply import ReplyValues, reply
from core.tickets.view import (
    Reader,
    article_html,
    article_original,
    attachment_for_customer,
    attachment_for_staff,
    conversation,
    final_ticket,
    linked_tickets,
    raw_for_customer,
    raw_for_staff,
    readable_tickets,
    ticket_for_customer,
    ticket_for_staff,
    ticket_with_number,
)
from core.words import Author, Validity
from tests.tickets.world import SECRET, World, a_world, html_ticket

NAMES = ("anna-sales", "anna-support", "bert-sales", "carol-sales")

# Which tickets each may see, and nobody else's.
CUSTOMERS = {
    "anna": {"anna-sales", "anna-support"},
    "bert": {"bert-sales"},  # may read support, but not Anna's tickets there
    "chris": {"anna-sales", "bert-sales"},  # all of the firm, but not in support
    "carol": {"carol-sales"},
    "gone": set(),  # invalid
}
STAFF = {
    "root": set(NAMES),
    "jonas": {"anna-sales", "bert-sales", "carol-sales"},
    "tina": {"anna-sales", "bert-sales", "carol-sales"},
}


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def allowed(door: Callable[[], object]) -> bool:
    """Whether a door opens; the only way for it not to is ``NotFound``."""
    try:
        door()
    except NotFound:
        return False
    return True


def listed(session: Session, access: Access, query: str = "") -> set[str]:
    """Return the public ids in the widest list of a customer user."""
    found = customer_tickets(session, access, scope=Scope.COMPANY, tab=Tab.ALL, query=query)
    assert found.counts.all == len(found.page.items)
    return {ticket.public_id for ticket in found.page.items}


def staff_listed(session: Session, world: World, login: str, query: str = "") -> set[str]:
    wanted = StaffFilter(state=StateFilter.ALL, query=query)
    found = staff_tickets(session, world.queues(session, login), wanted)
    return {ticket.public_id for ticket in found.page.items}


@pytest.mark.parametrize("login", CUSTOMERS)
def test_a_customer_user_at_every_door(database: Database, world: World, login: str) -> None:
    with database.read() as session:
        access = world.access(session, login)
        assert listed(session, access) == {world.tickets[name] for name in CUSTOMERS[login]}
        for name in NAMES:
            ticket = world.ticket(session, name)
            public_id, article = ticket.public_id, ticket.articles[0]
            may = name in CUSTOMERS[login]
            assert allowed(lambda id_=public_id: ticket_for_customer(session, access, id_)) is may
            assert access.may_see_ticket(ticket) is may
            for query in (str(ticket.number), ticket.subject):
                assert (public_id in listed(session, access, query)) is may, query
            for door in (article_html, article_original):
                arguments = (lambda _a: "/x",) if door is article_html else ()
                opened = allowed(
                    lambda d=door, i=public_id, a=article.id, more=arguments: d(
                        session, access, i, a, *more
                    )
                )
                assert opened is may
            own = may and article.customer_user_id == access.customer_user_id
            assert (
                allowed(lambda i=public_id, a=article.id: raw_for_customer(session, access, i, a))
                is own
            )


@pytest.mark.parametrize("login", STAFF)
def test_staff_at_every_door(database: Database, world: World, login: str) -> None:
    with database.read() as session:
        queues = world.queues(session, login)
        assert staff_listed(session, world, login) == {world.tickets[name] for name in STAFF[login]}
        for name in NAMES:
            ticket = world.ticket(session, name)
            public_id, article, may = ticket.public_id, ticket.articles[0], name in STAFF[login]
            assert allowed(lambda id_=public_id: ticket_for_staff(session, queues, id_)) is may
            for query in (str(ticket.number), ticket.subject):
                assert (public_id in staff_listed(session, world, login, query)) is may, query
            opened = allowed(lambda i=public_id, a=article.id: raw_for_staff(session, queues, i, a))
            assert opened is may


def test_missing_and_forbidden_look_the_same(database: Database, world: World) -> None:
    with database.read() as session:
        access = world.access(session, "carol")
        said = []
        for public_id in (world.tickets["anna-sales"], "0" * 26, "", "../../x"):
            with pytest.raises(NotFound) as caught:
                ticket_for_customer(session, access, public_id)
            said.append(str(caught.value))
    assert len(set(said)) == 1


@pytest.mark.parametrize("login", ["anna", "bert", "chris", "carol"])
def test_an_internal_note_is_nowhere(database: Database, world: World, login: str) -> None:
    """Neither in the list, nor found, nor in the conversation, nor by its own address (I14)."""
    with database.read() as session:
        access = world.access(session, login)
        for query in (SECRET, SECRET[:8], SECRET.upper(), f"{SECRET} Ticket"):
            assert listed(session, access, query) == set(), query
        for name in CUSTOMERS[login]:
            ticket = world.ticket(session, name)
            assert SECRET in ticket.articles[-1].text
            shown = conversation(session, ticket, internal=False).articles
            assert [article.visible for article in shown] == [True]
            public_id, note = ticket.public_id, ticket.articles[-1].id
            for door in (
                lambda i=public_id, n=note: article_html(session, access, i, n, lambda _a: "/x"),
                lambda i=public_id, n=note: article_original(session, access, i, n),
                lambda i=public_id, n=note: raw_for_customer(session, access, i, n),
            ):
                assert not allowed(door)


def test_staff_find_internal_notes_in_their_queues(database: Database, world: World) -> None:
    with database.read() as session:
        for login, names in STAFF.items():
            expected = {world.tickets[name] for name in names}
            assert staff_listed(session, world, login, SECRET.lower()) == expected
            for name in names:
                ticket = world.ticket(session, name)
                shown = conversation(session, ticket, internal=True).articles
                assert [article.visible for article in shown] == [True, False]


def test_a_file_of_an_article_that_became_internal(database: Database, world: World) -> None:
    public_id = html_ticket(database)
    with database.write() as session:
        attachment = session.scalars(select(Attachment)).first()
        assert attachment is not None
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        assert attachment_for_customer(session, access, public_id, attachment.id).content
        session.execute(
            update(Article).where(Article.id == attachment.article_id).values(visible=False)
        )
        with pytest.raises(NotFound):
            attachment_for_customer(session, access, public_id, attachment.id)
        assert attachment_for_staff(session, queues, public_id, attachment.id).content


def test_a_file_is_not_found_through_another_ticket(database: Database, world: World) -> None:
    """Neither another ticket of one's own, nor a foreign one, lends its address to a file (W1)."""
    mine = html_ticket(database)
    foreign = html_ticket(database, sender="carol@acme.example")
    with database.read() as session:
        access = world.access(session, "anna")
        by_ticket: dict[str, list[int]] = {}
        for id_, public_id in session.execute(
            select(Attachment.id, Ticket.public_id)
            .join(Article, Article.id == Attachment.article_id)
            .join(Ticket, Ticket.id == Article.ticket_id)
        ):
            by_ticket.setdefault(public_id, []).append(id_)
        assert attachment_for_customer(session, access, mine, by_ticket[mine][0]).content
        for public_id, attachment_id in [
            (mine, by_ticket[foreign][0]),
            (foreign, by_ticket[foreign][0]),
            (foreign, by_ticket[mine][0]),
            (world.tickets["anna-sales"], by_ticket[mine][0]),
        ]:
            with pytest.raises(NotFound):
                attachment_for_customer(session, access, public_id, attachment_id)


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("group invalid", {"anna-support"}),
        ("permission taken away", {"anna-support"}),
        ("queue invalid", {"anna-sales", "anna-support"}),  # can be read still
        ("account invalid", set()),
        ("moved to support", {"anna-sales", "anna-support"}),
        ("moved to billing", {"anna-support"}),
    ],
)
def test_a_permission_that_changes_counts_at_once(
    database: Database, world: World, what: str, left: set[str]
) -> None:
    firm = world.firm
    with database.write() as session:
        match what:
            case "group invalid":
                session.get_one(Group, firm.groups["vertrieb"]).valid = False
            case "permission taken away":
                row = session.get_one(
                    CustomerGroup, (firm.customers["K-1000"], firm.groups["vertrieb"])
                )
                session.delete(row)
            case "queue invalid":
                session.get_one(Queue, firm.queues["Vertrieb"]).valid = False
            case "account invalid":
                account = session.get_one(CustomerUser, firm.customer_users["anna"])
                account.valid = Validity.INVALID
            case "moved to support" | "moved to billing":
                queue = "Technik" if what.endswith("support") else "Rechnung"
                world.ticket(session, "anna-sales").queue_id = firm.queues[queue]
    with database.read() as session:
        access = world.access(session, "anna")
        assert listed(session, access) == {world.tickets[name] for name in left}
        for name in ("anna-sales", "anna-support"):
            public_id = world.tickets[name]
            opened = allowed(lambda i=public_id: ticket_for_customer(session, access, i))
            assert opened is (name in left)


def test_linked_tickets_are_shown_to_those_who_may_see_them(
    database: Database, world: World
) -> None:
    with database.write() as session:
        ids = sorted(world.ticket(session, name).id for name in NAMES)
        session.add_all(
            TicketLink(ticket_id=one, other_id=other) for one in ids for other in ids if one < other
        )
    with database.read() as session:
        ticket = world.ticket(session, "anna-sales")
        readers: list[tuple[Reader, set[str]]] = [
            *((world.access(session, login), names) for login, names in CUSTOMERS.items()),
            *((world.queues(session, login), names) for login, names in STAFF.items()),
        ]
        for reader, names in readers:
            others = {world.tickets[name] for name in names - {"anna-sales"}}
            assert {t.public_id for t in linked_tickets(session, reader, ticket)} == others


def test_the_condition_agrees_with_the_function(database: Database, world: World) -> None:
    with database.read() as session:
        tickets = session.scalars(select(Ticket)).all()
        for login in CUSTOMERS:
            access = world.access(session, login)
            found = session.scalars(select(Ticket).where(readable_tickets(access))).all()
            assert set(found) == {ticket for ticket in tickets if access.may_see_ticket(ticket)}


WORKS = {"root": set(NAMES), "jonas": STAFF["jonas"], "tina": set()}


def writing_doors(
    session: Session, world: World, installation: Installation, login: str, name: str
) -> dict[str, Callable[[], object]]:
    """Return everything by which staff write into a ticket, ready to be tried."""
    staff, ticket = world.staff(session, login), world.ticket(session, name)
    actor, public_id = audit.staff_actor(staff), ticket.public_id
    other = world.ticket(session, f"{name}-again")
    answer = ReplyValues(text="x", seen_article=ticket.articles[-1].id)
    return {
        "reply": lambda: reply(session, installation, actor, staff, public_id, answer),
        "note": lambda: add_note(session, actor, staff, public_id, "x"),
        "merge": lambda: merge(session, actor, staff, public_id, other.number, ticket.version),
        "merge into": lambda: merge(
            session, actor, staff, other.public_id, ticket.number, other.version
        ),
        "split": lambda: split(session, actor, staff, public_id, ticket.articles[0].id),
    }


@pytest.mark.parametrize("login", WORKS)
def test_staff_write_where_they_work(
    database: Database, world: World, installation: Installation, login: str
) -> None:
    """Who only reads is told so; who may not read learns nothing."""
    with database.write() as session:
        for name in NAMES:
            _write_twice(session, world, name)
    world = replace(world, tickets={**world.tickets, **_again(database, world)})
    with database.write() as session:
        for name in NAMES:
            for door in writing_doors(session, world, installation, login, name):
                savepoint = session.begin_nested()
                opened = writing_doors(session, world, installation, login, name)[door]
                if name in WORKS[login]:
                    opened()
                else:
                    error = Forbidden if name in STAFF[login] else NotFound
                    with pytest.raises(error):
                        opened()
                savepoint.rollback()
                session.expire_all()


@pytest.mark.parametrize("login", CUSTOMERS)
def test_a_customer_user_at_the_doors_of_an_answer(
    database: Database, world: World, installation: Installation, login: str
) -> None:
    """An answer, its file, and a ticket that was merged are open to those who see the ticket."""
    file = Upload("a.txt", "text/plain", b"Datei")
    with database.write() as session:
        root = world.staff(session, "root")
        for name in NAMES:
            ticket = world.ticket(session, name)
            answer = ReplyValues(
                text="Kürbiskernöl", uploads=(file,), seen_article=ticket.articles[-1].id
            )
            reply(session, installation, audit.staff_actor(root), root, ticket.public_id, answer)
        bert = world.ticket(session, "bert-sales")
        bert.merged_into_id = world.ticket(session, "anna-sales").id
    with database.read() as session:
        access = world.access(session, login)
        anna_may = "anna-sales" in CUSTOMERS[login]
        assert listed(session, access, "kürbiskernöl") == {
            world.tickets[name] for name in CUSTOMERS[login]
        }
        for name in NAMES:
            ticket, may = world.ticket(session, name), name in CUSTOMERS[login]
            public_id, answered = ticket.public_id, ticket.articles[-1]
            assert (
                allowed(
                    lambda i=public_id, a=answered.attachments[0].id: attachment_for_customer(
                        session, access, i, a
                    )
                )
                is may
            )
            assert not allowed(
                lambda i=public_id, a=answered.id: raw_for_customer(session, access, i, a)
            )
            may_final = anna_may if name == "bert-sales" else may
            assert allowed(lambda t=ticket: final_ticket(session, access, t)) is (
                may_final or ticket.merged_into_id is None
            )
            found = ticket_with_number(session, access, ticket.number)
            assert (found is not None) is may_final


def _write_twice(session: Session, world: World, name: str) -> None:
    """Give a ticket a second message, so that the first can be split off."""
    ticket = world.ticket(session, name)
    session.add(
        Article(
            ticket_id=ticket.id,
            author=Author.CUSTOMER,
            customer_user_id=ticket.customer_user_id,
            text="x",
            visible=True,
            created_at=now(),
        )
    )


def _again(database: Database, world: World) -> dict[str, str]:
    """Give each ticket a second one of the same account in the same queue, to merge with."""
    again = {}
    with database.write() as session:
        for name in NAMES:
            ticket = world.ticket(session, name)
            other = Ticket(
                public_id=new_public_id(),
                queue_id=ticket.queue_id,
                customer_user_id=ticket.customer_user_id,
                customer_id=ticket.customer_id,
                requester=ticket.requester,
                subject="Noch eins",
                created_at=now(),
                changed_at=now(),
            )
            session.add(other)
            again[f"{name}-again"] = other.public_id
    return again
