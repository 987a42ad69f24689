"""The table of an SQL source: which statements ask for its rows, and what a row means."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import idna
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    LargeBinary,
    RowMapping,
    Select,
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
from sqlalchemy.sql.elements import quoted_name

from core.config import SqlSourceSection
from core.sources.records import SourceRecord
from core.sources.secrets import shown
from core.sources.source import By


class SqlRows:
    """The rows of a section's table, on MariaDB or MySQL where it ``is_mysql``.

    ``every`` asks for all of them, with the columns that a record is made of; ``columns`` are all
    that the section names, ``fields`` the names of columns by field.

    Names of tables and columns are quoted as they are written, so their case matters where the
    database says so.
    """

    def __init__(self, section: SqlSourceSection, *, is_mysql: bool) -> None:
        self._is_mysql = is_mysql
        names = section.columns.model_dump(exclude={"more_addresses", "password"})
        self.fields: Mapping[str, str] = {field: name for field, name in names.items() if name}
        self.fields = {"key": section.columns.login, **self.fields}
        self._more = section.columns.more_addresses
        self._valid_values = {value.casefold() for value in section.valid_values}
        wanted = dict.fromkeys([*self.fields.values(), *self._more])
        self._password = section.columns.password
        self.columns: Mapping[str, ColumnClause[Any]] = {
            name: column(_exact(name)) for name in filter(None, [*wanted, self._password])
        }
        self.table = table(
            _exact(section.table),
            *self.columns.values(),
            schema=_exact(section.table_schema) if section.table_schema else None,
        )
        self.every = select(*(self.columns[name].label(_label(name)) for name in wanted))

    def with_one(self, by: By, values: Collection[str]) -> Select[Any]:
        """Ask for the rows that have one of the values, whatever their case but for a key."""
        return self.every.where(self.is_one(by, values))

    def whole(self) -> Select[Any]:
        """Ask for all rows with all columns that they have, for ``raw`` and ``record``."""
        return (
            select(literal_column("*"), *self.every.selected_columns)
            .select_from(self.table)
            .order_by(self.columns[self.fields["key"]])
        )

    def is_one(self, by: By, values: Collection[str]) -> ColumnElement[bool]:
        """Return the condition that a row has one of the values."""
        askable = [value for value in values if is_askable(value)]
        if by is By.KEY:
            return self.text_of(self.fields["key"]).in_(askable)
        if by is By.ADDRESS:
            askable = [spelling for value in askable for spelling in _spellings(value)]
        folded = {value.lower() for value in askable}
        names = {
            By.LOGIN: [self.fields["login"]],
            By.ADDRESS: [self.fields["email"], *self._more],
            By.NUMBER: [self.fields["customer_number"]],
        }[by]
        return or_(*(self.text_of(name, func.lower).in_(folded) for name in names))

    def text_of(
        self, name: str, change: Callable[[ColumnElement[str]], ColumnElement[str]] = lambda it: it
    ) -> ColumnElement[str]:
        """Return a column as text, changed, that is compared byte by byte.

        Of its own accord MariaDB takes "Muller" for "Müller", and "anna " for "anna".
        """
        text = change(cast(self.columns[name], String))
        return type_coerce(cast(text, LargeBinary), String) if self._is_mysql else text

    def record(self, row: RowMapping) -> SourceRecord:
        """Return what a row says."""
        texts: dict[str, Any] = {
            field: text_in(row[_label(name)]) for field, name in self.fields.items()
        }
        valid = "valid" not in texts or texts.pop("valid").casefold() in self._valid_values
        more: Sequence[str] = [text_in(row[_label(name)]) for name in self._more]
        return SourceRecord(**texts, valid=valid, more_addresses=tuple(filter(None, more)))

    def raw(self, row: RowMapping) -> Mapping[str, tuple[str, ...]]:
        """Return all columns of a row with their values; passwords are hidden."""
        ours = {column.name for column in self.every.selected_columns}
        return {
            name: shown(name, (text_in(value),) if value is not None else (), {self._password})
            for name, value in row.items()
            if name not in ours
        }


def _spellings(address: str) -> Iterator[str]:
    """Yield an address as it is, and with the other spelling of a domain with umlauts."""
    local, _at, domain = address.lower().rpartition("@")
    yield address
    with suppress(UnicodeError):  # no domain; an IDNAError is one, too
        yield f"{local}@{idna.decode(domain) if domain.isascii() else idna.encode(domain).decode()}"


def is_askable(value: str) -> bool:
    """Whether a database can be asked for a text: none stores these characters."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _exact(name: str) -> quoted_name:
    return quoted_name(name, quote=True)


def _label(name: str) -> str:
    """Return what a column is called in our result: whatever a driver does to its own name."""
    return f"c_{name}"


def text_in(value: object) -> str:
    """Return a value of any type as text; padding of fixed-width columns is none of it."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()
