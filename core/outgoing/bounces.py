"""Mail that came back: noted at the outgoing mail, and counted for its address (threat L6).

Which mail a report is about is known from the token in the address that it was sent to. A report
changes no ticket: it is an internal article there, and a line in the ticket's history.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core import audit
from core.audit import SYSTEM, Actor
from core.mail.reports import Action, Report, reply_blames_address
from core.mail.text import one_line
from core.models import BouncingAddress, OutgoingMail, now
from core.words import OutgoingState

THRESHOLD = 3  # bounces of an address after which it counts as one that does not exist
MAX_BOUNCE = 500  # characters that are kept of what a server said
# A report may come before the worker has noted that the relay took the mail.
_CAN_BOUNCE = frozenset({OutgoingState.WAITING, OutgoingState.SENT})


def record_bounce(
    session: Session, outgoing_id: int, report: Report, at: datetime, article_id: int | None
) -> None:
    """Note what a report says about an outgoing mail; an unknown id does nothing.

    Failed: the mail has bounced, and where that blames its address this is counted, once for each
    time that it was sent. Delayed: what the server says is noted. Anything else changes nothing.
    ``article_id`` is the article that shows the report, None without a ticket.

    A mail that is waiting becomes ``bounced`` too: whoever settles it afterwards must leave any
    state but ``waiting`` alone.
    """
    mail = session.get(OutgoingMail, outgoing_id, with_for_update=True)
    if mail is None or mail.state not in _CAN_BOUNCE:
        return
    own = report.about(mail.recipient_key)
    if own.failed:
        _bounce(session, mail, own, at)
        _tell_history(session, mail, article_id)
    elif own.delayed:
        mail.bounce = _why(own)


def note_refusal(session: Session, mail: OutgoingMail, reply: str) -> None:
    """Count that the relay has refused a mail for good, where its 5xx reply blames the recipient.

    The state of the mail is the caller's business.
    """
    if reply_blames_address(reply):
        _count(session, mail.recipient_key, reply, now())


def bouncing(session: Session, keys: Sequence[str]) -> dict[str, BouncingAddress]:
    """Return, of these address keys, those whose mail keeps coming back."""
    if not keys:
        return {}
    found = session.scalars(
        select(BouncingAddress).where(
            BouncingAddress.address_key.in_(keys), BouncingAddress.bounces >= THRESHOLD
        )
    )
    return {each.address_key: each for each in found}


def clear_bounces(session: Session, actor: Actor, address_key: str) -> None:
    """Forget the bounces of an address: somebody says that it is good. Nothing without any."""
    known = session.get(BouncingAddress, address_key, with_for_update=True)
    if known is None:
        return
    before = {"bounces": known.bounces, "why": known.last_text}
    session.delete(known)
    audit.record(
        session, actor, "bounces-cleared", "mail-address", None, address_key, before, {"bounces": 0}
    )


def _bounce(session: Session, mail: OutgoingMail, report: Report, at: datetime) -> None:
    mail.state = OutgoingState.BOUNCED
    mail.settled_at = mail.settled_at or at
    mail.bounced_at = at
    mail.leased_until = None
    mail.bounce = _why(report)
    if any(each.blames_address for each in report.recipients):
        _count(session, mail.recipient_key, mail.bounce, at)


def _tell_history(session: Session, mail: OutgoingMail, article_id: int | None) -> None:
    if mail.ticket_id is None:
        return
    after = {"recipient": mail.recipient, "why": mail.bounce, "article": article_id}
    audit.record(session, SYSTEM, "came-back", "ticket", mail.ticket_id, mail.subject, None, after)


def _why(report: Report) -> str:
    """Return what the report says about the worst that it tells, as one line."""
    worst = max(
        report.recipients,
        key=lambda each: (each.hard, each.failed, each.action is Action.DELAYED),
    )
    return one_line(worst.reason)[:MAX_BOUNCE]


def _count(session: Session, address_key: str, text: str, at: datetime) -> None:
    """Count one bounce more, whoever else counts at the same moment."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insertion = (sqlite if on_sqlite else postgresql).insert(BouncingAddress)
    said = {"last_at": at, "last_text": one_line(text)[:MAX_BOUNCE]}
    session.execute(
        insertion.values(address_key=address_key, bounces=1, **said).on_conflict_do_update(
            index_elements=[BouncingAddress.address_key],
            set_={"bounces": BouncingAddress.bounces + 1, **said},
        )
    )
