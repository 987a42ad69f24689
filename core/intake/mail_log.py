"""The mail log: every mail with its fate and the reasons, as staff read it.

An admin reads all of it. An agent reads what was sent to the queues they may read; of a mail to
several queues, those parts only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, true
from sqlalchemy.orm import Session, joinedload

from core.accounts.permissions import Through
from core.accounts.rights import through_text
from core.accounts.staff import staff_queue_ids
from core.errors import NotFound
from core.i18n import N_
from core.i18n import gettext as _
from core.intake.facts import TicketClue
from core.intake.identify import MatchKind
from core.intake.sources_asked import SourcesAnswer
from core.labels import label, rule_label
from core.models import CustomerUser, Delivery, Mail, Staff, Ticket, ticket_number
from core.organisation import Organisation, load_organisation
from core.paging import Page, read_page
from core.tickets.view import File, eml
from core.words import DecisionKind, Evidence, HeldState, Permission, Protocol

MAX_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFilter:
    """Which mails a list shows; the default is all of them.

    ``sender`` and ``recipient`` are parts of an address, ``query`` a part of the subject, or the
    whole reference or Message-ID; no character in them is a wildcard. ``since`` counts, ``until``
    does not.
    """

    decision: DecisionKind | None = None
    reason: str = ""
    held: HeldState | None = None
    protocol: Protocol | None = None
    evidence: Evidence | None = None
    queue_id: int | None = None
    customer_user_id: int | None = None
    sender: str = ""
    recipient: str = ""
    query: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """What became of a mail for one recipient, with the names of what it names.

    ``ticket`` is the number, ``ticket_public_id`` the address of its page.
    """

    delivery: Delivery
    queue: str
    account: str  # login
    ticket: int | None
    ticket_public_id: str | None


@dataclass(frozen=True, slots=True)
class LoggedMail:
    """A mail with its recipients, as far as the asker may read them."""

    mail: Mail
    deliveries: tuple[LoggedDelivery, ...]


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step of an explanation in the reader's language."""

    rule: str
    answer: str
    because: str


