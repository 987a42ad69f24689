"""Notices: a customer user is told by mail that somebody else has written in their ticket."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from core.accounts.permissions import customer_user_access
from core.i18n import N_, in_language
from core.i18n import gettext as _
from core.models import Article, CustomerUser, OutgoingMail, Ticket
from core.organisation import load_organisation
from core.outgoing.about_ticket import (
    has_known_sender,
    page_of_ticket,
    subject_of_article,
    valid_recipient,
)
from core.outgoing.caps import check_notice_cap, check_recipient
from core.outgoing.compose import Mailbox, subject_of_reply
from core.outgoing.installation import Installation, sender_of
from core.outgoing.mutes import check_not_muted, mute_link
from core.outgoing.outbox import Posting, Suppressed
from core.words import Author, Flag

MAX_TEXT = 20_000  # characters of a message; more is read in the portal
# Who wrote these is not known, or no person did: nobody is called to read them.
_NOT_TOLD = frozenset({Flag.SENDER_NOT_VERIFIED, Flag.AUTOMATIC, Flag.DELIVERY_REPORT, Flag.BURST})


def posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Return a notice, composed late, in the transaction in which it is claimed.

    Raises ``Suppressed`` when it must not be sent (any more): muted, not permitted, not visible.
    """
    organisation = load_organisation(session)
    account = valid_recipient(session, mail)
    if account is None:
        raise Suppressed(N_("There is no account to tell."))
    article = _article(mail, account)
    ticket = article.ticket  # where it is now: it may have been moved by a merge or a split
    access = customer_user_access(session, organisation, account)
    if not access.may_see_ticket(ticket):
        raise Suppressed(N_("The account may not see the ticket."))
    _check_wanted(session, mail, account, ticket)
    check_recipient(session, organisation, installation, mail)
    check_notice_cap(session, mail)
    with in_language(mail.language or account.language or organisation.settings.language):
        subject = subject_of_article(article, ticket) or _("new message")
        text = _text(
            article,
            ticket,
            _writer(session, article) or organisation.settings.organisation_name,
            page=page_of_ticket(installation, access, ticket),
            mute_page=mute_link(installation, ticket.id, mail.id),
            may_reply=access.may_reply(ticket),
        )
    message_id = article.mail.message_id if article.mail is not None else ""
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, ticket.queue_id),
        to=(Mailbox(mail.recipient, account.name),),
        subject=subject_of_reply(subject, ticket.number),
        text=text,
        references=(message_id,),
        automatic="auto-generated",
        mute=True,
        queue_id=ticket.queue_id,
        ticket_id=ticket.id,
        article_id=article.id,
        customer_user_id=account.id,
    )


def _article(mail: OutgoingMail, account: CustomerUser) -> Article:
    article = mail.article
    if article is None or not article.visible:
        raise Suppressed(N_("The message is not visible to the customer."))
    if article.customer_user_id == account.id:
        raise Suppressed(N_("It is the account's own message."))
    if article.flag in _NOT_TOLD:
        raise Suppressed(N_("Nobody is told of such a message."))
    return article


def _check_wanted(
    session: Session, mail: OutgoingMail, account: CustomerUser, ticket: Ticket
) -> None:
    if not account.notices:
        raise Suppressed(N_("The account wants no mail about new answers."))
    check_not_muted(session, account, ticket)
    if mail.recipient_key not in {row.address_key for row in account.addresses}:
        raise Suppressed(N_("The address is none of the account's any more."))


def _text(
    article: Article,
    ticket: Ticket,
    writer: str,
    *,
    page: str,
    mute_page: str,
    may_reply: bool,
) -> str:
    told = _("%(name)s has written in ticket %(number)d:", name=writer, number=ticket.number)
    if not has_known_sender(article):
        told = _("There is a new message in ticket %(number)d.", number=ticket.number)
    paragraphs = [
        told,
        _shortened(article.text) if has_known_sender(article) else "",
        "\n".join(_ways(page, mute_page, may_reply=may_reply)),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _writer(session: Session, article: Article) -> str:
    """Return who wrote a message, by the names that we know ourselves where there is an account."""
    if article.author is Author.STAFF:
        return article.staff.name if article.staff is not None else ""
    if article.customer_user_id is not None:
        writer = session.get(CustomerUser, article.customer_user_id)
        assert writer is not None  # accounts are never deleted
        return writer.name
    return article.from_name or article.from_address


def _shortened(text: str) -> str:
    clean = text.strip()
    if len(clean) <= MAX_TEXT:
        return clean
    return f"{clean[:MAX_TEXT]} […]"


def _ways(page: str, mute_page: str, *, may_reply: bool) -> Iterable[str]:
    """Give what can be done, a line each, below a line that divides it from the message."""
    yield "_" * 40
    if may_reply:
        yield _("To reply, just answer this mail.")
    yield _("The ticket in the portal: %(address)s", address=page)
    yield _("No more mail about this ticket: %(address)s", address=mute_page)
