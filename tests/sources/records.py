"""A source that is a list of records: for tests of what becomes of records."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from core.db import Database
from core.i18n import in_language
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.passes import read_all
from core.sources.mirroring.verdicts import Tally
from core.sources.records import Found, SourceRecord
from core.sources.source import By

AD = "ad"
ANNA = SourceRecord(
    key="1",
    login="anna",
    customer_number="K-1000",
    email="anna@muster.example",
    customer_name="Muster GmbH",
    first_name="Anna",
    last_name="Müller",
)
BERT = replace(
    ANNA, key="2", login="bert", email="bert@muster.example", first_name="Bert", last_name="Maier"
)


class Listed:
    """The source; nobody looks single records up in it."""

    managed_groups: frozenset[str] = frozenset()
    keeps_passwords = False

    def __init__(self, name: str, records: Sequence[SourceRecord]) -> None:
        self.name = name
        self._records = records

    def count(self) -> int:
        """Return how many there are."""
        return len(self._records)

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every record."""
        yield from self._records

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Find nothing."""
        return []

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Find nothing."""
        return []

    def samples(self, limit: int) -> Sequence[Found]:
        """Show nothing."""
        return []

    def check_password(self, key: str, password: str) -> bool:
        """Know no passwords."""
        return False

    def close(self) -> None:
        """Nothing is open."""


def look_up(database: Database, *records: SourceRecord, source: str = AD) -> Tally:
    """Bring some records in, as a look-up does."""
    mirror = Mirror(source, [source], complete=False)
    with in_language("en"), database.write() as session:
        mirror.bring(session, records)
    return mirror.tally


def read(database: Database, *records: SourceRecord, source: str = AD) -> Tally:
    """Read a source that has just these records."""
    listed = Listed(source, records)
    return read_all(database, listed, [source], listed.all_records())
