"""Several held mails at once: each is decided by itself, and what fails leaves the others alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.audit import Actor
from core.errors import Forbidden, Invalid, SchalterError
from core.i18n import gettext as _
from core.intake.held import discard, held_mail, release, undo_discard
from core.intake.incoming import RecipientReceipt
from core.models import Staff

MAX_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one of several: ``problem`` says why nothing did, "" otherwise.

    ``receipt`` is that of a release. ``subject`` is "" for a mail that the asker may not see.
    """

    delivery_id: int
    subject: str
    problem: str = ""
    receipt: RecipientReceipt | None = None


def discard_each(
    session: Session, actor: Actor, staff: Staff, delivery_ids: Sequence[int], why: str
) -> tuple[Settled, ...]:
    """Discard held mails for one reason. Raises ``Invalid`` without any."""
    if not why.strip():
        raise Invalid("why", _("Please give a reason."))
    return _each(
        session,
        staff,
        delivery_ids,
        lambda delivery_id: discard(session, actor, staff, delivery_id, why),
    )


def undo_each(
    session: Session, actor: Actor, staff: Staff, delivery_ids: Sequence[int]
) -> tuple[Settled, ...]:
    """Take back discards, as far as that is not too late."""
    return _each(
        session,
        staff,
        delivery_ids,
        lambda delivery_id: undo_discard(session, actor, staff, delivery_id),
    )


def release_each(
    session: Session, actor: Actor, staff: Staff, delivery_ids: Sequence[int]
) -> tuple[Settled, ...]:
    """Release held mails to the queues that they were sent to, where the account is clear."""

    def let_go(delivery_id: int) -> RecipientReceipt:
        queue_id = held_mail(session, staff, delivery_id).queue_id
        if queue_id is None:
            raise Forbidden(_("It was sent to no queue: open the mail and choose one."))
        return release(session, actor, staff, delivery_id, queue_id, only_clear=True)

    return _each(session, staff, delivery_ids, let_go)


def _each(
    session: Session,
    staff: Staff,
    delivery_ids: Sequence[int],
    settle: Callable[[int], RecipientReceipt | None],
) -> tuple[Settled, ...]:
    """Settle each in a savepoint, in the order of their ids, so that two who do so never wait."""
    wanted = sorted(set(delivery_ids))[:MAX_AT_ONCE]
    return tuple(_one(session, staff, delivery_id, settle) for delivery_id in wanted)


def _one(
    session: Session,
    staff: Staff,
    delivery_id: int,
    settle: Callable[[int], RecipientReceipt | None],
) -> Settled:
    subject = ""
    try:
        subject = held_mail(session, staff, delivery_id, lock=False).mail.subject
        with session.begin_nested():
            return Settled(delivery_id, subject, receipt=settle(delivery_id))
    except SchalterError as problem:
        return Settled(delivery_id, subject, str(problem))
