"""What staff do with outgoing mail: look at one, try it again, call it off."""

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.staff import StaffQueues, staff_queue_ids
from core.audit import Actor
from core.errors import Forbidden, NotFound, Stale
from core.i18n import gettext as _
from core.models import MAX_ID, OutgoingMail, Staff, now
from core.organisation import load_organisation
from core.words import OutgoingState

_SETTLED = frozenset(
    {
        OutgoingState.FAILED,
        OutgoingState.BOUNCED,
        OutgoingState.CANCELLED,
        OutgoingState.SUPPRESSED,
    }
)
_CANCELLABLE = frozenset({OutgoingState.WAITING, OutgoingState.FAILED})


def outgoing_mail(session: Session, staff: Staff, outgoing_id: int) -> OutgoingMail:
    """Return an outgoing mail with queue, ticket and bytes. Raises ``NotFound``."""
    return _readable(session, _queues_of(session, staff), outgoing_id)


def may_work_on(session: Session, staff: Staff, mail: OutgoingMail) -> bool:
    """Whether somebody may retry or cancel a mail that they can read."""
    return _queues_of(session, staff).may_work(mail.queue_id)


def can_retry(mail: OutgoingMail) -> bool:
    """Whether a mail can be tried now: it is settled and not sent, or waits for a later try."""
    return mail.state in _SETTLED or (mail.state is OutgoingState.WAITING and not _is_leased(mail))


def can_cancel(mail: OutgoingMail) -> bool:
    """Whether a mail can be called off, so that it is neither sent nor counted as a fault.

    It waits, and no worker talks to the relay about it, or sending it has failed.
    """
    return mail.state in _CANCELLABLE and not _is_leased(mail)


def retry(session: Session, actor: Actor, staff: Staff, outgoing_id: int) -> OutgoingMail:
    """Let a mail that was not sent, came back or was called off wait for the worker, from now on.

    The bytes stay what they were; what was composed late and never sent is composed anew. Raises
    ``NotFound``, ``Forbidden``, and ``Stale`` for one that is sent already or just being sent.
    """
    mail = _workable(session, staff, outgoing_id)
    if mail.state is OutgoingState.SENT:
        raise Stale(_("This mail has been sent in the meantime."))
    if not can_retry(mail):
        raise Stale(_("This mail is just being sent. Please look again in a few minutes."))
    before = mail.state
    mail.state = OutgoingState.WAITING
    mail.next_try_at = now()
    mail.attempts = 0
    mail.leased_until = mail.settled_at = None
    _record(session, actor, "retried", mail, before)
    return mail


def cancel(session: Session, actor: Actor, staff: Staff, outgoing_id: int) -> OutgoingMail:
    """Call a mail off that waits or has failed. Raises ``NotFound``, ``Forbidden``, ``Stale``."""
    mail = _workable(session, staff, outgoing_id)
    if mail.state not in _CANCELLABLE:
        raise Stale(_("This mail does not wait any more."))
    if not can_cancel(mail):
        raise Stale(_("This mail is just being sent. Please look again in a few minutes."))
    before = mail.state
    mail.state = OutgoingState.CANCELLED
    mail.settled_at = now()
    mail.leased_until = None
    _record(session, actor, "cancelled", mail, before)
    return mail


def _is_leased(mail: OutgoingMail) -> bool:
    return mail.leased_until is not None and mail.leased_until >= now()


def _queues_of(session: Session, staff: Staff) -> StaffQueues:
    return staff_queue_ids(session, load_organisation(session), staff)


def _readable(
    session: Session, queues: StaffQueues, outgoing_id: int, *, lock: bool = False
) -> OutgoingMail:
    statement = select(OutgoingMail).where(
        OutgoingMail.id == outgoing_id, queues.reads(OutgoingMail.queue_id)
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    else:
        statement = statement.options(
            joinedload(OutgoingMail.queue),
            joinedload(OutgoingMail.ticket),
            joinedload(OutgoingMail.raw),
        )
    mail = session.scalars(statement).one_or_none() if 0 < outgoing_id <= MAX_ID else None
    if mail is None:
        raise NotFound(_("There is no such outgoing mail."))
    return mail


def _workable(session: Session, staff: Staff, outgoing_id: int) -> OutgoingMail:
    """Return a mail that somebody may work on, locked: the courier waits, or has gone before."""
    queues = _queues_of(session, staff)
    mail = _readable(session, queues, outgoing_id, lock=True)
    if not queues.may_work(mail.queue_id):
        raise Forbidden(_("You can read this queue, but not work in it."))
    return mail


def _record(
    session: Session, actor: Actor, action: str, mail: OutgoingMail, before: OutgoingState
) -> None:
    audit.record(
        session,
        actor,
        action,
        "outgoing-mail",
        mail.id,
        mail.subject or mail.recipient,
        {"state": before},
        {"state": mail.state},
    )