def mail_log(
    session: Session,
    staff: Staff,
    wanted: MailFilter,
    *,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[LoggedMail]:
    """Return a page of mails, the newest first, each with what became of it."""
    organisation = load_organisation(session)
    readable = _readable(session, organisation, staff)
    page = read_page(
        session,
        select(Mail).where(_matches(wanted, readable)),
        (Mail.id,),
        descending=True,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )
    mails = _with_deliveries(session, organisation, page.items, readable)
    return Page(mails, page.previous, page.next)


def logged_mail(session: Session, staff: Staff, reference: str) -> LoggedMail:
    """Return one mail by the reference in its reply. Raises ``NotFound`` as if it did not exist."""
    organisation = load_organisation(session)
    readable = _readable(session, organisation, staff)
    mail = session.scalars(
        select(Mail).where(Mail.reference == reference, _sent_to(readable))
    ).one_or_none()
    if mail is None:
        raise NotFound(_("There is no such mail."))
    return _with_deliveries(session, organisation, [mail], readable)[0]


def mail_bytes(session: Session, staff: Staff, reference: str) -> File:
    """Return the exact bytes of a mail. Raises ``NotFound``, also for a refused one."""
    readable = _readable(session, load_organisation(session), staff)
    mail = session.scalars(
        select(Mail)
        .where(Mail.reference == reference, _sent_to(readable))
        .options(joinedload(Mail.raw))
    ).one_or_none()
    return eml(mail)


def shown_steps(trace: Sequence[Mapping[str, Any]]) -> tuple[ShownStep, ...]:
    """Return a stored explanation in the reader's language."""
    return tuple(
        _shown(step["rule"], step["answer"], step["because"], step["values"]) for step in trace
    )


def _shown(rule: str, answer: str, because: str, values: Mapping[str, str]) -> ShownStep:
    return ShownStep(rule_label(rule), _answer(rule, answer), _(because, **_shown_values(values)))


_NONE = N_("none")
_ANSWERS: Mapping[str, type[StrEnum]] = {
    "sender": Evidence,
    "sources": SourcesAnswer,
    "identify": MatchKind,
    "thread": TicketClue,
    "permission": Permission,
}
# A routing rule need not decide: then it says what it has changed.
_EFFECTS = {"fits": N_("fits"), "queue": N_("another queue"), "skipped": N_("left out")}


def _answer(rule: str, answer: str) -> str:
    """Return an answer in words: of a rule it is a fate, of a finding what was found."""
    if rule == "recipient":
        return answer  # the name of a queue
    if rule == "routing_rule" and answer in _EFFECTS:
        return _(_EFFECTS[answer])
    kind = _ANSWERS.get(rule, DecisionKind)
    return label(kind(answer)) if answer in set(kind) else _(_NONE)


def _shown_values(values: Mapping[str, str]) -> dict[str, str]:
    shown = dict(values)
    if "permission" in shown:
        shown["permission"] = label(Permission(shown["permission"]))
    if "through" in shown:
        ways = [Through(way) for way in shown["through"].split(", ")]
        shown["through"] = ", ".join(through_text(way) for way in ways)
    return shown


def _readable(session: Session, organisation: Organisation, staff: Staff) -> ColumnElement[bool]:
    """Return the condition on deliveries that a member of staff may read."""
    return staff_queue_ids(session, organisation, staff).reads(Delivery.queue_id)


def _sent_to(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Delivery.mail_id == Mail.id, condition)


def _matches(wanted: MailFilter, readable: ColumnElement[bool]) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [
        _sent_to(and_(*_delivery_conditions(wanted), readable))
    ]
    if wanted.protocol is not None:
        conditions.append(Mail.protocol == wanted.protocol)
    if wanted.evidence is not None:
        conditions.append(Mail.evidence == wanted.evidence)
    if wanted.since is not None:
        conditions.append(Mail.received_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(Mail.received_at < wanted.until)
    if sender := wanted.sender.strip():
        conditions.append(
            or_(
                Mail.from_address.icontains(sender, autoescape=True),
                Mail.mail_from.icontains(sender, autoescape=True),
            )
        )
    if query := wanted.query.strip():
        conditions.append(
            or_(
                Mail.reference == query,
                Mail.message_id == query,
                Mail.subject.icontains(query, autoescape=True),
            )
        )
    return and_(*conditions)


def _delivery_conditions(wanted: MailFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [true()]
    if wanted.decision is not None:
        conditions.append(Delivery.decision == wanted.decision)
    if wanted.reason:
        conditions.append(Delivery.reason == wanted.reason)
    if wanted.held is not None:
        conditions.append(Delivery.held == wanted.held)
    if wanted.queue_id is not None:
        conditions.append(Delivery.queue_id == wanted.queue_id)
    if wanted.customer_user_id is not None:
        conditions.append(Delivery.customer_user_id == wanted.customer_user_id)
    if recipient := wanted.recipient.strip():
        conditions.append(Delivery.recipient.icontains(recipient, autoescape=True))
    return conditions


def _with_deliveries(
    session: Session,
    organisation: Organisation,
    mails: Sequence[Mail],
    readable: ColumnElement[bool],
) -> tuple[LoggedMail, ...]:
    queues = organisation.queues
    rows = session.execute(
        select(Delivery, CustomerUser.login, Ticket.public_id)
        .outerjoin(CustomerUser, CustomerUser.id == Delivery.customer_user_id)
        .outerjoin(Ticket, Ticket.id == Delivery.ticket_id)
        .where(Delivery.mail_id.in_([mail.id for mail in mails]), readable)
        .order_by(Delivery.id)
    )
    by_mail: dict[int, list[LoggedDelivery]] = {mail.id: [] for mail in mails}
    for delivery, login, public_id in rows:
        queue = queues[delivery.queue_id].name if delivery.queue_id is not None else ""
        number = ticket_number(delivery.ticket_id) if delivery.ticket_id is not None else None
        by_mail[delivery.mail_id].append(
            LoggedDelivery(delivery, queue, login or "", number, public_id)
        )
    return tuple(LoggedMail(mail, tuple(by_mail[mail.id])) for mail in mails)
