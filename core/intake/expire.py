"""Held mail that nobody has decided about for long enough is put aside, by the worker."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from core import audit
from core.intake.held import EXPIRED, settle
from core.models import Delivery, Mail, now
from core.settings import load_settings
from core.words import HeldState

MAX_AT_ONCE = 200  # in one transaction, which makes intake wait


def expire_held(session: Session) -> int:
    """Put aside what has waited longer than the setting ``held_days``, the oldest first.

    Returns how many these were, at most 200. Their bytes are kept, and nobody is told. Does
    nothing where the setting is 0.
    """
    days = load_settings(session).held_days
    if not days:
        return 0
    overdue = session.scalars(
        select(Delivery)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(Delivery.held == HeldState.WAITING, Mail.received_at < now() - timedelta(days=days))
        .options(contains_eager(Delivery.mail))
        .order_by(Delivery.id)
        .limit(MAX_AT_ONCE)
        .with_for_update(of=Delivery, skip_locked=True)  # who decides at this moment goes first
    ).all()
    for delivery in overdue:
        settle(session, audit.SYSTEM, delivery, HeldState.DISCARDED, EXPIRED)
    return len(overdue)
