"""Customer data in a table or view of an SQL database, which is only read."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.config import SqlSourceSection
from core.db import foreign_engine
from core.drivers import MYSQL_NAMES, take_time
from core.sources.kinds.sql_rows import SqlRows, is_askable, text_in
from core.sources.passwords.hashes import is_password
from core.sources.records import Found, SourceRecord
from core.sources.source import By, SourceAway

ROWS_AT_ONCE = 500  # of a full pass that are held in memory
SECONDS = 3.0  # that one statement may take


class SqlSource:
    """A source by its section of the configuration; making one opens no connection."""

    managed_groups: frozenset[str] = frozenset()

    def __init__(self, section: SqlSourceSection, password: str | None) -> None:
        self.name = section.name
        self.keeps_passwords = section.keep_passwords
        self._engine = foreign_engine(section.url, password, SECONDS)
        self._rows = SqlRows(section, is_mysql=self._engine.dialect.name in MYSQL_NAMES)
        self._password = section.columns.password

    def count(self) -> int:
        """Return how many rows there are."""
        with asking(self.name, self._engine) as connection:
            return connection.scalars(select(func.count()).select_from(self._rows.table)).one()

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every row as a record, 500 in memory at once."""
        with asking(self.name, self._engine) as connection:
            take_time(connection)
            streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
            for row in streaming.execute(self._rows.every).mappings():
                yield self._rows.record(row)

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Return the rows with one of these values as records."""
        with asking(self.name, self._engine) as connection:
            rows = connection.execute(self._rows.with_one(by, values).limit(limit))
            return [self._rows.record(row) for row in rows.mappings()]

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Return the rows with this value, all of their columns beside the record."""
        return self._found(self._rows.whole().where(self._rows.is_one(by, [value])), limit)

    def samples(self, limit: int) -> Sequence[Found]:
        """Return some rows with all of their columns beside the record."""
        return self._found(self._rows.whole(), limit)

    def _found(self, wanted: Select[Any], limit: int) -> Sequence[Found]:
        with asking(self.name, self._engine) as connection:
            found = connection.execute(wanted.limit(limit)).mappings().all()
        return [Found(self._rows.raw(row), self._rows.record(row)) for row in found]

    def check_password(self, key: str, password: str) -> bool:
        """Whether the one row with this key is valid and has this password.

        The key is compared as text: what we know of it was read as such.
        """
        if not self._password or not is_askable(key):
            return False
        stored = self._rows.columns[self._password].label("stored")
        named = self._rows.with_one(By.KEY, [key])
        with asking(self.name, self._engine) as connection:
            found = connection.execute(named.add_columns(stored).limit(2)).mappings().all()
        if len(found) != 1 or not self._rows.record(found[0]).valid:
            return False
        return is_password(password, text_in(found[0]["stored"]))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


@contextmanager
def asking(source: str, engine: Engine) -> Iterator[Connection]:
    """Give a connection to the database of a source. Raises ``SourceAway`` for what it says."""
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise SourceAway(source, reason_of(error)) from None
    except (SQLAlchemyError, OSError) as error:  # no connection is free; no ssl_ca is there
        raise SourceAway(source, str(error).splitlines()[0]) from None


def reason_of(error: DBAPIError) -> str:
    """Return what a driver says about an error, in one line."""
    said = error.orig.args[-1:] if error.orig is not None else ()  # MariaDB's number comes first
    return next(iter(str(*said).strip().splitlines()), type(error.orig).__name__)
