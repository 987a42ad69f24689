"""What an admin decides about mail before anybody's permission is asked."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.accounts import Staff
from core.models.base import Base, now, word
from core.words import BlockedKind, RoutingScope


class RoutingRule(Base):
    """A rule that an admin made for mail (OTRS: a PostMaster filter), asked in their order.

    ``conditions`` and ``actions`` are those of ``core.routing.rule``. ``hits`` and ``last_hit_at``
    are counted by intake: the only columns whose change does not renew the organisation's version.
    Whoever changes a rule locks that version first, as intake does.
    """

    __tablename__ = "routing_rules"

    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    comment: Mapped[str] = mapped_column(default="")
    scope: Mapped[RoutingScope] = mapped_column(word(RoutingScope), default=RoutingScope.NEW)
    conditions: Mapped[dict[str, Any]]
    actions: Mapped[dict[str, Any]]
    stop: Mapped[bool] = mapped_column(default=False)
    valid: Mapped[bool] = mapped_column(default=True)
    hits: Mapped[int] = mapped_column(BigInteger, default=0)
    last_hit_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class BlockedSender(Base):
    """Whose mail is refused. ``value`` is what is compared: a key, a domain or a network."""

    __tablename__ = "blocked_senders"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[BlockedKind] = mapped_column(word(BlockedKind))
    value: Mapped[str] = mapped_column(String(320))
    comment: Mapped[str] = mapped_column(String(300), default="")
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    hits: Mapped[int] = mapped_column(BigInteger, default=0)
    last_hit_at: Mapped[datetime | None]

    staff: Mapped[Staff | None] = relationship()

    __table_args__ = (UniqueConstraint("kind", "value"),)
