"""What another trust in senders changes: told before it is saved, and noted with the change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.intake.again import Comparison, compare, with_settings
from core.models import AuditEvent, now
from core.organisation import Organisation
from core.words import SenderPolicy

SHOWN_FOR = timedelta(days=14)
_LOOKED_AT = 50  # of the last changes of settings
TRIED, DIFFERENT = "mails_tried", "mails_different"  # in the event of the change


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A change of the sender policy that was made lately.

    Of ``tried`` mails ``different`` were decided differently; None where nobody has compared.
    """

    at: datetime
    by: str
    before: SenderPolicy
    after: SenderPolicy
    tried: int | None
    different: int | None


def compare_policies(
    session: Session,
    organisation: Organisation,
    before: SenderPolicy,
    after: SenderPolicy,
    keys: Sequence[bytes],
) -> Comparison:
    """Decide the last mails under two sender policies, with everything else as it is now.

    By what is in our tables; customer sources are not asked (see ``compare``).
    """
    return compare(session, _under(organisation, before), _under(organisation, after), keys)


def _under(organisation: Organisation, policy: SenderPolicy) -> Organisation:
    settings = organisation.settings.model_copy(update={"sender_policy": policy})
    return with_settings(organisation, settings)


def as_noted(comparison: Comparison) -> dict[str, int]:
    """Return what is kept of a comparison in the audit event of the change."""
    return {TRIED: comparison.tried, DIFFERENT: comparison.different}


def last_policy_change(session: Session) -> PolicyChange | None:
    """Return the last change of the sender policy, None where it is long ago."""
    events = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.object_kind == "settings", AuditEvent.object_id.is_(None))
        .order_by(AuditEvent.id.desc())
        .limit(_LOOKED_AT)
    )
    since = now() - SHOWN_FOR
    for event in events:
        before, after = event.before or {}, event.after or {}
        if event.at < since:
            return None
        if "sender_policy" in before and "sender_policy" in after:
            return PolicyChange(
                event.at,
                event.actor_name,
                SenderPolicy(before["sender_policy"]),
                SenderPolicy(after["sender_policy"]),
                after.get(TRIED),
                after.get(DIFFERENT),
            )
    return None
