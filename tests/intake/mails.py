"""Mails for tests; a test says only what matters to it."""

from datetime import UTC, datetime, timedelta

from core.intake.incoming import Envelope, Incoming
from core.words import Protocol

# When they came in: some hours before the tests, so that on every day they are as old.
AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)


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
