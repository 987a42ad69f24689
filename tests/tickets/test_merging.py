"""Merging and splitting: what moves, what leads where, who may, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, SchalterError, Stale
from core.intake import submission
from core.intake.pipeline import take_in
from core.models import (
    Article,
    AuditEvent,
    CustomerUser,
    CustomerUserGroup,
    Delivery,
    OutgoingMail,
    Ticket,
    TicketLink,
    TicketMute,
    TicketSeen,
    now,
)
from core.organisation import load_organisation
from core.outgoing.installation import Installation
from core.tickets.lists import (
    StaffFilter,
    StateFilter,
    Tab,
    customer_tickets,
    staff_counts,
    staff_tickets,
)
from core.tickets.merging import check_merge, merge, merge_target, split
from core.tickets.notes import add_note
from core.tickets.overview import overview
from core.tickets.reply import ReplyValues, reply
from core.tickets.view import (
    conversation,
    final_ticket,
    mark_seen,
    ticket_for_customer,
    ticket_for_staff,
    ticket_with_number,
)
from core.tickets.work import change_ticket, link, ticket_values
from core.words import Author, Flag, Permission, TicketState, Validity
from tests.intake.mails import a_mail
from tests.tickets.statements import watched
from tests.tickets.world import World, a_world


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


@pytest.fixture
def second(database: Database, world: World) -> str:
    """Let Anna write to sales once more; return the ticket's public id."""
    return another_ticket(database)


def another_ticket(
    database: Database, sender: str = "anna@muster.example", message_id: str = "<20@x>"
) -> str:
    with database.write() as session:
        mail = a_mail("Noch einmal.\r\n", sender=sender, message_id=message_id, subject="Nochmal")
        public_id = take_in(session, [mail])[0].recipients[0].ticket_public_id
    assert public_id is not None
    return public_id


def by_id(session: Session, public_id: str) -> Ticket:
    return session.scalars(select(Ticket).where(Ticket.public_id == public_id)).one()


def do_merge(
    session: Session,
    world: World,
    source: str,
    target: str,
    login: str = "jonas",
    version: int | None = None,
) -> Ticket:
    """Let a member of staff merge two tickets, by their public ids."""
    staff, ticket = world.staff(session, login), by_id(session, source)
    return merge(
        session,
        audit.staff_actor(staff),
        staff,
        source,
        by_id(session, target).number,
        ticket.version if version is None else version,
    )


def do_split(session: Session, world: World, article: Article, login: str = "jonas") -> Ticket:
    staff = world.staff(session, login)
    ticket = session.get_one(Ticket, article.ticket_id)
    return split(session, audit.staff_actor(staff), staff, ticket.public_id, article.id)


def test_everything_moves_and_everything_leads_there(
    database: Database, world: World, second: str, installation: Installation
) -> None:
    first = world.tickets["anna-sales"]
    with database.write() as session:
        jonas = world.staff(session, "jonas")
        actor = audit.staff_actor(jonas)
        read = conversation(session, by_id(session, second), internal=True).newest
        values = ReplyValues(text="Unterwegs", seen_article=read)
        reply(session, installation, actor, jonas, second, values)
        link(session, actor, jonas, second, world.ticket(session, "bert-sales").number)
        link(session, actor, jonas, second, by_id(session, first).number)
        source, target = by_id(session, second), by_id(session, first)
        number, count = source.number, len(source.articles) + len(target.articles)
        mails = len(session.scalars(select(OutgoingMail).where(_is_of(source))).all())
        version = target.version
        assert mails > 0
        assert do_merge(session, world, second, first) is target
        assert (source.state, source.merged_into_id) == (TicketState.CLOSED, target.id)
        assert (source.articles, source.waiting_since) == ([], None)
        assert source.closed_at is not None
        assert (len(target.articles), target.version) == (count, version + 1)
        assert session.scalars(select(OutgoingMail).where(_is_of(source))).all() == []
        assert session.scalars(select(Delivery).where(Delivery.ticket_id == source.id)).all() == []
        bert = world.ticket(session, "bert-sales")
        links = session.execute(select(TicketLink.ticket_id, TicketLink.other_id)).all()
        assert [tuple(row) for row in links] == [(target.id, bert.id)]
    with database.read() as session:
        target = by_id(session, first)
        anna, queues = world.access(session, "anna"), world.queues(session, "jonas")
        old = ticket_for_customer(session, anna, second)
        assert final_ticket(session, anna, old).id == target.id
        assert final_ticket(session, anna, target) is target
        assert final_ticket(session, queues, ticket_for_staff(session, queues, second)) is target
        assert ticket_with_number(session, queues, number) is target
        for query in (str(number), "unterwegs", "noch einmal"):
            wanted = StaffFilter(state=StateFilter.ALL, query=query)
            found = staff_tickets(session, queues, wanted).page.items
            assert [ticket.id for ticket in found] == [target.id], query
        mine = customer_tickets(session, anna, tab=Tab.ALL, query=f"#{number}").page.items
        assert [ticket.id for ticket in mine] == [target.id]
        carol = world.access(session, "carol")
        assert customer_tickets(session, carol, tab=Tab.ALL, query=str(number)).page.items == ()
        shown = conversation(session, target, internal=False).articles
        assert [article.text.split()[0] for article in shown] == ["Wir", "Noch", "Unterwegs"]


