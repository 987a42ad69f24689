"""How much is sent by itself, and to whom nothing is: against loops and mail bombs (L1 to L3).

Counted is what was composed, in the transaction that composes the next one, so that no two can
both be the last one allowed.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.i18n import N_
from core.mail.addresses import address_key, has_no_reader, split_subaddress
from core.models import MAX_ID, OutgoingMail, now
from core.organisation import Organisation
from core.outgoing.bounces import bouncing
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Suppressed
from core.settings import Settings
from core.words import AutoResponse, OutgoingKind

DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
NOTICES_A_DAY = 40  # about one ticket to one address; more is two robots that talk
AUTO_RESPONSES = tuple(OutgoingKind(kind.value) for kind in AutoResponse)
_PAGE = 1000  # outgoing mails that are looked through at once
_LOCK = 0x5C4A17E2  # any number that nothing else here locks


def check_recipient(
    session: Session, organisation: Organisation, installation: Installation, mail: OutgoingMail
) -> None:
    """Raise ``Suppressed`` for a recipient to whom nothing is sent by itself."""
    if has_no_reader(mail.recipient):
        raise Suppressed(N_("Nobody reads mail to this address."))
    sender = sender_of(organisation, installation, None).address
    base, _tag = split_subaddress(mail.recipient)
    own = {address_key(sender), *organisation.queue_by_address}
    if own & {address_key(mail.recipient), address_key(base)}:
        raise Suppressed(N_("The address is one of ours."))
    if bouncing(session, [mail.recipient_key]):
        raise Suppressed(N_("Mail to this address came back several times."))


def check_caps(session: Session, settings: Settings, mail: OutgoingMail) -> None:
    """Raise ``Suppressed`` when an automatic answer would be one too many, or comes a day late.

    At most one of its kind about a ticket in 24 hours, and what the settings allow to an address
    in 24 hours and to everybody in one, by the times of the mails that are answered. What was
    suppressed does not count.
    """
    one_at_a_time(session)
    if now() - mail.created_at > DAY:
        raise Suppressed(N_("It would come too late."))
    since = mail.created_at - DAY
    about_ticket = _composed(
        session,
        OutgoingMail.ticket_id == mail.ticket_id,
        OutgoingMail.kind == mail.kind,
        OutgoingMail.created_at > since,
    )
    if about_ticket:
        raise Suppressed(N_("The ticket had such an answer in the last 24 hours."))
    to_address = _composed(
        session,
        OutgoingMail.recipient_key == mail.recipient_key,
        OutgoingMail.kind.in_(AUTO_RESPONSES),
        OutgoingMail.created_at > since,
    )
    if to_address >= settings.auto_responses_per_address:
        raise Suppressed(N_("The address had enough automatic answers in the last 24 hours."))
    limit = settings.auto_responses_per_hour
    if _answers_since(session, mail.created_at - HOUR, limit) >= limit:
        raise Suppressed(N_("There were enough automatic answers in the last hour."))


def check_notice_cap(session: Session, mail: OutgoingMail) -> None:
    """Raise ``Suppressed`` when a recipient was told of a ticket too often in 24 hours."""
    one_at_a_time(session)
    told = _composed(
        session,
        OutgoingMail.recipient_key == mail.recipient_key,
        OutgoingMail.ticket_id == mail.ticket_id,
        OutgoingMail.kind == OutgoingKind.NOTICE,
        OutgoingMail.created_at > mail.created_at - DAY,
    )
    if told >= NOTICES_A_DAY:
        raise Suppressed(N_("The address had enough mail about this ticket in 24 hours."))


def one_at_a_time(session: Session) -> None:
    """Let nobody else count until this transaction ends; SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _composed(session: Session, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).where(OutgoingMail.raw_id.is_not(None), *conditions)
    return session.scalars(statement).one()


def _answers_since(session: Session, since: datetime, limit: int) -> int:
    """Return how many automatic answers were composed since then, or at least ``limit``.

    The newest mails are looked through backwards, page by page, because ids are handed out in
    order of time; a page without any that is new enough is the last.
    """
    found, before = 0, MAX_ID
    while found < limit:
        page = session.execute(
            select(OutgoingMail.id, OutgoingMail.kind, OutgoingMail.raw_id, OutgoingMail.created_at)
            .where(OutgoingMail.id <= before)
            .order_by(OutgoingMail.id.desc())
            .limit(_PAGE)
        ).all()
        new = [row for row in page if row.created_at > since]
        if not new:
            break
        found += sum(row.raw_id is not None and row.kind in AUTO_RESPONSES for row in new)
        before = page[-1].id - 1
    return found
