"""Writing many rows of one table at once, at the price of the driver's own ``executemany``.

SQLAlchemy looks at every value of every row again when it executes a statement many times; in
intake, which writes nine rows for a mail, that was about a tenth of all work. Here the statement
and what its columns' types do to a value are made once for each set of columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert

from core.models import Base

_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Insertion:
    """An INSERT for one set of columns; ``converted`` are those whose values the driver needs
    in another form, ``defaults`` what columns that no row names get."""

    sql: str
    order: tuple[str, ...]  # of the places, "" where the driver wants names
    converted: tuple[tuple[str, _Convert], ...]
    defaults: tuple[tuple[str, Any], ...]

    def parameters(self, row: dict[str, Any]) -> Any:
        """Return what the driver is handed for a row."""
        values = dict(self.defaults) | row
        for name, convert in self.converted:
            values[name] = convert(values[name])
        return tuple([values[name] for name in self.order]) if self.order else values


def insert_rows(connection: Connection, model: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, which all name the same columns; the others get their constant defaults.

    Raises what the database raises.
    """
    if not rows:
        return
    insertion = _insertion(model, tuple(rows[0]), connection.dialect)
    connection.exec_driver_sql(insertion.sql, [insertion.parameters(row) for row in rows])


@cache
def _insertion(model: type[Base], named: tuple[str, ...], dialect: Dialect) -> _Insertion:
    table = model.__table__
    assert isinstance(table, Table)
    defaults = {
        column.name: column.default.arg
        for column in table.columns
        if column.name not in named and column.default is not None and column.default.is_scalar
    }
    names = (*named, *defaults)
    compiled = insert(table).compile(dialect=dialect, column_keys=names)
    converted = []
    for name in names:
        convert = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        if convert is not None:
            converted.append((name, convert))
    order = tuple(compiled.positiontup or ()) if compiled.positional else ()
    return _Insertion(str(compiled), order, tuple(converted), tuple(defaults.items()))