def _is_of(ticket: Ticket) -> ColumnElement[bool]:
    return OutgoingMail.ticket_id == ticket.id


def test_both_histories_tell_of_it(database: Database, world: World, second: str) -> None:
    with database.write() as session:
        target = do_merge(session, world, second, world.tickets["anna-sales"])
        source = by_id(session, second)
    with database.read() as session:
        told = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(2)).all()
        assert [(event.action, event.object_id, event.actor_name) for event in told] == [
            ("merged-in", target.id, "jonas"),
            ("merged", source.id, "jonas"),
        ]
        assert told[0].after == {"ticket": source.number, "articles": 1}
        assert told[1].after == {"ticket": target.number}


def test_merging_is_flat(database: Database, world: World, second: str) -> None:
    third = another_ticket(database, message_id="<21@x>")
    first = world.tickets["anna-sales"]
    with database.write() as session:
        do_merge(session, world, second, third)
        do_merge(session, world, third, first)
        target = by_id(session, first)
        assert by_id(session, second).merged_into_id == target.id
        assert by_id(session, third).merged_into_id == target.id
        queues = world.queues(session, "jonas")
        for public_id in (second, third):
            number = by_id(session, public_id).number
            assert ticket_with_number(session, queues, number) is target
        with pytest.raises(Forbidden, match=str(target.number)):
            do_merge(session, world, second, world.tickets["bert-sales"])
        with pytest.raises(Invalid):  # the number of what was merged is the target's own
            do_merge(session, world, first, second)


def test_a_merged_ticket_is_changed_no_more(database: Database, world: World, second: str) -> None:
    with database.write() as session:
        do_merge(session, world, second, world.tickets["anna-sales"])
        jonas, source = world.staff(session, "jonas"), by_id(session, second)
        actor, values = audit.staff_actor(jonas), ticket_values(source)
        with pytest.raises(Forbidden):
            change_ticket(session, actor, jonas, second, values, source.version)
        with pytest.raises(Forbidden):
            add_note(session, actor, jonas, second, "Notiz")
        with pytest.raises(Forbidden):
            link(session, actor, jonas, second, world.ticket(session, "bert-sales").number)


def test_merged_tickets_are_no_work(database: Database, world: World, second: str) -> None:
    with database.write() as session:
        queues, wanted = world.queues(session, "jonas"), StaffFilter()
        before = staff_counts(session, queues, wanted)[TicketState.NEW]
        do_merge(session, world, second, world.tickets["anna-sales"])
        assert staff_counts(session, queues, wanted)[TicketState.NEW] == before - 1
        listed = {ticket.public_id for ticket in staff_tickets(session, queues, wanted).page.items}
        assert second not in listed
        unanswered = overview(session, world.staff(session, "jonas")).unanswered
        assert unanswered is not None
        assert unanswered.merged_into_id is None


