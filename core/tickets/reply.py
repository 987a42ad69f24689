"""What staff write to a customer: an article of the ticket and, unless unwanted, a mail.

The mail goes to the registered address of the ticket's account, never to the Reply-To of a mail
(threat I4). A ticket without account is answered at the address that its first mail came from,
verified or not: the rule that an unverified address gets nothing is about what a machine sends by
itself. Here a person has read the mail, sees its flag, and sends one answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import customer_user_access, is_valid_account
from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.errors import Forbidden, Invalid, Stale
from core.i18n import gettext as _
from core.i18n import in_language
from core.mail.addresses import address_key, check_new_address
from core.mail.uploads import Upload
from core.models import Article, Mail, OutgoingMail, Staff, Ticket, TicketMute
from core.organisation import Organisation, load_organisation
from core.outgoing.compose import MAX_REFERENCES, Mailbox, subject_of_reply
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, post, recipients_shown
from core.outgoing.placeholders import fill, values_of
from core.tickets.changing import record_change, set_state, workable_ticket
from core.tickets.writing import add_article, add_files, check_uploads, store_unsent, written_text
from core.words import OutgoingKind, Protocol, TicketState

MAX_CC = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyValues:
    """What staff enter. ``state`` is the one after sending, None leaves it as it is.

    ``seen_article`` is the newest article that they had before them while writing.
    """

    text: str
    cc: tuple[str, ...] = ()
    uploads: tuple[Upload, ...] = ()
    state: TicketState | None = TicketState.WAITING
    seen_article: int


class NewerArticle(Stale):
    """Somebody has written into the ticket since the form of a reply was read."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Who gets a reply: ``mailbox`` None says that it cannot be sent, and ``problem`` why.

    ``muted`` and ``no_notices`` say that the customer wants no mail: the reply is then shown in
    the portal only.
    """

    mailbox: Mailbox | None
    muted: bool = False
    no_notices: bool = False
    problem: str = ""

    @property
    def wants_mail(self) -> bool:
        """Whether the customer has not said that they want no mail."""
        return not (self.muted or self.no_notices)


def addressee(session: Session, ticket: Ticket) -> Addressee:
    """Return who gets a reply in this ticket, and whether they want it by mail."""
    account = ticket.customer_user
    if account is not None:
        if not is_valid_account(account):
            return Addressee(None, problem=_("The account is invalid: nobody can be answered."))
        muted = session.get(TicketMute, (account.id, ticket.id)) is not None
        return Addressee(Mailbox(account.email, account.name), muted, not account.notices)
    organisation = load_organisation(session)
    try:
        address = check_new_address(ticket.requester)
    except Invalid:
        return Addressee(None, problem=_("The ticket has no mail address that can be answered."))
    if organisation.route(address) is not None:
        return Addressee(None, problem=_("The ticket comes from an address of our own."))
    return Addressee(Mailbox(address))


def reply(
    session: Session,
    installation: Installation,
    actor: Actor,
    staff: Staff,
    public_id: str,
    values: ReplyValues,
) -> Article:
    """Answer a customer: store the article and put its mail into the outbox.

    Raises ``NotFound``, ``Forbidden`` where nobody may or can be answered, ``NewerArticle``, and
    ``Invalid`` for the field that cannot be.
    """
    organisation = load_organisation(session, lock=True)
    text = written_text(values.text)
    check_uploads(organisation, values.uploads)
    if values.state is TicketState.NEW:
        raise Invalid("state", _("A ticket that was answered is not new."))
    queues = staff_queue_ids(session, organisation, staff)
    ticket = workable_ticket(session, queues, public_id)
    _check_seen(session, ticket, values.seen_article)
    to = answerable(session, ticket)
    cc = checked_cc(organisation, to, values.cc)
    article = write(
        session, installation, organisation, ticket, staff, text, values.uploads, to, cc
    )
    before = _state_and_owner(ticket)
    _set_answered(ticket, staff, values.state)
    old, new = audit.differences(before, _state_and_owner(ticket))
    sent = {"article": article.id, "to": article.sent_to, "cc": article.sent_cc}
    record_change(session, actor, ticket, "replied", old, {**sent, **new})
    return article


def answerable(session: Session, ticket: Ticket) -> Addressee:
    """Return who gets a reply. Raises ``Forbidden`` where nobody can."""
    to = addressee(session, ticket)
    if to.mailbox is None:
        raise Forbidden(to.problem)
    return to


def checked_cc(
    organisation: Organisation, to: Addressee, entered: Sequence[str]
) -> tuple[Mailbox, ...]:
    """Return whom a copy goes to, each once and without who gets the mail anyway.

    Raises ``Invalid`` for what is no mail address or one of our own, for too many, and for any
    where no mail is sent.
    """
    texts = [text for text in entered if text.strip()]
    if len(texts) > MAX_CC:
        raise Invalid("cc", _("At most %(limit)d entries.", limit=MAX_CC))
    if texts and not to.wants_mail:
        text = _("The customer wants no mail about this ticket, so there can be no copies of it.")
        raise Invalid("cc", text)
    found: dict[str | None, Mailbox] = {}
    for text in texts:
        address = check_new_address(text, "cc")
        if organisation.route(address) is not None:
            text = _("%(address)s is an address of our own queues.", address=address)
            raise Invalid("cc", text)
        found.setdefault(address_key(address), Mailbox(address))
    if to.mailbox is not None:
        found.pop(address_key(to.mailbox.address), None)
    return tuple(found.values())


def write(
    session: Session,
    installation: Installation,
    organisation: Organisation,
    ticket: Ticket,
    staff: Staff,
    text: str,
    uploads: Sequence[Upload],
    to: Addressee | None,
    cc: Sequence[Mailbox] = (),
) -> Article:
    """Store what staff write to the customer; send it to those who get it and want it.

    ``to`` None sends nothing. Everything else was checked before.
    """
    sender = sender_of(organisation, installation, ticket.queue_id)
    article = add_article(session, ticket, staff, sender, text, visible=True)
    if to is None or to.mailbox is None or not to.wants_mail:
        store_unsent(session, article, uploads)
        return article
    account = ticket.customer_user
    in_reply_to, references = _thread(session, ticket)
    language = account.language if account is not None else ""
    with in_language(language or organisation.settings.language):
        posting = Posting(
            kind=OutgoingKind.REPLY,
            sender=sender,
            to=(to.mailbox,),
            cc=tuple(cc),
            subject=subject_of_reply(ticket.subject, ticket.number),
            text=_mail_text(session, installation, organisation, ticket, staff, text),
            in_reply_to=in_reply_to,
            references=references,
            mute=account is not None and not cc,  # who gets a copy must not mute it for others
            uploads=tuple(uploads),
            queue_id=ticket.queue_id,
            ticket_id=ticket.id,
            article_id=article.id,
            customer_user_id=ticket.customer_user_id,
        )
        posted = post(session, installation, posting)
    article.sent_to = recipients_shown([to.mailbox])
    article.sent_cc = recipients_shown(cc)
    add_files(session, article, posted.raw_id, uploads)
    return article


def _check_seen(session: Session, ticket: Ticket, seen_article: int) -> None:
    newest = session.scalar(select(func.max(Article.id)).where(Article.ticket_id == ticket.id))
    if newest is not None and newest > seen_article:
        raise NewerArticle(
            _("Somebody has written into this ticket in the meantime. Nothing was sent.")
        )


def _set_answered(ticket: Ticket, staff: Staff, state: TicketState | None) -> None:
    if state is None and ticket.state is TicketState.NEW:
        state = TicketState.OPEN
    if state is not None:
        set_state(ticket, state)
    ticket.waiting_since = None
    if ticket.owner is None:
        ticket.owner = staff


def _state_and_owner(ticket: Ticket) -> dict[str, object]:
    owner = ticket.owner.login if ticket.owner is not None else None
    return {"state": ticket.state, "owner_id": owner}


def _mail_text(
    session: Session,
    installation: Installation,
    organisation: Organisation,
    ticket: Ticket,
    staff: Staff,
    text: str,
) -> str:
    """Return the text with the ticket's page, for who may open it, and the queue's signature."""
    parts = [text]
    values = values_of(installation, organisation, ticket, staff)
    account = ticket.customer_user
    if account is not None:
        access = customer_user_access(session, organisation, account)
        if access.may_see_ticket(ticket):
            parts.append(_("This ticket in the portal: %(url)s", url=values["ticket_url"]))
    signature = fill(organisation.queues[ticket.queue_id].signature, values).strip()
    if signature:
        parts.append(f"-- \n{signature}")  # RFC 3676 4.3
    return "\n\n".join(parts)


def _thread(session: Session, ticket: Ticket) -> tuple[str, tuple[str, ...]]:
    """Return which mail is answered, and the ids of the ticket's mails, oldest first.

    What was written in the portal has an id that no mail program has seen.
    """
    theirs = session.execute(
        select(Mail.received_at, Mail.message_id)
        .join(Article, Article.mail_id == Mail.id)
        .where(
            Article.ticket_id == ticket.id,
            Article.visible,
            Mail.protocol != Protocol.PORTAL,
            Mail.message_id != "",
        )
        .order_by(Article.id.desc())
        .limit(MAX_REFERENCES)
    ).all()
    ours = session.execute(
        select(OutgoingMail.created_at, OutgoingMail.message_id)
        .where(OutgoingMail.ticket_id == ticket.id, OutgoingMail.message_id != "")
        .order_by(OutgoingMail.id.desc())
        .limit(MAX_REFERENCES)
    ).all()
    in_order = tuple(row.message_id for row in sorted([*theirs, *ours], key=lambda row: row[0]))
    answered = theirs[0].message_id if theirs else in_order[-1] if in_order else ""
    return answered, tuple(dict.fromkeys(in_order))
