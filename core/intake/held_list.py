"""Held mail as staff look at it: the list, and what they need to know to decide about one.

Looking changes nothing; what staff then do is in ``core.intake.held``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, contains_eager

from core import audit
from core.accounts.permissions import access_of, is_valid_account, subject_of
from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.errors import NotFound
from core.i18n import N_
from core.i18n import gettext as _
from core.intake.gather import gather
from core.intake.held import held_mail, original
from core.intake.identify import Match, MatchKind
from core.intake.prepare import prepare
from core.mail.html import SafeHtml, original_html, safe_html
from core.mail.message import AttachmentInfo, Message, parse, read_part
from core.mail.structure import MAX_HEADER_BLOCK
from core.mail.text import one_line
from core.models import Customer, CustomerUser, Delivery, Mail, Staff
from core.organisation import Organisation, load_organisation
from core.paging import Page, read_page
from core.tickets.view import File, shown_type
from core.words import Evidence, HeldState

MAX_PAGE = 200
MAX_CANDIDATES = 20
MAX_COUNTED = 1000  # where a number is shown on every page
_HEADER_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class HeldMail:
    """A row of the list: the delivery, its mail, and the name of the queue it was for."""

    delivery: Delivery
    mail: Mail
    queue: str


@dataclass(frozen=True, slots=True)
class HeldCounts:
    """How much waits, and since when."""

    waiting: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that a held mail may be from. ``why`` is in the reader's language.

    ``may_write`` says whether it may write to the queue that the mail was sent to.
    """

    customer_user: CustomerUser
    why: str
    valid: bool
    may_write: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of who sent a held mail, found anew: accounts may have changed since.

    Only ``from_`` can identify anybody, as far as ``evidence`` goes; the other addresses are
    shown because they are what a forger forgets.
    """

    from_: str
    reply_to: str
    mail_from: str
    peer: str
    helo: str
    evidence: Evidence
    evidence_why: str
    match: MatchKind
    numbers: tuple[str, ...]  # Kunden# that the mail names
    candidates: tuple[Candidate, ...]
    defects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """What a held mail says; ``html`` is None when there is none or it is too complex."""

    text: str
    html: SafeHtml | None
    attachments: tuple[AttachmentInfo, ...]
    to: tuple[str, ...]
    cc: tuple[str, ...]
    date: datetime | None


def held_mails(
    session: Session,
    staff: Staff,
    *,
    state: HeldState = HeldState.WAITING,
    reason: str = "",
    queue_id: int | None = None,
    query: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[HeldMail]:
    """Return a page of the held mail that a member of staff may work on.

    What waits begins with the oldest, what is settled with the newest. ``query`` is a part of
    the sender, the recipient or the subject.
    """
    page = read_page(
        session,
        _held(session, staff, state, reason, queue_id, query),
        (Delivery.id,),
        descending=state is not HeldState.WAITING,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )
    return Page(_rows(session, page.items), page.previous, page.next)


def held_around(
    session: Session,
    staff: Staff,
    delivery_id: int,
    *,
    state: HeldState = HeldState.WAITING,
    reason: str = "",
    queue_id: int | None = None,
    query: str = "",
    before: int = 5,
    after: int = 15,
) -> Sequence[HeldMail]:
    """Return the part of such a list that is around one mail, which itself need not be in it."""
    statement = _held(session, staff, state, reason, queue_id, query)
    older = statement.where(Delivery.id < delivery_id).order_by(Delivery.id.desc())
    newer = statement.where(Delivery.id >= delivery_id).order_by(Delivery.id)
    if state is not HeldState.WAITING:  # the newest is first there
        before, after = after, before
    found = [
        *reversed(session.scalars(older.limit(before)).all()),
        *session.scalars(newer.limit(after)),
    ]
    return _rows(session, found if state is HeldState.WAITING else found[::-1])


def held_state(session: Session, staff: Staff) -> HeldCounts:
    """Return ``held_counts`` for the navigation, on every page: counted up to 1000 only."""
    waiting = _waiting(session, staff)
    some = select(Delivery.id).where(waiting).limit(MAX_COUNTED).subquery()
    oldest = (
        select(Mail.received_at)
        .join(Delivery, Delivery.mail_id == Mail.id)
        .where(waiting)
        .order_by(Delivery.id)
        .limit(1)
    )
    number = session.scalars(select(func.count()).select_from(some)).one()
    return HeldCounts(number, session.scalars(oldest).one_or_none() if number else None)


def held_counts(session: Session, staff: Staff) -> HeldCounts:
    """Return how much held mail waits for this member of staff, and the age of the oldest."""
    statement = (
        select(func.count(Delivery.id), func.min(Mail.received_at))
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(_waiting(session, staff))
    )
    return HeldCounts(*session.execute(statement).one())


def received_before(session: Session, staff: Staff, moment: datetime) -> int:
    """Return how much of what waits for this member of staff came in before a moment."""
    statement = (
        select(func.count(Delivery.id))
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(_waiting(session, staff), Mail.received_at < moment)
    )
    return session.scalars(statement).one()


def waiting_reasons(session: Session, staff: Staff) -> Mapping[str, int]:
    """Return how much held mail waits for this member of staff, by the reason it is held for."""
    statement = (
        select(Delivery.reason, func.count())
        .where(_waiting(session, staff))
        .group_by(Delivery.reason)
    )
    return dict(session.execute(statement).all())


def look_at(session: Session, staff: Staff, delivery_id: int) -> HeldMail:
    """Return one held mail, whatever became of it. Raises ``NotFound``."""
    delivery = held_mail(session, staff, delivery_id, lock=False)
    return HeldMail(delivery, delivery.mail, _queue_name(load_organisation(session), delivery))


def record_look(session: Session, actor: Actor, held: HeldMail) -> None:
    """Write down that somebody has read a held mail (threat A3)."""
    audit.record(session, actor, "read", "held-mail", held.delivery.id, held.mail.subject)


def identity_of(session: Session, held: HeldMail) -> Identity:
    """Return who may have sent a held mail, by the same steps that a release will take."""
    organisation = load_organisation(session)
    prepared = prepare(original(held.delivery))
    facts = gather(session, organisation, [prepared])[0][0]
    message, mail = prepared.message, held.mail
    return Identity(
        from_=message.from_.display,
        reply_to=message.reply_to,
        mail_from=mail.mail_from,
        peer=mail.peer,
        helo=mail.helo,
        evidence=facts.sender.evidence,
        evidence_why=_(facts.sender.why),
        match=facts.match.kind,
        numbers=facts.match.numbers,
        candidates=_candidates(session, organisation, held.delivery.queue_id, facts.match),
        defects=tuple(mail.defects),
    )


def body_of(held: HeldMail) -> Body:
    """Return what a held mail says. Its pictures are not shown: nobody knows its sender yet."""
    message = _message(held)
    html = message.html
    return Body(
        text=message.text,
        html=safe_html(html, lambda _content_id: None, _("[image]")) if html else None,
        attachments=message.attachments,
        to=message.to,
        cc=message.cc,
        date=message.date,
    )


def original_of(held: HeldMail) -> str | None:
    """Return the HTML of a held mail with its formatting, for a sandboxed frame; None as above.

    Neither its own pictures nor remote ones are in it: nobody knows its sender yet.
    """
    html = _message(held).html
    return original_html(html, lambda _content_id: None) if html else None


def headers_of(held: HeldMail) -> str:
    """Return the header fields of a held mail as they came in, a line of the mail on each line."""
    block = _HEADER_END.split(original(held.delivery).raw[:MAX_HEADER_BLOCK], maxsplit=1)[0]
    lines = block.decode("utf-8", "replace").splitlines()
    return "\n".join("    " * line[:1].isspace() + one_line(line) for line in lines)


def file_of(held: HeldMail, part: int) -> File:
    """Return an attachment of a held mail by its part number. Raises ``NotFound``."""
    message = _message(held)
    found = next((each for each in message.attachments if each.part == part), None)
    if found is None:
        raise NotFound(_("There is no such file."))
    content = read_part(message.raw, part)[2]
    return File(found.filename, found.content_type, shown_type(content), content)


_HAS_ADDRESS = N_("has the address of the sender")
_HAS_NUMBER = N_("has the Kunden# that the mail names")


def _candidates(
    session: Session, organisation: Organisation, queue_id: int | None, match: Match
) -> tuple[Candidate, ...]:
    """Return the accounts with the address, then those with the Kunden#, at most 20."""
    by_address = [account.customer_user_id for account in match.candidates]
    accounts = session.scalars(
        select(CustomerUser)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(or_(CustomerUser.id.in_(by_address), Customer.number.in_(match.numbers)))
        .options(contains_eager(CustomerUser.customer))
        .order_by(CustomerUser.id.not_in(by_address), CustomerUser.sort_key, CustomerUser.id)
        .limit(MAX_CANDIDATES)
    ).all()
    return candidates_of(
        session,
        organisation,
        accounts,
        queue_id,
        lambda account: _(_HAS_ADDRESS if account.id in by_address else _HAS_NUMBER),
    )


