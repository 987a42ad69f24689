"""The digest: once a day staff are told by mail what held mail waits for them.

It names senders and reasons, and nothing that stands in the mails: what it says of a sender may be
a stranger's words as it is.
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.i18n import N_, current_language, in_language, ngettext
from core.i18n import gettext as _
from core.intake.held_list import (
    HeldMail,
    held_counts,
    held_mails,
    received_before,
    waiting_reasons,
)
from core.labels import reason_label
from core.mail.addresses import address_key
from core.mail.text import one_line
from core.models import OutgoingMail, Staff, now
from core.organisation import Organisation, load_organisation
from core.outgoing.caps import DAY, check_recipient
from core.outgoing.compose import Mailbox, to_ascii_domain
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed
from core.words import OutgoingKind

SENT_FROM = time(7)  # in the time zone of the organisation; later where nobody worked then
MAX_LINES = 20  # mails that are named
SOON = timedelta(days=3)  # in which what expires is counted
MAX_SENDER = 100  # characters of an address


def put_digests(session: Session) -> int:
    """Put a digest into the outbox for each member of staff who has not had today's yet.

    The day is noted by the statement that claims them, so that of several workers one does it.
    Where nothing waits, no mail is sent. Returns how many are. Does nothing before seven.
    """
    organisation = load_organisation(session)
    here = now().astimezone(ZoneInfo(organisation.settings.time_zone))
    if here.time() < SENT_FROM:
        return 0
    claimed = session.scalars(
        update(Staff)
        .where(
            Staff.valid,
            Staff.digest,
            or_(Staff.digest_on.is_(None), Staff.digest_on < here.date()),
        )
        .values(digest_on=here.date())
        .returning(Staff.id)
        .execution_options(synchronize_session=False)
    ).all()
    readers = session.scalars(select(Staff).where(Staff.id.in_(claimed)).order_by(Staff.id))
    due = [staff for staff in readers if held_counts(session, staff).waiting]
    session.add_all(_mail_to(staff) for staff in due)
    return len(due)


def posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Compose a digest of what waits now, when it is first sent.

    Raises ``Suppressed`` where nothing waits any more, or it is not wanted any more.
    """
    staff = session.get_one(Staff, mail.staff_id)
    if not (staff.valid and staff.digest and mail.recipient == to_ascii_domain(staff.email)):
        raise Suppressed(N_("This member of staff gets no digest any more."))
    if now() - mail.created_at > DAY:
        raise Suppressed(N_("It would come too late."))
    organisation = load_organisation(session)
    check_recipient(session, organisation, installation, mail)
    waiting = held_counts(session, staff)
    if waiting.oldest is None:
        raise Suppressed(N_("Nothing waits any more."))
    with in_language(staff.language or organisation.settings.language):
        subject = ngettext(
            "%(num)d held mail waits for a decision",
            "%(num)d held mails wait for a decision",
            waiting.waiting,
        )
        text = "\n\n".join(_paragraphs(session, organisation, installation, staff))
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, None),
        to=(Mailbox(mail.recipient, staff.name),),
        subject=subject,
        text=text,
        automatic="auto-generated",
        staff_id=staff.id,
    )


def _mail_to(staff: Staff) -> OutgoingMail:
    recipient = to_ascii_domain(staff.email)
    return OutgoingMail(
        kind=OutgoingKind.DIGEST,
        staff_id=staff.id,
        recipient=recipient,
        recipient_key=address_key(recipient) or recipient,
        language=staff.language,
    )


def _paragraphs(
    session: Session, organisation: Organisation, installation: Installation, staff: Staff
) -> Iterator[str]:
    settings = organisation.settings
    zone = ZoneInfo(staff.time_zone or settings.time_zone)
    counts = waiting_reasons(session, staff)
    waiting = sum(counts.values())
    yield _("Hello %(name)s,", name=staff.name)
    yield ngettext(
        "%(num)d held mail waits for a decision:",
        "%(num)d held mails wait for a decision:",
        waiting,
    )
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    yield "\n".join(f"{number:5}  {reason_label(reason)}" for reason, number in ordered)
    if settings.held_days:
        end = now() + SOON - timedelta(days=settings.held_days)
        if ending := received_before(session, staff, end):
            yield ngettext(
                "%(num)d of them is put aside in the next %(days)d days if nobody decides.",
                "%(num)d of them are put aside in the next %(days)d days if nobody decides.",
                ending,
                days=SOON.days,
            )
    oldest = held_mails(session, staff, limit=MAX_LINES).items
    yield _("The oldest first:") + "\n" + "\n".join(_line(held, zone) for held in oldest)
    if waiting > len(oldest):
        yield ngettext("… and %(num)d more.", "… and %(num)d more.", waiting - len(oldest))
    yield _("To decide: %(page)s", page=installation.page("staff/held"))
    yield _(
        "You can switch this mail off in your preferences: %(page)s",
        page=installation.page("staff/account/preferences"),
    )


def _line(held: HeldMail, zone: ZoneInfo) -> str:
    """Return a line about a mail: when, from whom, why. An address may be long, and a trap."""
    mail = held.mail
    sender = one_line(mail.from_address or mail.mail_from)[:MAX_SENDER] or _("(no sender)")
    return f"- {_time(mail.received_at, zone)}  {sender}: {reason_label(held.delivery.reason)}"


def _time(at: datetime, zone: ZoneInfo) -> str:
    return format_datetime(at.astimezone(zone), "short", locale=current_language())
