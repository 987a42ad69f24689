"""The numbers of the dashboard. Each is answered by an index: none grows with closed tickets."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from core.accounts.staff import staff_queue_ids
from core.intake.held_list import HeldCounts, held_counts
from core.intake.mail_log import LoggedMail, MailFilter, mail_log
from core.models import Staff, Ticket
from core.organisation import load_organisation
from core.words import TicketState

LAST_MAILS = 10
_UNCLOSED = (TicketState.NEW, TicketState.OPEN, TicketState.WAITING)


@dataclass(frozen=True, slots=True)
class Overview:
    """What is to do in the queues that a member of staff may read.

    ``unanswered`` is the ticket whose customer has waited longest, ``unanswered_since`` since
    when.
    """

    new: int
    open: int
    waiting: int
    unanswered: Ticket | None
    held: HeldCounts
    last_mails: tuple[LoggedMail, ...]

    @property
    def unanswered_since(self) -> datetime | None:
        """Since when the longest waiting customer has had no answer."""
        return self.unanswered.waiting_since if self.unanswered is not None else None


def overview(session: Session, staff: Staff) -> Overview:
    """Return the numbers for the dashboard of a member of staff."""
    queues = staff_queue_ids(session, load_organisation(session), staff)
    readable = queues.reads(Ticket.queue_id)
    counts = _counts(session, readable)
    return Overview(
        new=counts.get(TicketState.NEW, 0),
        open=counts.get(TicketState.OPEN, 0),
        waiting=counts.get(TicketState.WAITING, 0),
        unanswered=_longest_unanswered(session, readable),
        held=held_counts(session, staff),
        last_mails=mail_log(session, staff, MailFilter(), limit=LAST_MAILS).items,
    )


def _counts(session: Session, readable: ColumnElement[bool]) -> dict[TicketState, int]:
    rows = session.execute(
        select(Ticket.state, func.count())
        .where(Ticket.state.in_(_UNCLOSED), readable)
        .group_by(Ticket.state)
    )
    return dict(rows.all())


def _longest_unanswered(session: Session, readable: ColumnElement[bool]) -> Ticket | None:
    statement = (
        select(Ticket)
        .where(Ticket.state.in_(_UNCLOSED), Ticket.waiting_since.is_not(None), readable)
        .order_by(Ticket.waiting_since, Ticket.id)
        .limit(1)
        .options(joinedload(Ticket.queue), joinedload(Ticket.customer_user))
    )
    return session.scalars(statement).one_or_none()
