"""What every customer source can do."""

from collections.abc import Iterator
from typing import Protocol

from core.errors import SchalterError
from core.sources.records import SourceRecord


class SourceAway(SchalterError):
    """A source does not answer, or not as it was configured; the text says which and why."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"customer source {source}: {reason}")
        self.source = source
        self.reason = reason


class CustomerSource(Protocol):
    """A place that keeps customer data. Every method may raise ``SourceAway``."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    def count(self) -> int:
        """Return how many records there are, invalid ones included."""

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every record, reading on as they are taken."""

    def check_password(self, key: str, password: str) -> bool:
        """Whether the record with this key is there, is valid and has this password."""

    def close(self) -> None:
        """Give up what is kept open."""
