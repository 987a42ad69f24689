"""What mail about a ticket needs to know before it is sent: of the account, the ticket, a message.

Nothing of a message whose sender is not verified gets into it, so that nobody can have us carry a
text to somebody else (threat L3).
"""

from sqlalchemy.orm import Session

from core.accounts.permissions import Access, is_valid_account
from core.i18n import N_
from core.models import Article, CustomerUser, OutgoingMail, Ticket
from core.outgoing.compose import subject_of_reply
from core.outgoing.installation import Installation
from core.outgoing.outbox import Suppressed
from core.words import Evidence

_KNOWN_SENDER = frozenset({Evidence.PORTAL, Evidence.VERIFIED})


def valid_recipient(session: Session, mail: OutgoingMail) -> CustomerUser | None:
    """Return the account that a mail goes to, None where it goes to somebody without one.

    Raises ``Suppressed`` for an account that has become invalid.
    """
    if mail.customer_user_id is None:
        return None
    account = session.get(CustomerUser, mail.customer_user_id)
    if account is None or not is_valid_account(account):
        raise Suppressed(N_("The account is invalid."))
    return account


def ticket_of_mail(session: Session, mail: OutgoingMail) -> Ticket:
    """Return the ticket that a mail is about: of a merged one, what it was merged into.

    Raises ``Suppressed`` for a mail that is about none.
    """
    ticket = session.get(Ticket, mail.ticket_id) if mail.ticket_id is not None else None
    if ticket is not None and ticket.merged_into_id is not None:
        ticket = session.get(Ticket, ticket.merged_into_id)
    if ticket is None:
        raise Suppressed(N_("There is no ticket to tell of."))
    return ticket


def has_known_sender(article: Article) -> bool:
    """Whether we know who wrote a message: staff, or a sender who is verified."""
    return article.mail is None or article.mail.evidence in _KNOWN_SENDER


def subject_of_article(article: Article | None, ticket: Ticket) -> str:
    """Return the subject of a message without number and *Re:*; "" where it may be forged."""
    if article is None or not has_known_sender(article):
        return ""
    return subject_of_reply(article.subject, ticket.number).partition("]")[2].strip()


def page_of_ticket(installation: Installation, access: Access | None, ticket: Ticket) -> str:
    """Return the address of a ticket's page, "" for somebody who may not open it."""
    if access is None or not access.may_see_ticket(ticket):
        return ""
    return installation.page(f"tickets/{ticket.public_id}")
