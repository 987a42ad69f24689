"""The outbox: mail is put into it by the transaction that causes it, and taken out by the worker.

A message is composed where it is put in, under a Message-ID that never changes; it is stored once,
with a row for each recipient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.db import reserve_ids
from core.i18n import current_language
from core.intake.raw_store import store_raw
from core.mail.addresses import MAX_ADDRESS, address_key
from core.mail.text import one_line
from core.mail.tokens import Token, TokenKind, make_token
from core.mail.uploads import Upload
from core.models import OutgoingMail, RawMail, now
from core.outgoing.compose import Letter, Mailbox, compose, to_ascii_domain
from core.outgoing.installation import Installation
from core.words import OutgoingKind, OutgoingState

MAX_LOCAL_PART = 64  # octets, RFC 5321 4.5.3.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A message to be sent. ``mute`` adds a link by which its account stops mail about the ticket.

    ``automatic`` is "" for what a person wrote, else the value of Auto-Submitted (RFC 3834); such
    mail has the null reverse-path, so nothing answers it.
    """

    kind: OutgoingKind
    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    subject: str
    text: str
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: str = ""
    mute: bool = False
    uploads: tuple[Upload, ...] = ()
    queue_id: int | None = None
    ticket_id: int | None = None
    article_id: int | None = None
    customer_user_id: int | None = None
    staff_id: int | None = None


class Suppressed(Exception):
    """A mail that is not to be sent after all; ``str()`` is the reason, a message id."""


class Posted(NamedTuple):
    """What was put into the outbox: the ids of its rows, and of the bytes that they share."""

    outgoing_ids: tuple[int, ...]
    raw_id: int
    message_id: str


def post(session: Session, installation: Installation, posting: Posting) -> Posted:
    """Compose a message and put it into the outbox, in the caller's writing transaction.

    Raises ``ValueError`` as ``compose`` does, before anything is stored.
    """
    recipients = _recipients(posting)
    (ids, (raw_id,)) = (
        list(found)
        for found in reserve_ids(session, [(OutgoingMail, len(recipients)), (RawMail, 1)])
    )
    at = now()
    letter = letter_of(installation, posting, ids[0], at)
    connection = session.connection()
    store_raw(connection, [{"id": raw_id, "content": compose(letter)}])
    connection.execute(
        insert(OutgoingMail),
        [
            _row(posting, outgoing_id, recipient, at)
            | {
                "raw_id": raw_id,
                "message_id": letter.message_id,
                "mail_from": bounce_address(installation, posting, outgoing_id),
            }
            for outgoing_id, recipient in zip(ids, recipients, strict=True)
        ],
    )
    return Posted(tuple(ids), raw_id, letter.message_id)


def letter_of(
    installation: Installation, posting: Posting, outgoing_id: int, at: datetime
) -> Letter:
    """Return a posting as the message to compose; its tokens name the outgoing mail."""
    key = installation.keys.ring.current
    thread = make_token(key, Token(TokenKind.THREAD, posting.ticket_id or 0, outgoing_id))
    mute = make_token(key, Token(TokenKind.MUTE, posting.ticket_id or 0, outgoing_id))
    sender = posting.sender
    answers_to_ticket = posting.ticket_id is not None
    return Letter(
        sender=sender,
        to=posting.to,
        cc=posting.cc,
        reply_to=_sub_address(sender.address, thread) if answers_to_ticket else "",
        subject=posting.subject,
        text=posting.text,
        date=at,
        message_id=f"<{thread}@{_domain(sender)}>",
        in_reply_to=posting.in_reply_to,
        references=posting.references,
        automatic=posting.automatic,
        unsubscribe=installation.page(f"mute/{mute}") if posting.mute else "",
        uploads=posting.uploads,
    )


def bounce_address(installation: Installation, posting: Posting, outgoing_id: int) -> str:
    """Return the reverse-path of an outgoing mail: reports to it name the mail (VERP)."""
    if posting.automatic == "auto-replied":
        return ""  # RFC 3834 3.3
    key = installation.keys.ring.current
    token = make_token(key, Token(TokenKind.BOUNCE, posting.ticket_id or 0, outgoing_id))
    return _sub_address(posting.sender.address, token)


def _sub_address(address: str, token: str) -> str:
    """Return the address with a token in it, or as it is where that would be too long."""
    plain = to_ascii_domain(address)
    local, _at, domain = plain.rpartition("@")
    longer = f"{local}+{token}@{domain}"
    is_long = len(f"{local}+{token}".encode()) > MAX_LOCAL_PART or len(longer) > MAX_ADDRESS
    return plain if is_long else longer


def _domain(sender: Mailbox) -> str:
    return to_ascii_domain(sender.address).rpartition("@")[2]


def _recipients(posting: Posting) -> list[Mailbox]:
    """Return everybody who gets the message, once. Raises ``ValueError`` without any."""
    if not posting.to:
        raise ValueError("no recipient")
    found = {address_key(each.address) or each.address: each for each in (*posting.to, *posting.cc)}
    return list(found.values())


def _row(posting: Posting, outgoing_id: int, recipient: Mailbox, at: datetime) -> dict[str, object]:
    address = to_ascii_domain(recipient.address)
    return {
        "id": outgoing_id,
        "kind": posting.kind,
        "state": OutgoingState.WAITING,
        "queue_id": posting.queue_id,
        "ticket_id": posting.ticket_id,
        "article_id": posting.article_id,
        "customer_user_id": posting.customer_user_id,
        "staff_id": posting.staff_id,
        "recipient": address,
        "recipient_key": address_key(address) or address,
        "subject": one_line(posting.subject)[:500],
        "language": current_language(),
        "created_at": at,
        "next_try_at": at,
        "attempts": 0,
        "reply": "",
        "bounce": "",
    }


def recipients_shown(mailboxes: Sequence[Mailbox]) -> str:
    """Return addresses as a ticket's page shows them."""
    return ", ".join(
        f"{each.name} <{each.address}>" if each.name else each.address for each in mailboxes
    )
