"""The answers that a queue gives by itself, and whether one may be sent at all.

Their default texts are ``templates/mail/KIND.LANGUAGE.txt``: the subject, an empty line, the text.
A queue may have its own. Both are filled in alike: a placeholder that has no value for this
recipient takes the blank before it along, and one that a whole sentence hangs on takes its line.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import customer_user_access
from core.accounts.saving import Problems, clean_texts
from core.audit import Actor
from core.errors import NotFound
from core.i18n import LANGUAGES, N_, current_language, in_language
from core.i18n import gettext as _
from core.models import (
    AutoResponseText,
    OutgoingMail,
    Queue,
    Ticket,
    TicketLink,
    ticket_number,
)
from core.organisation import Organisation, QueueFacts, load_organisation
from core.outgoing.about_ticket import (
    page_of_ticket,
    subject_of_article,
    ticket_of_mail,
    valid_recipient,
)
from core.outgoing.caps import check_caps, check_recipient
from core.outgoing.compose import Mailbox, subject_of_reply
from core.outgoing.installation import Installation, sender_of
from core.outgoing.mutes import check_not_muted
from core.outgoing.outbox import Posting, Suppressed
from core.outgoing.placeholders import check_placeholders, fill
from core.render import template_dir
from core.words import AutoResponse, TicketState

# What may stand in a text, with what it means.
PLACEHOLDERS: Mapping[str, str] = {
    "ticket_number": N_("Number of the ticket"),
    "subject": N_("Subject of the message, where its sender is verified"),
    "customer_name": N_("Name of the customer user"),
    "queue": N_("Name of the queue"),
    "queue_address": N_("Mail address of the queue"),
    "organisation": N_("Name of the organisation"),
    "ticket_url": N_("Address of the ticket in the portal, where the recipient has an account"),
    "earlier_number": N_("Number of the closed ticket that is continued"),
}
_WITH_THEIR_LINE = ("queue_address", "ticket_url", "earlier_number")
_SAMPLE_TICKET = 23  # of a preview


class Wording(NamedTuple):
    """The subject and the text of a mail."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoResponseValues:
    """How a queue gives one of its answers; an empty text means the default."""

    kind: AutoResponse
    enabled: bool = True
    subject_de: str = ""
    text_de: str = ""
    subject_en: str = ""
    text_en: str = ""

    def wording(self, language: str) -> Wording:
        """Return what is sent in a language: the queue's own words, else the default ones."""
        own = Wording(self.subject_de, self.text_de)
        if language != "de":
            own = Wording(self.subject_en, self.text_en)
        default = DEFAULTS[self.kind, language]
        return Wording(own.subject or default.subject, own.text or default.text)


def _default(kind: AutoResponse, language: str) -> Wording:
    file = template_dir() / "mail" / f"{kind.value}.{language}.txt"
    subject, _empty, text = file.read_text(encoding="utf-8").partition("\n\n")
    return Wording(subject, text.strip())


# Read once: a text that is missing stops the start, not the hundredth mail.
DEFAULTS: Mapping[tuple[AutoResponse, str], Wording] = {
    (kind, language): _default(kind, language) for kind in AutoResponse for language in LANGUAGES
}


def texts_of(session: Session, queue_id: int, kind: AutoResponse) -> AutoResponseValues:
    """Return how a queue gives an answer, as it was entered."""
    row = session.get(AutoResponseText, (queue_id, kind))
    if row is None:
        return AutoResponseValues(kind=kind)
    return AutoResponseValues(
        kind=kind,
        enabled=row.enabled,
        subject_de=row.subject_de,
        text_de=row.text_de,
        subject_en=row.subject_en,
        text_en=row.text_en,
    )


def save_auto_response(
    session: Session, actor: Actor, queue_id: int, values: AutoResponseValues
) -> None:
    """Store how a queue gives an answer, and write to the audit log what is different now.

    What equals the default is not stored, so it follows the default when that changes. Raises
    ``NotFound`` for the queue and ``InvalidFields`` for texts.
    """
    queue = session.get(Queue, queue_id, with_for_update=True)  # one at a time
    if queue is None:
        raise NotFound(_("There is no such queue."))
    problems = Problems()
    values = clean_texts(values, AutoResponseText, problems, long=("text_de", "text_en"))
    _check_placeholders(values, problems)
    problems.raise_any()
    before = asdict(texts_of(session, queue_id, values.kind))
    after = _without_defaults(values)
    old, new = audit.differences(before, after)
    if not new:
        return
    session.merge(AutoResponseText(queue_id=queue_id, **after))
    new = {"auto_response": values.kind, **new}
    audit.record(session, actor, "auto-response-changed", "queue", queue_id, queue.name, old, new)


