"""Lists of tickets: a customer's own, their firm's, and those of staff.

Sorted by the last change, newest first. A page costs the same however many tickets there are:
it is read from indexes in order (``ranges``), and each row's queue, customer, account and owner
come with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from core.accounts.permissions import Access
from core.accounts.staff import StaffQueues
from core.models import Article, Ticket, TicketSeen
from core.organisation import load_organisation
from core.paging import Page, read_page
from core.tickets.search import search_tickets
from core.tickets.tags import has_tag
from core.words import Flag, TicketState

MAX_COUNTED = 1000  # of a state in a list of staff; one more says that there are more

_NEWEST_CHANGE: Sequence[InstrumentedAttribute[Any]] = (Ticket.changed_at, Ticket.id)
_UNCLOSED = (TicketState.NEW, TicketState.OPEN, TicketState.WAITING)


class Scope(StrEnum):
    """Whose tickets a customer user looks at: their own, or all with their Kunden#."""

    OWN = "own"
    COMPANY = "company"


class Tab(StrEnum):
    """Which tickets are listed; ``open`` is everything that is not closed."""

    OPEN = "open"
    CLOSED = "closed"
    ALL = "all"


class StateFilter(StrEnum):
    """Which tickets staff look at: one state, all that are not closed, or all."""

    UNCLOSED = "unclosed"
    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"
    ALL = "all"

    @property
    def states(self) -> tuple[TicketState, ...]:
        """The states that it lets through."""
        if self is StateFilter.UNCLOSED:
            return _UNCLOSED
        if self is StateFilter.ALL:
            return tuple(TicketState)
        return (TicketState(self.value),)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tickets are behind each tab."""

    open: int
    closed: int

    @property
    def all(self) -> int:
        """Open and closed ones."""
        return self.open + self.closed


@dataclass(frozen=True, slots=True)
class CustomerTickets:
    """A page of a customer user's list with what stands around it.

    ``news`` are the ids of those tickets in which somebody else wrote since they were looked at.
    ``complete`` is false when a search found more than it looks at.
    """

    page: Page[Ticket]
    counts: Counts
    news: frozenset[int]
    complete: bool


@dataclass(frozen=True, slots=True)
class StaffFilter:
    """What staff narrow their list down to; ``owner_id`` 0 is nobody."""

    state: StateFilter = StateFilter.UNCLOSED
    queue_id: int | None = None
    owner_id: int | None = None
    customer_id: int | None = None
    customer_user_id: int | None = None
    flag: Flag | None = None
    tag: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class StaffTickets:
    """A page of the list of staff; ``complete`` is false when a search looked at not all."""

    page: Page[Ticket]
    complete: bool


def customer_tickets(
    session: Session,
    access: Access,
    *,
    scope: Scope = Scope.OWN,
    tab: Tab = Tab.OPEN,
    query: str = "",
    cursor: str | None = None,
    limit: int = 25,
) -> CustomerTickets:
    """Return a page of the tickets that a customer user may see.

    Who may not see the firm's tickets gets their own whatever ``scope`` says. A search looks at
    the number, the subject and the text of what the customer may read.
    """
    owners = _owners(access, scope)
    visible = and_(access.visible_tickets(), or_(*owners)) if owners else false()
    complete = True
    if query.strip():
        found = search_tickets(session, query, visible, internal=False)
        visible, complete = and_(visible, Ticket.id.in_(found.ticket_ids)), found.complete
    wanted = and_(visible, _in_tab(tab))
    page = read_page(
        session,
        _with_names(select(Ticket)),
        _NEWEST_CHANGE,
        descending=True,
        cursor=cursor,
        limit=limit,
        ranges=[and_(owner, wanted) for owner in owners or [false()]],
    )
    news = _news(session, access, [ticket.id for ticket in page.items])
    return CustomerTickets(page, _counts(session, visible), news, complete)


def staff_tickets(
    session: Session,
    queues: StaffQueues,
    wanted: StaffFilter,
    *,
    cursor: str | None = None,
    limit: int = 25,
) -> StaffTickets:
    """Return a page of the tickets in the queues that a member of staff may read."""
    condition = and_(_readable(session, queues), *_conditions(wanted))
    complete = True
    if wanted.query.strip():
        found = search_tickets(session, wanted.query, condition, internal=True)
        condition, complete = and_(condition, Ticket.id.in_(found.ticket_ids)), found.complete
        ranges = [condition]
    else:
        ranges = [and_(each, condition) for each in _ranges(session, queues, wanted)]
    page = read_page(
        session,
        _with_names(select(Ticket)),
        _NEWEST_CHANGE,
        descending=True,
        cursor=cursor,
        limit=limit,
        ranges=ranges,
    )
    return StaffTickets(page, complete)


def staff_counts(
    session: Session, queues: StaffQueues, wanted: StaffFilter
) -> Mapping[TicketState, int]:
    """Return how many tickets a list of staff has in each state but *closed*.

    Whatever state ``wanted`` names, the other filters hold. Nothing is counted beyond
    ``MAX_COUNTED``: the page must not cost more the more tickets there are.
    """
    unclosed = replace(wanted, state=StateFilter.UNCLOSED)
    condition = and_(*_conditions(unclosed), _readable(session, queues))
    if wanted.query.strip():
        found = search_tickets(session, wanted.query, condition, internal=True)
        condition = and_(condition, Ticket.id.in_(found.ticket_ids))
    counts = session.execute(
        select(*(_counted(and_(Ticket.state == state, condition)) for state in _UNCLOSED))
    ).one()
    return dict(zip(_UNCLOSED, counts, strict=True))


def _counted(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    some = select(Ticket.id).where(condition).limit(MAX_COUNTED + 1).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _with_names(statement: Select[Ticket]) -> Select[Ticket]:
    """Load what a row of a list names in the same statement."""
    return statement.options(
        joinedload(Ticket.queue),
        joinedload(Ticket.customer),
        joinedload(Ticket.customer_user),
        joinedload(Ticket.owner),
    )


def _owners(access: Access, scope: Scope) -> list[ColumnElement[bool]]:
    """Return whose tickets are listed, one condition for each index that finds them in order."""
    owners: list[ColumnElement[bool]] = []
    if access.customer_user_id is not None:
        owners.append(Ticket.customer_user_id == access.customer_user_id)
    if scope is Scope.COMPANY and access.sees_customer_tickets:
        owners.append(Ticket.customer_id == access.customer_id)
    return owners


def _in_tab(tab: Tab) -> ColumnElement[bool]:
    if tab is Tab.ALL:
        return true()
    if tab is Tab.CLOSED:
        return Ticket.state == TicketState.CLOSED
    return Ticket.state != TicketState.CLOSED


def _counts(session: Session, visible: ColumnElement[bool]) -> Counts:
    is_closed = Ticket.state == TicketState.CLOSED
    statement = select(
        func.count(Ticket.id).filter(~is_closed), func.count(Ticket.id).filter(is_closed)
    ).where(visible)
    return Counts(*session.execute(statement).one())


def _news(session: Session, access: Access, ticket_ids: Sequence[int]) -> frozenset[int]:
    """Return the tickets with a visible article by somebody else that is newer than the last look.

    Of colleagues' tickets only those that were looked at once: the others are no news of theirs.
    """
    me = access.customer_user_id
    if me is None or not ticket_ids:
        return frozenset()
    statement = (
        select(Article.ticket_id)
        .join(Ticket, Ticket.id == Article.ticket_id)
        .outerjoin(
            TicketSeen,
            and_(TicketSeen.ticket_id == Ticket.id, TicketSeen.customer_user_id == me),
        )
        .where(
            Article.ticket_id.in_(ticket_ids),
            Article.visible,
            Article.customer_user_id.is_distinct_from(me),
            or_(Ticket.customer_user_id == me, TicketSeen.article_id.is_not(None)),
            Article.id > func.coalesce(TicketSeen.article_id, 0),
        )
        .distinct()
    )
    return frozenset(session.scalars(statement))


def _conditions(wanted: StaffFilter) -> Iterable[ColumnElement[bool]]:
    """Return the filters; what ``_ranges`` repeats of them lets a search use them too."""
    if wanted.state is not StateFilter.ALL:
        yield Ticket.state.in_(wanted.state.states)
    if wanted.queue_id is not None:
        yield Ticket.queue_id == wanted.queue_id
    if wanted.owner_id is not None:
        yield Ticket.owner_id == (wanted.owner_id or None)
    if wanted.customer_id is not None:
        yield Ticket.customer_id == wanted.customer_id
    if wanted.customer_user_id is not None:
        yield Ticket.customer_user_id == wanted.customer_user_id
    if wanted.flag is not None:
        yield Ticket.flag == wanted.flag
    if wanted.tag:
        yield has_tag(wanted.tag)


def _readable(session: Session, queues: StaffQueues) -> ColumnElement[bool]:
    if _reads_all(session, queues):
        return true()
    return Ticket.queue_id.in_(sorted(queues.readable))


def _reads_all(session: Session, queues: StaffQueues) -> bool:
    return queues.readable >= load_organisation(session).queues.keys()


def _ranges(
    session: Session, queues: StaffQueues, wanted: StaffFilter
) -> list[ColumnElement[bool]]:
    """Return conditions that together are the list, each found in order by an index."""
    if wanted.customer_user_id is not None:
        return [Ticket.customer_user_id == wanted.customer_user_id]
    if wanted.customer_id is not None:
        return [Ticket.customer_id == wanted.customer_id]
    states = [Ticket.state == state for state in wanted.state.states]
    if wanted.queue_id is None and _reads_all(session, queues):
        return [true()] if wanted.state is StateFilter.ALL else states
    ids = [wanted.queue_id] if wanted.queue_id is not None else sorted(queues.readable)
    ranges = [and_(Ticket.queue_id == id_, state) for id_, state in product(ids, states)]
    return ranges or [false()]