WAITING: list[tuple[str, int | None, int | None, int | None]] = [
    # minutes since the customer waits in the source, in the target -> in the merged one
    ("the source longer", 9, 5, 9),
    ("the target longer", 5, 9, 9),
    ("only in the source", 5, None, 5),
    ("only in the target", None, 5, 5),
    ("in neither", None, None, None),
]


@pytest.mark.parametrize(("of_source", "of_target", "expected"), [row[1:] for row in WAITING])
@pytest.mark.parametrize("state", [TicketState.OPEN, TicketState.CLOSED])
def test_the_customer_has_waited_as_long_as_in_either(
    sqlite_database: Database,
    of_source: int | None,
    of_target: int | None,
    expected: int | None,
    state: TicketState,
) -> None:
    """And the target's state stays: a closed one is not opened."""
    world, at = a_world(sqlite_database), now()
    public_id = another_ticket(sqlite_database)
    since = {None: None, **{minutes: at - timedelta(minutes=minutes) for minutes in (5, 9)}}
    with sqlite_database.write() as session:
        source, target = by_id(session, public_id), world.ticket(session, "anna-sales")
        source.waiting_since, target.waiting_since = since[of_source], since[of_target]
        target.state = state
        session.flush()
        do_merge(session, world, public_id, target.public_id)
        assert (target.waiting_since, target.state) == (since[expected], state)


def test_who_may_merge(database: Database, world: World, second: str) -> None:
    first, support = world.tickets["anna-sales"], world.tickets["anna-support"]
    attempts: list[tuple[str, str, str, type[SchalterError]]] = [
        ("tina", second, first, Forbidden),  # reads both
        ("jonas", support, first, NotFound),
        ("jonas", second, support, Invalid),  # no number that he can read
    ]
    with database.write() as session:
        for login, source, target, error in attempts:
            with pytest.raises(error):
                do_merge(session, world, source, target, login)
        version = by_id(session, second).version
        with pytest.raises(Stale):
            do_merge(session, world, second, first, version=version - 1)
        with pytest.raises(Invalid):
            do_merge(session, world, first, first)
        assert by_id(session, second).merged_into_id is None


def test_only_tickets_of_one_customer_are_merged(database: Database, world: World) -> None:
    with database.write() as session:
        for other in ("bert-sales", "carol-sales"):  # a colleague's, another firm's
            with pytest.raises(Invalid) as caught:
                do_merge(session, world, world.tickets[other], world.tickets["anna-sales"])
            assert caught.value.field == "number"


REQUESTERS: list[tuple[str, str, bool]] = [
    ("f@else.example", "F@ELSE.example", True),
    ("f@else.example", "g@else.example", False),
    ("", "", False),  # nobody knows who they are
    ("kein-at", "kein-at", False),
]


