"""What is known of the customer sources: databases and directories that keep customer data."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, now, word
from core.words import SourceConflict


class CustomerSource(Base):
    """The state of a source; what it is, the configuration says."""

    __tablename__ = "customer_sources"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    last_contact_at: Mapped[datetime | None]  # when it last answered
    last_pass_at: Mapped[datetime | None]  # when all its records were last read
    records: Mapped[int] = mapped_column(default=0)  # in that pass
    last_error: Mapped[str] = mapped_column(String(500), default="")  # "" once it answers again
    last_error_at: Mapped[datetime | None]  # since when it has not answered
    read_asked_at: Mapped[datetime | None]  # when somebody asked for a pass that has not begun yet
    read_began_at: Mapped[datetime | None]  # of the pass under way, or one that was broken off
    read_failed_at: Mapped[datetime | None]  # when the last pass ended, if it failed
    read_error: Mapped[str] = mapped_column(String(500), default="")  # why; "" if the log tells


class RecordConflict(Base):
    """A record of a source that could not be brought in, or only together with a warning.

    ``detail`` names the account that has what the record wants, or what is wrong with the record.
    """

    __tablename__ = "source_conflicts"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(50))
    source_key: Mapped[str] = mapped_column(String(200))
    login: Mapped[str] = mapped_column(String(200))
    kind: Mapped[SourceConflict] = mapped_column(word(SourceConflict))
    detail: Mapped[str] = mapped_column(String(500))
    found_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_source_conflicts_record", "source", "source_key"),)