def candidates_of(
    session: Session,
    organisation: Organisation,
    accounts: Sequence[CustomerUser],
    queue_id: int | None,
    why: Callable[[CustomerUser], str] = lambda _account: "",
) -> tuple[Candidate, ...]:
    """Return accounts with what they may do in a queue; ``why`` each comes into question."""
    access = access_of(session, organisation, [subject_of(account) for account in accounts])
    return tuple(
        Candidate(
            account,
            why(account),
            is_valid_account(account),
            access[subject_of(account)].may_write(queue_id or 0),
        )
        for account in accounts
    )


def _workable(session: Session, organisation: Organisation, staff: Staff) -> ColumnElement[bool]:
    """Return the condition on deliveries for ``held_mail``: who may see one may work on it."""
    return staff_queue_ids(session, organisation, staff).works(Delivery.queue_id)


def _waiting(session: Session, staff: Staff) -> ColumnElement[bool]:
    """Return the condition on deliveries that wait for this member of staff."""
    workable = _workable(session, load_organisation(session), staff)
    return and_(workable, Delivery.held == HeldState.WAITING)


def _held(
    session: Session,
    staff: Staff,
    state: HeldState,
    reason: str,
    queue_id: int | None,
    query: str,
) -> Select[Delivery]:
    """Select the held mail of a list, without an order."""
    conditions = [_workable(session, load_organisation(session), staff), Delivery.held == state]
    if reason:
        conditions.append(Delivery.reason == reason)
    if queue_id is not None:
        conditions.append(Delivery.queue_id == queue_id)
    if sought := query.strip():
        texts = (Mail.from_address, Mail.from_display, Mail.subject, Delivery.recipient)
        conditions.append(or_(*(text.icontains(sought, autoescape=True) for text in texts)))
    return (
        select(Delivery)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(*conditions)
        .options(contains_eager(Delivery.mail))
    )


def _rows(session: Session, deliveries: Iterable[Delivery]) -> tuple[HeldMail, ...]:
    organisation = load_organisation(session)
    return tuple(
        HeldMail(delivery, delivery.mail, _queue_name(organisation, delivery))
        for delivery in deliveries
    )


def _queue_name(organisation: Organisation, delivery: Delivery) -> str:
    return organisation.queues[delivery.queue_id].name if delivery.queue_id is not None else ""


def _message(held: HeldMail) -> Message:
    return parse(original(held.delivery).raw)
