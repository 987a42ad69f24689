"""Tickets, their articles and attachments."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.ids import PUBLIC_ID_LENGTH
from core.models.accounts import Customer, CustomerUser, Staff
from core.models.base import Base, word
from core.models.mails import Mail, RawMail
from core.models.organisation import Queue
from core.words import Author, Flag, Priority, Protocol, TicketState

FIRST_TICKET_NUMBER = 100_001


class Ticket(Base):
    """A case. Its number is for people, ``public_id`` for addresses of pages."""

    __tablename__ = "tickets"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(PUBLIC_ID_LENGTH), unique=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    customer_user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_users.id"))
    requester: Mapped[str] = mapped_column(String(320))  # mail address, as written
    subject: Mapped[str] = mapped_column(String(500))
    state: Mapped[TicketState] = mapped_column(word(TicketState), default=TicketState.NEW)
    priority: Mapped[Priority] = mapped_column(word(Priority), default=Priority.NORMAL)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    flag: Mapped[Flag | None] = mapped_column(word(Flag))
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    waiting_since: Mapped[datetime | None]  # oldest customer article without an answer
    closed_at: Mapped[datetime | None]
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    version: Mapped[int] = mapped_column(default=1)

    queue: Mapped[Queue] = relationship()
    customer: Mapped[Customer | None] = relationship()
    customer_user: Mapped[CustomerUser | None] = relationship()
    owner: Mapped[Staff | None] = relationship()
    articles: Mapped[list["Article"]] = relationship(back_populates="ticket", order_by="Article.id")

    __table_args__ = (
        Index("ix_tickets_changed", "changed_at", "id"),
        Index("ix_tickets_state_changed", "state", "changed_at", "id"),
        Index("ix_tickets_queue_state_changed", "queue_id", "state", "changed_at", "id"),
        Index("ix_tickets_customer_user_changed", "customer_user_id", "changed_at", "id"),
        Index("ix_tickets_customer_changed", "customer_id", "changed_at", "id"),
        Index(
            "ix_tickets_merged_into",
            "merged_into_id",
            sqlite_where=text("merged_into_id IS NOT NULL"),
            postgresql_where=text("merged_into_id IS NOT NULL"),
        ),
    )

    @property
    def number(self) -> int:
        """The ticket number that people say and write."""
        return ticket_number(self.id)


def ticket_number(ticket_id: int) -> int:
    """Return the number of the ticket with this id: no column, so it can never disagree."""
    return ticket_id + FIRST_TICKET_NUMBER - 1


def ticket_id_of(number: int) -> int:
    """Return the id of the ticket with this number."""
    return number - FIRST_TICKET_NUMBER + 1


class Article(Base):
    """One message of a ticket. Internal unless ``visible`` says that customers may read it."""

    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"))
    mail_id: Mapped[int | None] = mapped_column(ForeignKey("mails.id"))
    raw_id: Mapped[int | None] = mapped_column(ForeignKey("raw_mails.id"))  # of what staff wrote
    author: Mapped[Author] = mapped_column(word(Author))
    channel: Mapped[Protocol | None] = mapped_column(word(Protocol))  # None: written by staff
    customer_user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_users.id"))
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    from_address: Mapped[str] = mapped_column(String(320), default="")
    from_name: Mapped[str] = mapped_column(String(500), default="")
    sent_to: Mapped[str] = mapped_column(String(2000), default="")  # addresses, of what staff sent
    sent_cc: Mapped[str] = mapped_column(String(2000), default="")
    subject: Mapped[str] = mapped_column(String(500), default="")
    text: Mapped[str]
    has_html: Mapped[bool] = mapped_column(default=False)
    visible: Mapped[bool] = mapped_column(default=False)
    flag: Mapped[Flag | None] = mapped_column(word(Flag))
    created_at: Mapped[datetime]

    ticket: Mapped[Ticket] = relationship(back_populates="articles")
    mail: Mapped[Mail | None] = relationship()
    raw: Mapped[RawMail | None] = relationship()
    staff: Mapped[Staff | None] = relationship()
    attachments: Mapped[list["Attachment"]] = relationship(
        back_populates="article", order_by="Attachment.id"
    )

    __table_args__ = (Index("ix_articles_ticket", "ticket_id", "id"),)


class Attachment(Base):
    """A part of an article's raw mail: where it is, not what is in it."""

    __tablename__ = "attachments"

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"), index=True)
    part: Mapped[int]  # position in the walk through the message's parts
    filename: Mapped[str] = mapped_column(String(200))
    content_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int]  # bytes, decoded
    content_id: Mapped[str] = mapped_column(String(300), default="")
    inline: Mapped[bool] = mapped_column(default=False)

    article: Mapped[Article] = relationship(back_populates="attachments")


class TicketLink(Base):
    """Two tickets that one mail opened, or that staff tied together; ``ticket_id`` is smaller."""

    __tablename__ = "ticket_links"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    other_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True, index=True)


class TicketTag(Base):
    """A word that a ticket can be found by; routing rules and staff give it."""

    __tablename__ = "ticket_tags"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(50), primary_key=True)

    __table_args__ = (Index("ix_ticket_tags_tag", "tag", "ticket_id"),)


class TicketSeen(Base):
    """The newest article of a ticket that a customer user has looked at."""

    __tablename__ = "ticket_seen"

    customer_user_id: Mapped[int] = mapped_column(ForeignKey("customer_users.id"), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
