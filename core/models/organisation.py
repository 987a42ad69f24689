"""Queues and run-time settings: what intake must know before it can decide."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import JSON

from core.models.accounts import Group
from core.models.base import Base, word
from core.words import EvidenceDemand, FollowUp, ForbiddenRule, StrangersRule


class Queue(Base):
    """Where tickets lie; belongs to exactly one group, so nothing is open by accident."""

    __tablename__ = "queues"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(300), default="")  # shown to customers
    comment: Mapped[str] = mapped_column(default="")
    follow_up: Mapped[FollowUp] = mapped_column(word(FollowUp), default=FollowUp.POSSIBLE)
    forbidden: Mapped[ForbiddenRule] = mapped_column(
        word(ForbiddenRule), default=ForbiddenRule.HOLD
    )
    fallback_queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"))
    strangers: Mapped[StrangersRule] = mapped_column(
        word(StrangersRule), default=StrangersRule.HOLD
    )
    evidence: Mapped[EvidenceDemand] = mapped_column(
        word(EvidenceDemand), default=EvidenceDemand.ANY
    )
    signature: Mapped[str] = mapped_column(default="")  # below what staff write
    valid: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)

    group: Mapped[Group] = relationship()
    fallback_queue: Mapped["Queue | None"] = relationship(remote_side=[id])
    addresses: Mapped[list["QueueAddress"]] = relationship(
        back_populates="queue", cascade="all, delete-orphan", order_by="QueueAddress.id"
    )

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class QueueAddress(Base):
    """An intake address of a queue."""

    __tablename__ = "queue_addresses"

    id: Mapped[int] = mapped_column(primary_key=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    address_key: Mapped[str] = mapped_column(String(320), unique=True)

    queue: Mapped[Queue] = relationship(back_populates="addresses")


class Setting(Base):
    """A run-time setting that differs from its default."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class OrganisationVersion(Base):
    """One row: a random number, drawn anew by triggers when a group, queue or setting changes.

    A process may keep the organisation in memory because every transaction that decides
    anything compares this number first. It is random, not counted, so that a change that was
    rolled back cannot leave the number of a later one behind.
    """

    __tablename__ = "organisation_version"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
