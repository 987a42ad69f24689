"""Too many tickets of one account in a short time (threat L7): the rest goes into one ticket.

Nothing is dropped and nothing is refused: a monitoring that has gone wild fills one ticket, and
staff can still see the others. Most accounts never open that many; whether one needs counting is
a column of the query that finds accounts, and costs a few steps in an index.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    bindparam,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session

from core.intake.decision import OpenTicket, Outcome
from core.intake.facts import Facts, RecentTickets
from core.intake.named_tickets import find_tickets
from core.intake.prepare import Prepared
from core.models import CustomerUser, Ticket
from core.settings import Settings
from core.words import Flag, TicketState

WINDOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Recent:
    """The time that counts, and how many tickets an account must have to be worth counting.

    ``enough`` may be below one: then the batch itself has more mails of one account than allowed.
    """

    since: datetime
    enough: int

    @classmethod
    def of(cls, settings: Settings, batch: Sequence[Prepared]) -> "Recent":
        """Return what counts for a batch, in which one account may be there several times."""
        since = min(prepared.incoming.received_at for prepared in batch) - WINDOW
        most = max(Counter(prepared.from_key for prepared in batch).values())
        return cls(since, settings.burst_tickets - (most - 1))

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters of ``is_busy``."""
        return {"since": self.since, "all": self.enough < 1, "skip": max(self.enough - 1, 0)}


_SINCE: BindParameter[datetime] = bindparam("since", type_=Ticket.changed_at.type)


def is_busy() -> ColumnElement[bool]:
    """Return, as a column of a query for accounts, whether one must be counted.

    It looks at no more tickets than are allowed, whatever else has changed.
    """
    one_more = (
        select(Ticket.id)
        .where(Ticket.customer_user_id == CustomerUser.id, Ticket.changed_at >= _SINCE)
        .limit(1)
        .offset(bindparam("skip", type_=Integer))
        .correlate(CustomerUser)
    )
    return or_(bindparam("all", type_=Boolean), one_more.scalar_subquery().is_not(None))


_RECENT = (
    select(
        Ticket.customer_user_id,
        Ticket.queue_id,
        func.count().filter(Ticket.created_at >= _SINCE),
        func.max(Ticket.id).filter(Ticket.flag == Flag.BURST, Ticket.state != TicketState.CLOSED),
    )
    .where(
        Ticket.customer_user_id.in_(bindparam("keys", expanding=True)), Ticket.changed_at >= _SINCE
    )
    .group_by(Ticket.customer_user_id, Ticket.queue_id)
)


def recent_tickets(
    session: Session, recent: Recent, accounts: Collection[int]
) -> Mapping[int, Mapping[int, RecentTickets]]:
    """Return what these accounts have opened lately, by account and queue."""
    if not accounts:
        return {}
    values = {"keys": list(accounts), "since": recent.since}
    rows: Sequence[Any] = session.connection().execute(_RECENT, values).all()
    bursts = find_tickets(session, {burst for *_counted, burst in rows if burst is not None})
    found: dict[int, dict[int, RecentTickets]] = {account: {} for account in accounts}
    for account, queue, opened, burst in rows:
        found[account][queue] = RecentTickets(opened, bursts.get(burst))
    return found


class Opened:
    """The tickets that the messages of one batch open, for those behind them in it."""

    def __init__(self) -> None:
        self._opened: Counter[tuple[int, int]] = Counter()  # by account and queue

    def seen_by(self, facts: Facts) -> Facts:
        """Return the facts of a message as they are after the messages before it."""
        account = facts.match.account
        if account is None or not account.busy or facts.portal is not None:
            return facts
        recent = dict(facts.recent)
        for (account_id, queue_id), opened in self._opened.items():
            if account_id == account.customer_user_id:
                before = recent.get(queue_id, RecentTickets(0))
                recent[queue_id] = replace(before, opened=before.opened + opened)
        return replace(facts, recent=recent)

    def add(self, facts: Facts, outcome: Outcome) -> None:
        """Count what was decided for a message."""
        account = facts.match.account
        if account is not None and account.busy and isinstance(outcome, OpenTicket):
            self._opened[account.customer_user_id, outcome.queue_id] += 1
