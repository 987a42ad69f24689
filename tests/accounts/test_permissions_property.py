"""One function decides: for random organisations, everything that asks gives the same answer.

Lists, views, files, replies, new tickets by mail and in the portal, releases of held mail,
assignments, counts: each is held against an oracle that shares no code with the program.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.permissions import Access, customer_user_access
from core.accounts.reach import queue_reaches
from core.accounts.rights import queue_rights
from core.audit import customer_actor, staff_actor
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound
from core.intake import submission
from core.intake.held import release
from core.intake.pipeline import take_in
from core.models import Delivery, Ticket
from core.organisation import load_organisation
from core.tickets.lists import Scope, Tab, customer_tickets
from core.tickets.view import attachment_for_customer, ticket_for_customer
from core.tickets.work import assign_to_account, close_by_customer
from core.words import DecisionKind
from tests.accounts.random_firm import RandomFirm, Stored, random_firms, store
from tests.intake.mails import a_mail
from tests.support.postgresql import PostgresqlServer

FILED = {DecisionKind.OPEN_TICKET, DecisionKind.APPEND_ARTICLE}
REFUSALS = (NotFound, Forbidden, Invalid)
SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_numbers = count()


@pytest.mark.slow
@given(firm=random_firms())
@settings(SETTINGS, max_examples=30)
def test_everything_that_asks_gets_the_same_answer(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, firm: RandomFirm
) -> None:
    file = tmp_path_factory.getbasetemp() / f"property-{next(_numbers)}.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    try:
        compare(database, firm)
    finally:
        database.dispose()
        file.unlink()


@pytest.mark.postgresql
@pytest.mark.slow
@given(firm=random_firms())
@settings(SETTINGS, max_examples=5)
def test_everything_that_asks_gets_the_same_answer_on_postgresql(
    postgresql_server: PostgresqlServer, postgresql_template: str, firm: RandomFirm
) -> None:
    name = postgresql_server.create(template=postgresql_template)
    database = Database(postgresql_server.url(name))
    try:
        compare(database, firm)
    finally:
        database.dispose()
        postgresql_server.drop(name)


def compare(database: Database, firm: RandomFirm) -> None:
    """Ask everything about an organisation, and hold it against the oracle."""
    with database.write() as session:
        stored = store(session, firm)
    with database.write() as session:
        asking = Asking(session, firm, stored)
        asking.access()
        asking.counts()
        asking.tickets()
        asking.new_tickets()
        asking.replies()
        asking.releases()
        asking.assignments()


class Asking:
    """The questions, each to one part of the program; nothing that they do stays."""

    def __init__(self, session: Session, firm: RandomFirm, stored: Stored) -> None:
        self.session, self.firm = session, firm
        self.queue_ids = [queue.id for queue in stored.queues]
        self.accounts = [session.merge(account, load=True) for account in stored.accounts]
        self.tickets_ = [session.merge(ticket, load=True) for ticket in stored.tickets]
        self.attachment_ids = [attachment.id for attachment in stored.attachments]
        self.admin = session.merge(stored.admin, load=True)
        self.organisation = load_organisation(session)

    def access_of(self, account: int) -> Access:
        """Return the access of an account as pages get it."""
        return customer_user_access(self.session, self.organisation, self.accounts[account])

    def pairs(self) -> Iterator[tuple[int, int, bool]]:
        """Yield each account with each queue, and whether it may write there."""
        for account in range(len(self.accounts)):
            for queue in range(len(self.queue_ids)):
                yield account, queue, self.firm.permission(account, queue) == "rw"

    def access(self) -> None:
        """What the core of permissions says, and what people are told of it."""
        for account in range(len(self.accounts)):
            access = self.access_of(account)
            expected = {
                queue_id: permission
                for queue, queue_id in enumerate(self.queue_ids)
                if (permission := self.firm.permission(account, queue))
            }
            writable = {queue_id for queue_id, word in expected.items() if word == "rw"}
            told = queue_rights(self.organisation, access)
            assert {right.queue.id: right.permission for right in told} == expected
            assert all(right.reasons for right in told)
            assert set(access.writable_queues) == writable
            for queue_id in self.queue_ids:
                assert access.may_see(queue_id) == (queue_id in expected)
                assert access.may_write(queue_id) == (queue_id in writable)

    def counts(self) -> None:
        """For how many customer users a queue is open."""
        reaches = queue_reaches(self.session, self.organisation)
        for queue, queue_id in enumerate(self.queue_ids):
            writers = [
                account
                for account in range(len(self.accounts))
                if self.firm.permission(account, queue) == "rw"
            ]
            assert reaches[queue_id] == len(writers)

    def tickets(self) -> None:
        """Condition, list with its counts, page and file of each ticket."""
        for account in range(len(self.accounts)):
            access = self.access_of(account)
            visible = {n for n in range(len(self.tickets_)) if self.firm.sees(account, n)}
            own = {n for n in visible if self.firm.tickets[n].account == account}
            assert self.found(access) == visible
            assert self.listed(access, Scope.COMPANY) == visible
            assert self.listed(access, Scope.OWN) == own
            for number, ticket in enumerate(self.tickets_):
                sees = number in visible
                assert access.may_see_ticket(ticket) == sees
                assert access.may_reply(ticket) == self.firm.replies(account, number)
                public_id, file = ticket.public_id, self.attachment_ids[number]
                assert (
                    self.works(partial(ticket_for_customer, self.session, access, public_id))
                    == sees
                )
                assert (
                    self.works(
                        partial(attachment_for_customer, self.session, access, public_id, file)
                    )
                    == sees
                )

    def found(self, access: Access) -> set[int]:
        """Return the tickets that the condition lets through."""
        ids = set(self.session.scalars(select(Ticket.id).where(access.visible_tickets())))
        return {number for number, ticket in enumerate(self.tickets_) if ticket.id in ids}

    def listed(self, access: Access, scope: Scope) -> set[int]:
        """Return the tickets on the page of a list, whose counts must agree."""
        found = customer_tickets(self.session, access, scope=scope, tab=Tab.ALL)
        ids = {ticket.id for ticket in found.page.items}
        assert found.counts.all == len(ids) == len(found.page.items)
        return {number for number, ticket in enumerate(self.tickets_) if ticket.id in ids}

    def new_tickets(self) -> None:
        """A mail and a form of the portal, from each account to each queue."""
        for account, queue, may_write in self.pairs():
            sender = self.accounts[account]
            by_mail = a_mail(
                sender=sender.email,
                to=f"q{queue}@example.org",
                message_id=f"<{account}.{queue}@firma.example>",
            )
            by_portal = submission.new_ticket(sender, self.queue_ids[queue], "Frage", "Text")
            with undone(self.session):
                decisions = [
                    receipt.recipients[0].decision
                    for receipt in take_in(self.session, [by_mail, by_portal])
                ]
            assert [decision in FILED for decision in decisions] == [may_write] * 2

    def replies(self) -> None:
        """A reply in the portal to each ticket, and closing it there."""
        for account, me in enumerate(self.accounts):
            access = self.access_of(account)
            for number, ticket in enumerate(self.tickets_):
                with undone(self.session):
                    receipt = take_in(self.session, [submission.reply(me, ticket, "Danke")])[0]
                    decision = receipt.recipients[0].decision
                assert (decision in FILED) == self.firm.replies(account, number)
                public_id = ticket.public_id
                closes = self.works(
                    partial(close_by_customer, self.session, customer_actor(me), access, public_id)
                )
                assert closes == self.firm.replies(account, number)

    def releases(self) -> None:
        """The release of a held mail to each queue, as one of each account."""
        valid = [queue for queue in self.organisation.queues.values() if queue.valid]
        if not valid:
            return
        place = self.queue_ids.index(valid[0].id)
        mail = a_mail(sender="stranger@example.com", to=f"q{place}@example.org")
        take_in(self.session, [mail])
        held = self.session.scalars(select(Delivery)).one()
        for account, queue, may_write in self.pairs():
            queue_id, account_id = self.queue_ids[queue], self.accounts[account].id
            released = self.works(
                partial(
                    release,
                    self.session,
                    staff_actor(self.admin),
                    self.admin,
                    held.id,
                    queue_id,
                    account_id,
                )
            )
            assert released == may_write

    def assignments(self) -> None:
        """Saying that a ticket is from an account."""
        for account, queue, may_write in self.pairs():
            for number, ticket in enumerate(self.tickets_):
                if self.firm.tickets[number].queue != queue:
                    continue
                public_id, version = ticket.public_id, ticket.version
                account_id = self.accounts[account].id
                assigned = self.works(
                    partial(
                        assign_to_account,
                        self.session,
                        staff_actor(self.admin),
                        self.admin,
                        public_id,
                        account_id,
                        version,
                    )
                )
                assert assigned == may_write

    def works(self, ask: Callable[[], object]) -> bool:
        """Whether something is permitted; what it does is undone."""
        try:
            with undone(self.session):
                ask()
        except REFUSALS:
            return False
        return True


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """Undo what is done in this block."""
    savepoint = session.begin_nested()
    try:
        yield
        session.flush()
    finally:
        savepoint.rollback()
        session.expire_all()
