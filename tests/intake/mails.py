"""Mails for tests; a test says only what matters to it."""

from datetime import UTC, datetime

from core.intake.incoming import Envelope, Incoming
from core.words import Protocol

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def a_mail(
    text: str = "Guten Tag,\r\n\r\nbitte rufen Sie zurück.\r\n",
    *,
    to: str | tuple[str, ...] = "vertrieb@example.org",
    sender: str = "anna@muster.example",
    subject: str = "Frage",
    message_id: str = "<1@muster.example>",
    headers: str = "",
    mail_from: str | None = None,
    protocol: Protocol = Protocol.SMTP,
) -> Incoming:
    """Return a mail of Anna's to the sales queue, with what differs."""
    recipients = (to,) if isinstance(to, str) else to
    raw = (
        f"{headers}From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\n"
        f"Message-ID: {message_id}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    ).encode()
    envelope = Envelope(
        mail_from=sender if mail_from is None else mail_from,
        recipients=recipients,
        protocol=protocol,
        peer="192.0.2.1",
    )
    return Incoming(envelope, raw, AT)