def preview(
    organisation: Organisation,
    queue_id: int,
    kind: AutoResponse,
    language: str,
    subject: str,
    text: str,
) -> Wording:
    """Return an answer as a customer with an account would get it; empty texts are the default."""
    default = DEFAULTS[kind, language]
    with in_language(language):
        values = {
            **_of_queue(organisation, organisation.queues[queue_id]),
            "ticket_number": str(ticket_number(_SAMPLE_TICKET)),
            "subject": _("Printer does not print"),
            "customer_name": _("Erika Example"),
            "ticket_url": "https://…/tickets/…",
            "earlier_number": str(ticket_number(_SAMPLE_TICKET // 2)),
        }
        wording = Wording(subject or default.subject, text or default.text)
        return _filled(wording, values, ticket_number(_SAMPLE_TICKET))


def posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Return an answer, composed late, in the transaction in which it is claimed.

    Raises ``Suppressed`` when it must not be sent: this is the one place that decides it.
    """
    organisation = load_organisation(session)
    queue = organisation.queues.get(mail.queue_id or 0)
    if queue is None or not queue.valid:
        raise Suppressed(N_("The queue is invalid."))
    texts = texts_of(session, queue.id, AutoResponse(mail.kind.value))
    if not texts.enabled:
        raise Suppressed(N_("The queue gives no such answer."))
    account = valid_recipient(session, mail)
    ticket = ticket_of_mail(session, mail)
    if account is not None and texts.kind is not AutoResponse.REJECTED:  # that a mail got lost
        check_not_muted(session, account, ticket)
    check_recipient(session, organisation, installation, mail)
    check_caps(session, organisation.settings, mail)
    access = customer_user_access(session, organisation, account) if account else None
    language = mail.language or (account.language if account else "")
    with in_language(language or organisation.settings.language):
        values = {
            **_of_queue(organisation, queue),
            "ticket_number": str(ticket.number),
            "subject": subject_of_article(mail.article, ticket) or _("your message"),
            "customer_name": account.name if account else "",
            "ticket_url": page_of_ticket(installation, access, ticket),
            "earlier_number": _earlier_number(session, ticket, texts.kind),
        }
        wording = _filled(texts.wording(current_language()), values, ticket.number)
    answered = mail.article.mail if mail.article is not None else None
    message_id = answered.message_id if answered is not None else ""
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, queue.id),
        to=(Mailbox(mail.recipient, account.name if account else ""),),
        subject=wording.subject,
        text=wording.text,
        in_reply_to=message_id,
        references=(message_id,),
        automatic="auto-replied",
        queue_id=queue.id,
        ticket_id=ticket.id,
        article_id=mail.article_id,
        customer_user_id=mail.customer_user_id,
    )


def _check_placeholders(values: AutoResponseValues, problems: Problems) -> None:
    for field in ("subject_de", "text_de", "subject_en", "text_en"):
        with problems.gathered():
            check_placeholders(getattr(values, field), PLACEHOLDERS, field)


def _without_defaults(values: AutoResponseValues) -> dict[str, object]:
    after = asdict(values)
    for language in LANGUAGES:
        default = DEFAULTS[values.kind, language]
        for part in ("subject", "text"):
            if after[f"{part}_{language}"] == getattr(default, part):
                after[f"{part}_{language}"] = ""
    return after


def _earlier_number(session: Session, ticket: Ticket, kind: AutoResponse) -> str:
    """Return the number of the closed ticket that a new one continues, "" where none is known."""
    if kind is not AutoResponse.NEW_TICKET:
        return ""
    earlier = session.scalars(
        select(Ticket.id)
        .join(TicketLink, or_(TicketLink.ticket_id == Ticket.id, TicketLink.other_id == Ticket.id))
        .where(
            or_(TicketLink.ticket_id == ticket.id, TicketLink.other_id == ticket.id),
            Ticket.id < ticket.id,
            Ticket.customer_id == ticket.customer_id,
            Ticket.state == TicketState.CLOSED,
        )
        .order_by(Ticket.id.desc())
        .limit(1)
    ).first()
    return str(ticket_number(earlier)) if earlier is not None else ""


def _of_queue(organisation: Organisation, queue: QueueFacts) -> dict[str, str]:
    return {
        "organisation": organisation.settings.organisation_name,
        "queue": queue.name,
        "queue_address": queue.address,
    }


def _filled(wording: Wording, values: Mapping[str, str], number: int) -> Wording:
    """Return a mail with its values; the ticket's number comes in front of the subject."""
    subject = fill(_with_values(wording.subject, values), values)
    return Wording(
        subject_of_reply(subject, number), fill(_with_values(wording.text, values), values)
    )


def _with_values(text: str, values: Mapping[str, str]) -> str:
    """Leave out what has no value: whole lines, or only the blank before a placeholder."""
    missing = [f"{{{name}}}" for name, value in values.items() if not value]
    drop = [each for each in missing if each[1:-1] in _WITH_THEIR_LINE]
    lines = [line for line in text.split("\n") if not any(each in line for each in drop)]
    kept = "\n".join(lines)
    for each in missing:
        kept = kept.replace(f" {each}", "").replace(each, "")
    while "\n\n\n" in kept:
        kept = kept.replace("\n\n\n", "\n\n")
    return kept.strip()
