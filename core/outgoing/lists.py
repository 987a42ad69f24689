"""The outbox as staff read it: a list, page by page, and how it stands as a whole.

An agent sees what belongs to the queues they may read; mail of no queue, as links for a new
password, is an admin's.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, func, or_, select, true
from sqlalchemy.orm import Session, joinedload

from core.accounts.staff import StaffQueues
from core.i18n import gettext as _
from core.models import MAX_ID, OutgoingMail, ticket_id_of
from core.paging import Page, read_page
from core.words import OutgoingState

MAX_PAGE = 200
_CODES = re.compile(r"[2-5]\d\d (?:[245]\.\d+\.\d+ )?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingFilter:
    """Which mails a list shows; the default is all of them.

    ``query`` is a part of recipient or subject, in which no character is a wildcard; ``ticket`` a
    ticket's number.
    """

    state: OutgoingState | None = None
    queue_id: int | None = None
    query: str = ""
    ticket: int | None = None


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How many mails wait, since when the oldest does, and how many could not be sent."""

    waiting: int
    oldest_waiting_at: datetime | None
    failed: int


def outgoing_mails(
    session: Session,
    queues: StaffQueues,
    wanted: OutgoingFilter,
    *,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[OutgoingMail]:
    """Return a page of outgoing mails, the newest first, with their queues and tickets."""
    page: Page[OutgoingMail] = read_page(
        session,
        select(OutgoingMail)
        .where(queues.reads(OutgoingMail.queue_id), _matches(wanted))
        .options(joinedload(OutgoingMail.queue), joinedload(OutgoingMail.ticket)),
        (OutgoingMail.id,),
        descending=True,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )
    return page


def outbox_state(session: Session, queues: StaffQueues | None = None) -> OutboxState:
    """Return how the outbox stands: what staff may read of it, or the whole."""
    readable = queues.reads(OutgoingMail.queue_id) if queues is not None else true()
    rows = session.execute(
        select(OutgoingMail.state, func.count(), func.min(OutgoingMail.created_at))
        .where(OutgoingMail.state.in_([OutgoingState.WAITING, OutgoingState.FAILED]), readable)
        .group_by(OutgoingMail.state)
    )
    found = {state: (count, oldest) for state, count, oldest in rows}
    waiting, oldest = found.get(OutgoingState.WAITING, (0, None))
    failed, _oldest = found.get(OutgoingState.FAILED, (0, None))
    return OutboxState(waiting, oldest, failed)


def reply_text(mail: OutgoingMail) -> str:
    """Return what the relay said of a mail, or why it was not sent, in the reader's language.

    The relay's own words are no message ids, so they stay as they are; what we said in its place
    stands behind a code as its words do.
    """
    found = _CODES.match(mail.reply)
    codes = found[0] if found is not None else ""
    text = mail.reply.removeprefix(codes)
    return codes + _(text) if text else codes


def _matches(wanted: OutgoingFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if wanted.state is not None:
        conditions.append(OutgoingMail.state == wanted.state)
    if wanted.queue_id is not None:
        conditions.append(OutgoingMail.queue_id == wanted.queue_id)
    if wanted.ticket is not None:
        ticket_id = ticket_id_of(wanted.ticket)
        exists = 0 < ticket_id <= MAX_ID
        conditions.append(OutgoingMail.ticket_id == ticket_id if exists else false())
    if query := wanted.query.strip():
        conditions.append(
            or_(
                OutgoingMail.recipient.icontains(query, autoescape=True),
                OutgoingMail.subject.icontains(query, autoescape=True),
            )
        )
    return and_(*conditions)
