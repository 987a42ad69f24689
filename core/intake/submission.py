"""What a customer user writes in the portal, composed as a message.

It goes through the same ``take_in`` as mail: one permission check, one explanation, one audit
trail, and the bytes are kept in the same form.
"""

from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from core.intake.incoming import Envelope, Incoming, PortalSubmission
from core.mail.text import clean_text, one_line
from core.mail.uploads import Upload
from core.models import CustomerUser, Ticket, now
from core.words import Protocol

DOMAIN = "portal.schalter.invalid"  # RFC 2606: never a real host
_POLICY = SMTP.clone(max_line_length=76)


def new_ticket(
    customer_user: CustomerUser,
    queue_id: int,
    subject: str,
    text: str,
    uploads: Sequence[Upload] = (),
    nonce: str = "",
    peer: str = "",
) -> Incoming:
    """Return a new ticket as a message; the same ``nonce`` sent twice makes one ticket."""
    asked = PortalSubmission(customer_user.id, queue_id=queue_id)
    return _incoming(customer_user, asked, subject, text, uploads, nonce, peer)


def reply(
    customer_user: CustomerUser,
    ticket: Ticket,
    text: str,
    uploads: Sequence[Upload] = (),
    *,
    close: bool = False,
    nonce: str = "",
    peer: str = "",
) -> Incoming:
    """Return a reply to a ticket as a message, closing the ticket where ``close`` is set."""
    asked = PortalSubmission(customer_user.id, ticket_id=ticket.id, close_ticket=close)
    return _incoming(customer_user, asked, ticket.subject, text, uploads, nonce, peer)


def _incoming(
    customer_user: CustomerUser,
    asked: PortalSubmission,
    subject: str,
    text: str,
    uploads: Sequence[Upload],
    nonce: str,
    peer: str,
) -> Incoming:
    at = now()
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(one_line(customer_user.name), addr_spec=customer_user.email)
    message["Subject"] = one_line(subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{nonce}@{DOMAIN}>" if nonce else make_msgid(domain=DOMAIN)
    message.set_content(clean_text(text), cte="base64")
    for upload in uploads:
        main, sub = upload.media_type
        message.add_attachment(upload.content, maintype=main, subtype=sub, filename=upload.name)
    envelope = Envelope(
        mail_from=customer_user.email,
        recipients=("portal",),
        protocol=Protocol.PORTAL,
        peer=peer,
        trusted=True,
    )
    return Incoming(envelope, message.as_bytes(), at, asked)
