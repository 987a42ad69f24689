"""What every customer source can do."""

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Protocol

from core.errors import SchalterError
from core.sources.records import Found, SourceRecord


class SourceAway(SchalterError):
    """A source does not answer, or not as it was configured; the text says which and why."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"customer source {source}: {reason}")
        self.source = source
        self.reason = reason


class By(StrEnum):
    """What a record can be looked up by."""

    KEY = "key"
    LOGIN = "login"
    ADDRESS = "address"  # any of its addresses
    NUMBER = "number"  # the Kunden#


class CustomerSource(Protocol):
    """A place that keeps customer data. Every method but ``close`` may raise ``SourceAway``.

    A method takes some seconds at most where a source stalls, and may be called from any thread.
    """

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def managed_groups(self) -> frozenset[str]:
        """The names of groups here that this source alone gives to its accounts."""

    @property
    def keeps_passwords(self) -> bool:
        """Whether a password that was right is kept here, for when the accounts are adopted."""

    def count(self) -> int:
        """Return how many records there are, invalid ones included."""

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every record, reading on as they are taken."""

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Return the records with one of these values, at most ``limit``; invalid ones, too.

        Upper and lower case do not matter, but for a key.
        """

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Return what ``find`` finds together with the rows as they are in the source."""

    def samples(self, limit: int) -> Sequence[Found]:
        """Return some records with all columns or attributes that their rows have."""

    def check_password(self, key: str, password: str) -> bool:
        """Whether the record with this key is there, is valid and has this password."""

    def close(self) -> None:
        """Give up what is kept open."""