@pytest.mark.parametrize(("of_source", "of_target", "may_be"), REQUESTERS)
@pytest.mark.parametrize("customer", [None, "K-1000"])
def test_tickets_without_account(
    sqlite_database: Database, of_source: str, of_target: str, may_be: bool, customer: str | None
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        source, target = (world.ticket(session, name) for name in ("bert-sales", "anna-sales"))
        source.customer_user_id = target.customer_user_id = None
        source.customer_id = None
        target.customer_id = world.firm.customers[customer] if customer else None
        source.requester, target.requester = of_source, of_target
        session.flush()
        if may_be and customer is None:
            assert do_merge(session, world, source.public_id, target.public_id) is target
            return
        with pytest.raises(Invalid):
            do_merge(session, world, source.public_id, target.public_id)


def test_nobody_reads_more_than_before(database: Database, world: World) -> None:
    """Chris sees sales of the whole firm, but not support: so Anna's support stays there."""
    first, support = world.tickets["anna-sales"], world.tickets["anna-support"]
    with database.write() as session:
        with pytest.raises(Invalid, match="Chris Chef") as caught:
            do_merge(session, world, support, first, "root")
        assert caught.value.field == "number"
        organisation, queues = load_organisation(session), world.queues(session, "root")
        target = merge_target(session, queues, support, by_id(session, first).number)
        with pytest.raises(Invalid):
            check_merge(session, organisation, by_id(session, support), target)
        chris = session.get_one(CustomerUser, world.firm.customer_users["chris"])
        chris.permissions = [
            CustomerUserGroup(group_id=world.firm.groups["technik"], permission=Permission.RO)
        ]
        session.flush()
        assert do_merge(session, world, support, first, "root").public_id == first


def test_into_a_queue_that_fewer_see(database: Database, world: World) -> None:
    """That hides messages from some, as a move does, and shows nobody anything."""
    first, support = world.tickets["anna-sales"], world.tickets["anna-support"]
    with database.write() as session:
        do_merge(session, world, first, support, "root")
        chris, anna = world.access(session, "chris"), world.access(session, "anna")
        old = ticket_for_customer(session, chris, first)
        with pytest.raises(NotFound):
            final_ticket(session, chris, old)
        assert final_ticket(session, anna, old).public_id == support


SEEN: list[tuple[str, int | None, int | None, int | None]] = [
    # Anna's two tickets have articles 1 and 4 (hers), 2 and 3 (ours) in the target,
    # 5 (hers) and 6 (ours) in the source; seen in source, in target -> in the merged one
    ("everything", 6, 4, 6),
    ("not the answer in the source", 5, 4, 5),
    ("not the second answer in the target", 6, 2, 2),
    ("nothing of the target", 6, None, 1),
    ("nothing of the source", None, 4, 5),  # 5 is her own
    ("nothing at all", None, None, None),
]


@pytest.mark.parametrize(("in_source", "in_target", "expected"), [row[1:] for row in SEEN])
def test_what_was_not_looked_at_stays_news(
    sqlite_database: Database,
    in_source: int | None,
    in_target: int | None,
    expected: int | None,
) -> None:
    world = a_world(sqlite_database)
    public_id = another_ticket(sqlite_database)
    with sqlite_database.write() as session:
        anna = world.firm.customer_users["anna"]
        source, target = by_id(session, public_id), world.ticket(session, "anna-sales")
        ids: dict[int | None, int] = {}
        for number, (ticket, mine) in enumerate(
            [
                (target, True),
                (target, False),
                (target, False),
                (target, True),
                (source, True),
                (source, False),
            ],
            start=1,
        ):
            article = Article(
                ticket_id=ticket.id,
                author=Author.CUSTOMER if mine else Author.STAFF,
                customer_user_id=anna if mine else None,
                text="x",
                visible=True,
                created_at=now(),
            )
            session.add(article)
            session.flush()
            ids[number] = article.id
        for article in [*session.scalars(select(Article).where(Article.id < ids[1]))]:
            article.visible = False
        for ticket, seen in ((source, in_source), (target, in_target)):
            if seen is not None:
                mark_seen(session, anna, ticket, ids[seen])
        do_merge(session, world, public_id, target.public_id)
        rows = session.execute(select(TicketSeen.ticket_id, TicketSeen.article_id)).all()
        found = [tuple(row) for row in rows]
        assert found == ([(target.id, ids[expected])] if expected is not None else [])


@pytest.mark.parametrize("muted", [(), ("source",), ("target",), ("source", "target")])
def test_muted_stays_only_what_was_muted_in_both(
    sqlite_database: Database, muted: tuple[str, ...]
) -> None:
    world = a_world(sqlite_database)
    public_id = another_ticket(sqlite_database)
    with sqlite_database.write() as session:
        anna, bert = (world.firm.customer_users[name] for name in ("anna", "bert"))
        source, target = by_id(session, public_id), world.ticket(session, "anna-sales")
        tickets = {"source": source.id, "target": target.id}
        session.add_all(
            TicketMute(customer_user_id=anna, ticket_id=tickets[name]) for name in muted
        )
        elsewhere = world.ticket(session, "bert-sales").id
        session.add(TicketMute(customer_user_id=bert, ticket_id=elsewhere))
        session.flush()
        do_merge(session, world, public_id, target.public_id)
        rows = session.execute(select(TicketMute.customer_user_id, TicketMute.ticket_id)).all()
        both = {(anna, target.id)} if len(muted) == 2 else set()
        assert {tuple(row) for row in rows} == {(bert, elsewhere)} | both


def test_merging_many_articles_takes_no_more_statements(
    database: Database, world: World, second: str
) -> None:
    third = another_ticket(database, message_id="<21@x>")
    with database.write() as session:
        root = world.staff(session, "root")
        for number in range(20):
            add_note(session, audit.staff_actor(root), root, third, f"Notiz {number}")
    counts = []
    for public_id in (second, third):
        with database.write() as session, watched(database) as statements:
            do_merge(session, world, public_id, world.tickets["anna-sales"])
        counts.append(len(statements))
    assert counts[1] <= counts[0]


def test_splitting_a_message_off(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        ticket.waiting_since = None
        session.flush()
        take_in(session, [submission.reply(anna, ticket, "Etwas ganz anderes")])
        session.expire_all()
        article = ticket.articles[-1]
        assert ticket.waiting_since == article.created_at
        version = ticket.version
        new = do_split(session, world, article)
        assert (new.queue_id, new.customer_user_id) == (ticket.queue_id, anna.id)
        assert (new.customer_id, new.requester) == (anna.customer_id, "anna@muster.example")
        assert (new.state, new.subject) == (TicketState.NEW, "Angebot")
        assert (new.created_at, new.waiting_since) == (article.created_at, article.created_at)
        assert [each.id for each in new.articles] == [article.id]
        assert article.id not in [each.id for each in ticket.articles]
        assert (ticket.waiting_since, ticket.version) == (None, version + 1)
        assert session.get(TicketLink, (ticket.id, new.id)) is not None
        deliveries = session.scalars(select(Delivery).where(Delivery.article_id == article.id))
        assert [delivery.ticket_id for delivery in deliveries] == [new.id]
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(2)).all()
        assert {(event.action, event.object_id) for event in events} == {
            ("created", new.id),
            ("split", ticket.id),
        }
        assert ticket_for_customer(session, world.access(session, "anna"), new.public_id)
        found = staff_tickets(
            session, world.queues(session, "jonas"), StaffFilter(query="ganz anderes")
        )
        assert [each.id for each in found.page.items] == [new.id]


def test_the_customer_still_waits_for_the_other_messages(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        first = ticket.articles[0]
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        take_in(session, [submission.reply(anna, ticket, "Zweitens")])
        session.expire_all()
        reply_ = ticket.articles[-1]
        assert ticket.waiting_since == first.created_at
        do_split(session, world, first)
        assert ticket.waiting_since == reply_.created_at


AUTHORS: list[tuple[str, str | None, bool]] = [
    # who wrote it -> whose ticket it becomes
    ("bert", "bert", True),
    ("carol", "carol", True),
    ("gone", None, True),  # invalid
    ("nobody", None, True),
    ("bert in support", None, True),  # may only read there
]


@pytest.mark.parametrize(("author", "owner", "visible"), AUTHORS)
def test_whose_the_new_ticket_is(
    sqlite_database: Database, author: str, owner: str | None, visible: bool
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        ticket = world.ticket(session, "anna-support" if "support" in author else "anna-sales")
        users = world.firm.customer_users
        article = Article(
            ticket_id=ticket.id,
            author=Author.CUSTOMER,
            customer_user_id=users.get(author.split()[0]),
            from_address="wer@else.example",
            subject=f"AW: [Ticket#{ticket.number}] Re: Ganz anders",
            text="x",
            flag=Flag.FOREIGN_ADDRESS,
            visible=False,
            created_at=now(),
        )
        session.add(article)
        session.flush()
        session.expire(ticket, ["articles"])
        new = do_split(session, world, article, "root")
        assert new.customer_user_id == (users[owner] if owner else None)
        assert (new.customer_id is None) is (owner is None)
        assert (new.requester, new.flag) == ("wer@else.example", Flag.FOREIGN_ADDRESS)
        assert new.subject == "Ganz anders"
        assert article.visible is visible
        for login in ("anna", "bert", "chris", "carol"):
            access = world.access(session, login)
            sees = access.may_see_ticket(new)
            assert sees is (login == owner or (owner == "bert" and login == "chris")), login


REFUSED: list[tuple[str, type[SchalterError]]] = [
    ("the only message", Invalid),
    ("a note", Invalid),
    ("an answer of ours", Invalid),
    ("a delivery report", Invalid),
    ("a message of another ticket", NotFound),
    ("no message", NotFound),
    ("a ticket that is only read", Forbidden),
    ("another group's ticket", NotFound),
]


@pytest.mark.parametrize(("what", "error"), REFUSED)
def test_what_is_not_split(
    database: Database, world: World, what: str, error: type[SchalterError]
) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        first, note = ticket.articles
        answer, report = (
            Article(
                ticket_id=ticket.id,
                author=author,
                flag=flag,
                text="x",
                visible=visible,
                created_at=now(),
            )
            for author, flag, visible in [
                (Author.STAFF, None, True),
                (Author.UNKNOWN, Flag.DELIVERY_REPORT, False),
            ]
        )
        if what not in {"the only message", "a note"}:
            session.add_all([answer, report])
            session.flush()
        login, public_id = "jonas", ticket.public_id
        article_id = {
            "a note": note.id,
            "an answer of ours": answer.id,
            "a delivery report": report.id,
            "a message of another ticket": world.articles(session, "bert-sales")[0].id,
            "no message": 10**6,
        }.get(what, first.id)
        if what == "a ticket that is only read":
            login = "tina"
        elif what == "another group's ticket":
            public_id = world.tickets["anna-support"]
            article_id = world.articles(session, "anna-support")[0].id
        staff = world.staff(session, login)
        with pytest.raises(error):
            split(session, audit.staff_actor(staff), staff, public_id, article_id)


def test_an_author_who_became_invalid_leaves_no_account(database: Database, world: World) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        bert = session.get_one(CustomerUser, world.firm.customer_users["bert"])
        session.add(
            Article(
                ticket_id=ticket.id,
                author=Author.CUSTOMER,
                customer_user_id=bert.id,
                from_address="bert@muster.example",
                text="x",
                visible=True,
                created_at=now(),
            )
        )
        bert.valid = Validity.INVALID
        session.flush()
        session.expire(ticket, ["articles"])
        new = do_split(session, world, ticket.articles[-1])
        assert (new.customer_user_id, new.requester) == (None, "bert@muster.example")


def test_two_who_merge_crosswise(database: Database, world: World, second: str) -> None:
    """One of them wins and the other one is told; neither waits for the other for ever."""
    first = world.tickets["anna-sales"]
    with database.read() as session:
        numbers = {each: by_id(session, each).number for each in (first, second)}
        versions = {each: by_id(session, each).version for each in (first, second)}
    begin = Barrier(2)

    def attempt(source: str, target: str) -> bool:
        begin.wait(10)
        try:
            with database.write() as session:
                root = world.staff(session, "root")
                actor = audit.staff_actor(root)
                merge(session, actor, root, source, numbers[target], versions[source])
        except (Stale, Forbidden, Invalid):
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, (first, second), (second, first)))
    assert sorted(done) == [False, True]
    with database.read() as session:
        merged = [by_id(session, each).merged_into_id for each in (first, second)]
        assert sum(each is not None for each in merged) == 1


def test_a_reply_to_what_is_being_merged(
    database: Database, world: World, second: str, installation: Installation
) -> None:
    """Whatever comes first, no article is left behind in a merged ticket."""
    with database.read() as session:
        version = by_id(session, second).version
        target = world.ticket(session, "anna-sales").number
        read = conversation(session, by_id(session, second), internal=True).newest
    begin = Barrier(2)

    def merging() -> None:
        begin.wait(10)
        with suppress(Stale), database.write() as session:
            root = world.staff(session, "root")
            merge(session, audit.staff_actor(root), root, second, target, version)

    def answering() -> None:
        begin.wait(10)
        with suppress(Forbidden), database.write() as session:
            jonas = world.staff(session, "jonas")
            values = ReplyValues(text="Ja", seen_article=read)
            reply(session, installation, audit.staff_actor(jonas), jonas, second, values)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(merging), pool.submit(answering)]:
            future.result(30)
    with database.read() as session:
        ticket = by_id(session, second)
        assert (ticket.merged_into_id is not None) is (ticket.articles == [])
