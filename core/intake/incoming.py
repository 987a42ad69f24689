"""What comes in and what is answered: the values that cross the border of intake."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from core.mail.authentication.findings import Findings
from core.mail.content_check import ContentVerdict
from core.words import DecisionKind, Protocol


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who handed a message over, and for whom (RFC 5321 2.3.1).

    ``mail_from`` is "" for the null reverse-path. ``peer`` is the client's IP address, "" for a
    local pipe or the portal. ``recipients`` are forward-paths without brackets, at least one.
    ``trusted`` says that the client is a relay of ours or a local pipe: mail from inside.
    """

    mail_from: str
    recipients: tuple[str, ...]
    protocol: Protocol
    peer: str = ""
    helo: str = ""
    tls: bool = False
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class PortalSubmission:
    """What a signed-in customer user asked for: a new ticket in a queue, or a reply."""

    customer_user_id: int
    queue_id: int | None = None  # of a new ticket
    ticket_id: int | None = None  # replied to
    close_ticket: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message to take in. ``raw`` are the exact bytes received.

    ``authserv_id`` names the relay whose Authentication-Results are believed, "" for nobody's;
    ``findings`` are there when the edge has checked the sender itself, ``content`` when it has
    had the content checked.
    """

    envelope: Envelope
    raw: bytes
    received_at: datetime
    portal: PortalSubmission | None = None
    authserv_id: str = ""
    findings: Findings | None = None
    content: ContentVerdict | None = None


class Reply(NamedTuple):
    """An SMTP reply (RFC 5321 4.2) with its enhanced status code (RFC 3463)."""

    code: int
    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}"


@dataclass(frozen=True, slots=True)
class RecipientReceipt:
    """What became of a message for one recipient, and where to find it."""

    recipient: str
    decision: DecisionKind
    reason: str
    reply: Reply
    ticket_id: int | None = None
    ticket_public_id: str | None = None
    article_id: int | None = None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one message: one part per envelope recipient, in their order."""

    reference: str
    recipients: tuple[RecipientReceipt, ...]

    @property
    def reply(self) -> Reply:
        """The one SMTP reply: 250 if anything was kept, else the strictest refusal."""
        replies = [part.reply for part in self.recipients]
        kept = [reply for reply in replies if reply.code < 400]
        if kept:
            return kept[0]
        refused = [reply for reply in replies if reply.code >= 500]
        return refused[0] if refused else replies[0]
