"""Muting: a customer user wants no mail about a ticket, by its page or by a link in a mail.

The link is signed and names the outgoing mail that it stood in, and with it the account and the
ticket. Whoever has it can mute and nothing else, so it asks for no password (RFC 8058).
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.i18n import N_
from core.mail.tokens import Token, TokenKind, make_token, read_token
from core.models import CustomerUser, OutgoingMail, Ticket, TicketMute, ticket_number
from core.outgoing.installation import Installation
from core.outgoing.outbox import Suppressed


class Muting(NamedTuple):
    """What a link mutes: a ticket, for an account."""

    customer_user_id: int
    ticket_id: int
    public_id: str

    @property
    def number(self) -> int:
        """The number of the ticket."""
        return ticket_number(self.ticket_id)


def mute(session: Session, customer_user_id: int, ticket_id: int) -> None:
    """Send a customer user no more notices about a ticket."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insertion = (sqlite if on_sqlite else postgresql).insert(TicketMute)
    session.execute(
        insertion.values(
            customer_user_id=customer_user_id, ticket_id=ticket_id
        ).on_conflict_do_nothing()
    )


def unmute(session: Session, customer_user_id: int, ticket_id: int) -> None:
    """Send a customer user notices about a ticket again."""
    session.execute(
        delete(TicketMute).where(
            TicketMute.customer_user_id == customer_user_id, TicketMute.ticket_id == ticket_id
        )
    )


def is_muted(session: Session, customer_user_id: int, ticket_id: int) -> bool:
    """Whether a customer user wants no notices about a ticket."""
    return session.get(TicketMute, (customer_user_id, ticket_id)) is not None


def check_not_muted(session: Session, account: CustomerUser, ticket: Ticket) -> None:
    """Raise ``Suppressed`` when an account wants no mail about a ticket."""
    if is_muted(session, account.id, ticket.id):
        raise Suppressed(N_("The ticket is muted."))


def mute_link(installation: Installation, ticket_id: int, outgoing_id: int) -> str:
    """Return the address of the page that mutes the ticket of an outgoing mail."""
    token = Token(TokenKind.MUTE, ticket_id, outgoing_id)
    return installation.page(f"mute/{make_token(installation.keys.ring.current, token)}")


def muting_of(session: Session, keys: Sequence[bytes], text: str) -> Muting | None:
    """Return what the link with this token mutes, None for one that is not ours or too old."""
    token = read_token(keys, text)
    if token is None or token.kind is not TokenKind.MUTE:
        return None
    mail = session.get(OutgoingMail, token.outgoing_id)
    if mail is None or mail.customer_user_id is None:
        return None
    ticket = session.get(Ticket, token.ticket_id)
    if ticket is not None and ticket.merged_into_id is not None:
        ticket = session.get(Ticket, ticket.merged_into_id)
    if ticket is None:
        return None
    return Muting(mail.customer_user_id, ticket.id, ticket.public_id)
