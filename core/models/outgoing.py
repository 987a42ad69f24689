"""What goes out: the outbox, the texts that are sent by themselves, and links with a secret."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import Base, now, word
from core.models.mails import RawMail
from core.models.organisation import Queue
from core.models.tickets import Article, Ticket
from core.words import AutoResponse, OutgoingKind, OutgoingState, TokenPurpose


class OutgoingMail(Base):
    """A mail to one recipient, from the transaction that caused it until it is settled.

    A message to several people is one row each, with the same bytes and Message-ID, so that each
    has a fate and a bounce address of its own. ``raw_id`` is None until the worker composes what
    is made late (auto responses), and for ever where the text holds a secret. ``leased_until``
    keeps other workers away while one talks to the relay.
    """

    __tablename__ = "outgoing_mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[OutgoingKind] = mapped_column(word(OutgoingKind))
    state: Mapped[OutgoingState] = mapped_column(word(OutgoingState), default=OutgoingState.WAITING)
    queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("articles.id"))  # sent or answered
    customer_user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_users.id"))
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))  # whose mail it is to
    raw_id: Mapped[int | None] = mapped_column(ForeignKey("raw_mails.id"))
    mail_from: Mapped[str] = mapped_column(String(320), default="")  # "": null reverse-path
    recipient: Mapped[str] = mapped_column(String(320))
    recipient_key: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(500), default="")
    message_id: Mapped[str] = mapped_column(String(500), default="")
    language: Mapped[str] = mapped_column(String(8), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    next_try_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    reply: Mapped[str] = mapped_column(String(500), default="")  # the relay's, or why not
    bounced_at: Mapped[datetime | None]
    bounce: Mapped[str] = mapped_column(String(500), default="")  # what the report says

    queue: Mapped[Queue | None] = relationship()
    ticket: Mapped[Ticket | None] = relationship()
    article: Mapped[Article | None] = relationship()
    raw: Mapped[RawMail | None] = relationship()

    __table_args__ = (
        Index(
            "ix_outgoing_mails_due",
            "next_try_at",
            "id",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_outgoing_mails_state", "state", "id"),
        Index("ix_outgoing_mails_recipient", "recipient_key", "created_at"),
        Index("ix_outgoing_mails_ticket", "ticket_id", "id"),
    )


class AutoResponseText(Base):
    """A queue's own wording of an auto response; without a row the default text is sent.

    A row with ``enabled`` false sends nothing. Empty texts mean the default.
    """

    __tablename__ = "auto_responses"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    kind: Mapped[AutoResponse] = mapped_column(word(AutoResponse), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    subject_de: Mapped[str] = mapped_column(String(300), default="")
    text_de: Mapped[str] = mapped_column(default="")
    subject_en: Mapped[str] = mapped_column(String(300), default="")
    text_en: Mapped[str] = mapped_column(default="")


class ReplyTemplate(Base):
    """A text that staff begin a reply with; for one queue, or for all (``queue_id`` None)."""

    __tablename__ = "reply_templates"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"), index=True)
    language: Mapped[str] = mapped_column(String(8), default="")  # "" fits every customer
    text: Mapped[str]
    valid: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)

    queue: Mapped[Queue | None] = relationship()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class BouncingAddress(Base):
    """Hard bounces of a recipient since somebody last said that the address is good."""

    __tablename__ = "bouncing_addresses"

    address_key: Mapped[str] = mapped_column(String(320), primary_key=True)
    bounces: Mapped[int]
    last_at: Mapped[datetime]
    last_text: Mapped[str] = mapped_column(String(500), default="")


class TicketMute(Base):
    """A customer user wants no mail about a ticket."""

    __tablename__ = "ticket_mutes"

    customer_user_id: Mapped[int] = mapped_column(ForeignKey("customer_users.id"), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)


class AccountToken(Base):
    """A link that lets somebody set a password, once. Only the hash of its secret is kept."""

    __tablename__ = "account_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    purpose: Mapped[TokenPurpose] = mapped_column(word(TokenPurpose))
    customer_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("customer_users.id"), index=True
    )
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (
        CheckConstraint("(customer_user_id IS NULL) <> (staff_id IS NULL)", name="one_account"),
    )


class PasswordRequest(Base):
    """Somebody asked for a new password; the worker finds out whether there is an account.

    The page that took the request cannot tell, not even by the time that it needs.
    """

    __tablename__ = "password_requests"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(320))  # login or mail address, as entered
    staff: Mapped[bool]  # asked for on the pages of staff
    language: Mapped[str] = mapped_column(String(8), default="")
    peer: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class AddressLink(Base):
    """A customer user wants an address that a link in a mail to it is to prove.

    Only the hash of the link's secret is kept; there is none before the mail goes out, and none
    after the link was used. ``expires_at`` has then passed, too.
    """

    __tablename__ = "address_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_user_id: Mapped[int] = mapped_column(ForeignKey("customer_users.id"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    address_key: Mapped[str] = mapped_column(String(320))
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    expires_at: Mapped[datetime]


class NumberClaim(Base):
    """Held mail names a Kunden#, and a registered contact of that customer is asked about it.

    One row for each contact; ``outgoing_id`` is None where none could be asked. Only the hash of
    the link's secret is kept; there is none before the mail goes out, and none after an answer.
    """

    __tablename__ = "number_claims"

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    customer_user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_users.id"))
    outgoing_id: Mapped[int | None] = mapped_column(ForeignKey("outgoing_mails.id"), unique=True)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_number_claims_customer", "customer_id", "created_at"),)
