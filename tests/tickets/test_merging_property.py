"""Merging and splitting show no message to anybody who could not read it before.

For random organisations, each pair of tickets is merged and each message split off, and what every
customer user can read is held against what they could read before. The one exception is a
message that becomes a ticket of its author: it is theirs, and of those who see their tickets.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.permissions import customer_user_access
from core.audit import staff_actor
from core.db import Database
from core.errors import Forbidden, Invalid
from core.models import Article, Ticket, now
from core.organisation import load_organisation
from core.tickets.merging import merge, split
from core.words import Author, Permission, TicketState
from tests.accounts.random_firm import (
    RandomAccount,
    RandomFirm,
    RandomTicket,
    Stored,
    random_firms,
    store,
)
from tests.support.postgresql import PostgresqlServer

SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Readable = Mapping[int, frozenset[int]]  # ids of articles, by account
_numbers = count()
# Who wrote a further message of each ticket (None: nobody known), and whether it is visible.
MESSAGES = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.booleans()), min_size=6, max_size=6
)


def firms() -> st.SearchStrategy[RandomFirm]:
    """Return organisations in which one account has tickets in several queues.

    Tickets of different customers are not merged at all, so others would show little.
    """
    return random_firms().flatmap(
        lambda firm: st.lists(
            st.builds(
                RandomTicket,
                queue=st.integers(0, len(firm.queues) - 1),
                account=st.sampled_from([0, 0, 0, None]),
                customer=st.just(0),
            ),
            min_size=2,
            max_size=4,
        ).map(lambda tickets: replace(firm, tickets=tuple(tickets)))
    )


# A colleague sees all of the firm's tickets in the first queue, and none in the second; their
# own ticket there was moved away from them.
TWO_QUEUES = RandomFirm(
    support=True,
    always=frozenset(),
    groups=(True, True),
    queues=((0, True), (1, True)),
    customers=((True, {0: Permission.RW}),),
    accounts=(
        RandomAccount(customer=0, groups={1: Permission.RW}, validity=0, sees_all=False),
        RandomAccount(customer=0, groups={}, validity=0, sees_all=True),
    ),
    tickets=(
        RandomTicket(queue=0, account=0, customer=None),
        RandomTicket(queue=1, account=0, customer=None),
        RandomTicket(queue=0, account=1, customer=None),
        RandomTicket(queue=1, account=1, customer=None),
    ),
)


@pytest.mark.slow
@given(firm=firms(), messages=MESSAGES)
@example(firm=TWO_QUEUES, messages=[(1, False), (0, True)] * 3)
@settings(SETTINGS, max_examples=30)
def test_nobody_reads_more_than_before(
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    firm: RandomFirm,
    messages: list[tuple[int | None, bool]],
) -> None:
    file = tmp_path_factory.getbasetemp() / f"merging-{next(_numbers)}.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    try:
        compare(database, firm, messages)
    finally:
        database.dispose()
        file.unlink()


@pytest.mark.postgresql
@pytest.mark.slow
@given(firm=firms(), messages=MESSAGES)
@example(firm=TWO_QUEUES, messages=[(1, False), (0, True)] * 3)
@settings(SETTINGS, max_examples=5)
def test_nobody_reads_more_than_before_on_postgresql(
    postgresql_server: PostgresqlServer,
    postgresql_template: str,
    firm: RandomFirm,
    messages: list[tuple[int | None, bool]],
) -> None:
    name = postgresql_server.create(template=postgresql_template)
    database = Database(postgresql_server.url(name))
    try:
        compare(database, firm, messages)
    finally:
        database.dispose()
        postgresql_server.drop(name)


def compare(database: Database, firm: RandomFirm, messages: list[tuple[int | None, bool]]) -> None:
    with database.write() as session:
        stored = store(session, firm)
        for ticket, (author, visible) in zip(stored.tickets, messages, strict=False):
            account = (
                stored.accounts[author]
                if author is not None and author < len(stored.accounts)
                else None
            )
            session.add(
                Article(
                    ticket=ticket,
                    author=Author.CUSTOMER if account is not None else Author.UNKNOWN,
                    customer_user_id=account.id if account is not None else None,
                    from_address="x@firma.example",
                    text="Text",
                    visible=visible,
                    created_at=now(),
                )
            )
    with database.write() as session:
        each = Doing(session, firm, stored)
        for source, target in permutations(range(len(firm.tickets)), 2):
            each.merge(source, target)
        for article in session.scalars(select(Article)).all():
            each.split(article)


class Doing:
    """What is done, each time to what was stored: nothing of it stays."""

    def __init__(self, session: Session, firm: RandomFirm, stored: Stored) -> None:
        self.session, self.firm = session, firm
        self.accounts = [session.merge(account, load=True) for account in stored.accounts]
        self.tickets = [session.merge(ticket, load=True) for ticket in stored.tickets]
        self.admin = session.merge(stored.admin, load=True)
        self.organisation = load_organisation(session)
        self.before = self.readable()

    def readable(self) -> Readable:
        """Return what each account reads: by the condition that every page goes through."""
        found = {}
        for number, account in enumerate(self.accounts):
            access = customer_user_access(self.session, self.organisation, account)
            statement = select(Article.id).join(Ticket, Ticket.id == Article.ticket_id)
            visible = statement.where(access.visible_tickets(), Article.visible)
            found[number] = frozenset(self.session.scalars(visible))
        return found

    def merge(self, source: int, target: int) -> None:
        """Merge two tickets: whoever reads something afterwards could read it before."""
        before = self.before
        one, other = self.tickets[source], self.tickets[target]
        with undone(self.session):
            try:
                merge(
                    self.session,
                    staff_actor(self.admin),
                    self.admin,
                    one.public_id,
                    other.number,
                    one.version,
                )
            except Invalid:
                return
            after = self.readable()
            for account in before:
                assert after[account] <= before[account], (source, target, account)
            assert one.articles == []
            assert one.state is TicketState.CLOSED

    def split(self, article: Article) -> None:
        """Split a message off: only its author's side may read what it could not."""
        before, article_id = self.before, article.id
        ticket = self.session.get_one(Ticket, article.ticket_id)
        authors = [n for n, one in enumerate(self.accounts) if one.id == article.customer_user_id]
        with undone(self.session):
            try:
                new = split(
                    self.session, staff_actor(self.admin), self.admin, ticket.public_id, article_id
                )
            except (Invalid, Forbidden):
                return
            after = self.readable()
            for account in before:
                more = after[account] - before[account]
                if not more:
                    continue
                assert more == {article_id}, (article_id, account)
                assert account in authors or any(
                    self.sees_tickets_of(account, author) for author in authors
                )
            assert [each.id for each in new.articles] == [article_id]

    def sees_tickets_of(self, account: int, author: int) -> bool:
        """Whether an account is shown what an author writes: by the words of the handbook."""
        me, them = self.firm.accounts[account], self.firm.accounts[author]
        return me.sees_all and me.customer == them.customer


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """Undo what is done in this block."""
    savepoint = session.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()
        session.expire_all()
