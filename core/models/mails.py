"""What came in: the bytes, the envelope, and for each recipient its fate and the reasons."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import JSON

from core.ids import PUBLIC_ID_LENGTH
from core.models.base import Base, word
from core.words import DecisionKind, Evidence, HeldState, MatchedBy, Protocol


class RawMail(Base):
    """The exact bytes of a message, stored once; everything else points into them."""

    __tablename__ = "raw_mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Mail(Base):
    """One message as it was handed to us, with its envelope. Refused mail keeps no bytes."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(PUBLIC_ID_LENGTH), unique=True)
    raw_id: Mapped[int | None] = mapped_column(ForeignKey("raw_mails.id"))
    received_at: Mapped[datetime] = mapped_column(index=True)
    protocol: Mapped[Protocol] = mapped_column(word(Protocol))
    peer: Mapped[str] = mapped_column(String(64), default="")  # address of the client
    helo: Mapped[str] = mapped_column(String(255), default="")
    tls: Mapped[bool] = mapped_column(default=False)
    trusted: Mapped[bool] = mapped_column(default=False)  # handed over by a relay of ours
    mail_from: Mapped[str] = mapped_column(String(320))  # "" is the null reverse-path
    size: Mapped[int]
    from_address: Mapped[str] = mapped_column(String(320), default="")
    from_display: Mapped[str] = mapped_column(String(500), default="")
    subject: Mapped[str] = mapped_column(String(500), default="")
    message_id: Mapped[str] = mapped_column(String(500), default="")
    evidence: Mapped[Evidence] = mapped_column(word(Evidence))
    evidence_why: Mapped[str] = mapped_column(default="")
    authentication: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    defects: Mapped[list[str]]

    deliveries: Mapped[list["Delivery"]] = relationship(
        back_populates="mail", order_by="Delivery.id"
    )
    raw: Mapped[RawMail | None] = relationship()


class Delivery(Base):
    """A mail for one envelope recipient: the decision, why, and what came of it.

    ``decision`` never changes afterwards; ``held`` says where a held mail stands.
    """

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    mail_id: Mapped[int] = mapped_column(ForeignKey("mails.id"), index=True)
    recipient: Mapped[str] = mapped_column(String(320))
    queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"))
    decision: Mapped[DecisionKind] = mapped_column(word(DecisionKind))
    reason: Mapped[str] = mapped_column(String(64))
    reply: Mapped[str] = mapped_column(String(500))
    matched_by: Mapped[MatchedBy] = mapped_column(word(MatchedBy))
    customer_user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_users.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"), index=True)
    article_id: Mapped[int | None] = mapped_column(ForeignKey("articles.id"))
    trace: Mapped[list[Any]] = mapped_column(JSON)
    duplicates: Mapped[int] = mapped_column(default=0)  # redeliveries recognised
    held: Mapped[HeldState | None] = mapped_column(word(HeldState))
    settled_at: Mapped[datetime | None]
    settled_by_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    settled_why: Mapped[str] = mapped_column(default="")

    mail: Mapped[Mail] = relationship(back_populates="deliveries")

    __table_args__ = (
        Index(
            "ix_deliveries_waiting",
            "id",
            sqlite_where=text("held = 'waiting'"),
            postgresql_where=text("held = 'waiting'"),
        ),
        Index(
            "ix_deliveries_customer_user",
            "customer_user_id",
            "id",
            sqlite_where=text("customer_user_id IS NOT NULL"),
            postgresql_where=text("customer_user_id IS NOT NULL"),
        ),
    )


class IntakeSeen(Base):
    """The keys of what was filed or held, for ever: a redelivery finds its first copy here."""

    __tablename__ = "intake_seen"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"))

    __table_args__ = ({"sqlite_with_rowid": False},)
