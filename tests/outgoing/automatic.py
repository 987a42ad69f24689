"""What is sent by itself, for tests: messages that came in, and the mail that they cause.

The rows are put into the outbox here, whatever the rules of intake say about a message: these
tests are about what becomes of a row when the worker wants to send it.
"""

from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from sqlalchemy.orm import Session

from core.db import Database
from core.intake import submission
from core.intake.pipeline import take_in
from core.mail.addresses import address_key
from core.models import Article, CustomerUser, Mail, OutgoingMail, Ticket, now
from core.outgoing.installation import Installation
from core.outgoing.late import compose_late
from core.outgoing.outbox import Suppressed
from core.secret_key import Keys, ensure_secret_key
from core.words import Evidence, OutgoingKind, OutgoingState
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail

PORTAL = "https://hilfe.example.org"


@dataclass
class Office:
    """An organisation, and the installation that sends its mail."""

    database: Database
    firm: Firm
    installation: Installation
    mails: int = 0

    def open_ticket(self, subject: str = "Drucker", *, queue: str = "Vertrieb") -> int:
        """File a ticket of Anna's as the portal does; return its id."""
        with self.database.write() as session:
            anna = session.get_one(CustomerUser, self.firm.customer_users["anna"])
            message = submission.new_ticket(anna, self.firm.queues[queue], subject, "Text", ())
            (receipt,) = take_in(session, [message])
            ticket_id = receipt.recipients[0].ticket_id
            assert ticket_id is not None, receipt
            return ticket_id

    def take_mail(
        self, subject: str = "Frage", *, evidence: Evidence = Evidence.VERIFIED, text: str = "Hallo"
    ) -> int:
        """Take in a mail of Anna's that opens a ticket; return the id of its article."""
        self.mails += 1
        message_id = f"<{self.mails}@muster.example>"
        with self.database.write() as session:
            mail = a_mail(text, subject=subject, message_id=message_id)
            (receipt,) = take_in(session, [mail])
            article = session.get_one(Article, receipt.recipients[0].article_id)
            session.get_one(Mail, article.mail_id).evidence = evidence
            return article.id

    def put(
        self,
        kind: OutgoingKind = OutgoingKind.RECEIVED,
        *,
        ticket_id: int | None = None,
        article_id: int | None = None,
        to: str = "anna@muster.example",
        account: str | None = "anna",
        at: datetime | None = None,
        language: str = "",
        queue: str = "Vertrieb",
    ) -> int:
        """Put a mail that is composed late into the outbox, as intake does; return its id."""
        with self.database.write() as session:
            if ticket_id is None and article_id is not None:
                ticket_id = session.get_one(Article, article_id).ticket_id
            mail = OutgoingMail(
                kind=kind,
                queue_id=self.firm.queues[queue],
                ticket_id=ticket_id,
                article_id=article_id,
                customer_user_id=self.firm.customer_users[account] if account else None,
                recipient=to,
                recipient_key=address_key(to) or to,
                language=language,
                created_at=at or now(),
            )
            session.add(mail)
            session.flush()
            return mail.id

    def send(self, outgoing_id: int) -> EmailMessage | str:
        """Compose a mail as the worker does before it is first sent; return it, or why not."""
        with self.database.write() as session:
            mail = session.get_one(OutgoingMail, outgoing_id)
            try:
                with session.begin_nested():
                    content = compose_late(session, self.installation, mail).content
            except Suppressed as why:
                mail.state = OutgoingState.SUPPRESSED
                return str(why)
            mail.state = OutgoingState.SENT
            found = BytesParser(policy=policy.default).parsebytes(content)
            assert isinstance(found, EmailMessage)
            return found

    def composed(self, outgoing_id: int) -> EmailMessage:
        """Return a mail that is sent. Fails where it is suppressed."""
        found = self.send(outgoing_id)
        assert isinstance(found, EmailMessage), found
        return found

    def ticket(self, session: Session, ticket_id: int) -> Ticket:
        """Return a ticket."""
        return session.get_one(Ticket, ticket_id)


def an_office(database: Database, folder: Path, **settings: object) -> Office:
    """Store the organisation, with these settings instead of the defaults, and a key."""
    file = str(folder / "secret.key")
    ensure_secret_key(file)
    installation = Installation(Keys(file), PORTAL, "mx.example.org")
    return Office(database, a_firm(database, **settings), installation)


def text_of(message: EmailMessage) -> str:
    """Return the text of a mail."""
    text = message.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")
