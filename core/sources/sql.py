"""Customer data in a table or view of an SQL database, which is only read."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    LargeBinary,
    RowMapping,
    String,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql.elements import quoted_name

from core.config import SqlSourceSection
from core.db import foreign_engine
from core.drivers import MYSQL_NAMES, take_time
from core.sources.hashes import is_password
from core.sources.records import Found, SourceRecord
from core.sources.secrets import shown
from core.sources.source import By, SourceAway

ROWS_AT_ONCE = 500  # of a full pass that are held in memory
SECONDS = 3.0  # that one statement may take


class SqlSource:
    """A source by its section of the configuration; making one opens no connection.

    Names of tables and columns are quoted as they are written, so their case matters where the
    database says so.
    """

    managed_groups: frozenset[str] = frozenset()

    def __init__(self, section: SqlSourceSection, password: str | None) -> None:
        self.name = section.name
        self.keeps_passwords = section.keep_passwords
        self._engine = foreign_engine(section.url, password, SECONDS)
        self._is_mysql = self._engine.dialect.name in MYSQL_NAMES
        names = section.columns.model_dump(exclude={"more_addresses", "password"})
        self._fields = {field: name for field, name in names.items() if name}
        self._fields.setdefault("key", section.columns.login)
        self._more = section.columns.more_addresses
        self._valid_values = {value.casefold() for value in section.valid_values}
        wanted = dict.fromkeys([*self._fields.values(), *self._more])
        self._password = section.columns.password
        self._columns: dict[str, ColumnClause[Any]] = {
            name: column(_exact(name)) for name in filter(None, [*wanted, self._password])
        }
        self._table = table(
            _exact(section.table),
            *self._columns.values(),
            schema=_exact(section.table_schema) if section.table_schema else None,
        )
        self._rows = select(*(self._columns[name].label(_label(name)) for name in wanted))

    def count(self) -> int:
        """Return how many rows there are."""
        with self._connected() as connection:
            return connection.scalars(select(func.count()).select_from(self._table)).one()

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every row as a record, 500 in memory at once."""
        with self._connected() as connection:
            take_time(connection)
            streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
            for row in streaming.execute(self._rows).mappings():
                yield self._record(row)

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Return the rows with one of these values as records."""
        with self._connected() as connection:
            rows = connection.execute(self._rows.where(self._is_one(by, values)).limit(limit))
            return [self._record(row) for row in rows.mappings()]

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Return the rows with this value, all of their columns beside the record."""
        return self._found(limit, self._is_one(by, [value]))

    def samples(self, limit: int) -> Sequence[Found]:
        """Return some rows with all of their columns beside the record."""
        return self._found(limit)

    def _found(self, limit: int, *where: ColumnElement[bool]) -> Sequence[Found]:
        rows = (
            select(literal_column("*"), *self._rows.selected_columns)
            .select_from(self._table)
            .where(*where)
            .order_by(self._columns[self._fields["key"]])
            .limit(limit)
        )
        with self._connected() as connection:
            found = connection.execute(rows).mappings().all()
        return [Found(self._raw(row), self._record(row)) for row in found]

    def _raw(self, row: RowMapping) -> Mapping[str, tuple[str, ...]]:
        ours = {column.name for column in self._rows.selected_columns}
        return {
            name: shown(name, (_text(value),) if value is not None else (), {self._password})
            for name, value in row.items()
            if name not in ours
        }

    def _is_one(self, by: By, values: Collection[str]) -> ColumnElement[bool]:
        """Return the condition that a row has one of the values, whatever their case."""
        askable = [value for value in values if _is_askable(value)]
        if by is By.KEY:
            return self._text_of(self._fields["key"]).in_(askable)
        folded = [value.lower() for value in askable]
        names = {
            By.LOGIN: [self._fields["login"]],
            By.ADDRESS: [self._fields["email"], *self._more],
            By.NUMBER: [self._fields["customer_number"]],
        }[by]
        return or_(*(self._text_of(name, func.lower).in_(folded) for name in names))

    def _text_of(
        self, name: str, change: Callable[[ColumnElement[str]], ColumnElement[str]] = lambda it: it
    ) -> ColumnElement[str]:
        """Return a column as text, changed, that is compared byte by byte.

        Of its own accord MariaDB takes "Muller" for "Müller", and "anna " for "anna".
        """
        text = change(cast(self._columns[name], String))
        return type_coerce(cast(text, LargeBinary), String) if self._is_mysql else text

    def check_password(self, key: str, password: str) -> bool:
        """Whether the one row with this key is valid and has this password.

        The key is compared as text: what we know of it was read as such.
        """
        if not self._password or not _is_askable(key):
            return False
        stored = self._columns[self._password].label("stored")
        named = self._text_of(self._fields["key"]) == key
        with self._connected() as connection:
            rows = connection.execute(self._rows.add_columns(stored).where(named).limit(2))
            found = rows.mappings().all()
        if len(found) != 1 or not self._record(found[0]).valid:
            return False
        return is_password(password, _text(found[0]["stored"]))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise SourceAway(self.name, reason_of(error)) from None
        except (SQLAlchemyError, OSError) as error:  # no connection is free; no ssl_ca is there
            raise SourceAway(self.name, str(error).splitlines()[0]) from None

    def _record(self, row: RowMapping) -> SourceRecord:
        texts: dict[str, Any] = {
            field: _text(row[_label(name)]) for field, name in self._fields.items()
        }
        valid = "valid" not in texts or texts.pop("valid").casefold() in self._valid_values
        more: Sequence[str] = [_text(row[_label(name)]) for name in self._more]
        return SourceRecord(**texts, valid=valid, more_addresses=tuple(filter(None, more)))


def reason_of(error: DBAPIError) -> str:
    """Return what a driver says about an error, in one line."""
    said = error.orig.args[-1:] if error.orig is not None else ()  # MariaDB's number comes first
    return next(iter(str(*said).strip().splitlines()), type(error.orig).__name__)


def _is_askable(value: str) -> bool:
    """Whether a database can be asked for a text: none stores these characters."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _exact(name: str) -> quoted_name:
    return quoted_name(name, quote=True)


def _label(name: str) -> str:
    """Return what a column is called in our result: whatever a driver does to its own name."""
    return f"c_{name}"


def _text(value: object) -> str:
    """Return a value of any type as text; padding of fixed-width columns is none of it."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()
