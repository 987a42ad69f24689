"""Who is signed in, and who tried too often."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class WebSession(Base):
    """A signed-in browser. The cookie holds a token, this row only its hash."""

    __tablename__ = "web_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    customer_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("customer_users.id"), index=True
    )
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)
    peer: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(200), default="")  # of the browser

    __table_args__ = (
        CheckConstraint("(customer_user_id IS NULL) <> (staff_id IS NULL)", name="one_account"),
    )


class SignInThrottle(Base):
    """Failed sign-ins per key (account and peer, or peer), forgotten after a while."""

    __tablename__ = "sign_in_throttles"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    last_failure_at: Mapped[datetime] = mapped_column(index=True)
