"""Keyset pagination: a page of a list costs the same wherever in the list it lies.

A cursor holds the sort key of the row at the edge of a page. It goes through the address of a
page, so it is checked like everything that comes from outside: one that does not fit shows the
first page.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select, true, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.util import ClauseAdapter

from core.models.base import UTCDateTime

T = TypeVar("T")
Key = int | str | datetime

MAX_CURSOR = 1000  # characters
MAX_SORTED = 30_000  # rows that a search finds and sorts; more are found along the sort order


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a list, and the cursors of the pages around them; None at the list's ends.

    ``count`` is how many rows all pages have, where finding this one has told it.
    """

    items: tuple[T, ...]
    previous: str | None
    next: str | None
    count: int | None = None

    def count_or(self, count: Callable[[], int]) -> int:
        """Return how many rows all pages have, counted now where that is not known."""
        return self.count if self.count is not None else count()


def read_page(
    session: Session,
    statement: Select[Any],
    keys: Sequence[InstrumentedAttribute[Any]],
    *,
    descending: bool,
    cursor: str | None,
    limit: int,
    ranges: Sequence[ColumnElement[bool]] = (),
    searched: ColumnElement[bool] | None = None,
) -> Page[Any]:
    """Return a page of at most ``limit`` rows of a statement that selects one entity.

    ``keys`` are attributes of that entity which sort the list and together are unique; they
    should be an index. ``cursor`` comes from another page, None or a broken one is the start.

    ``ranges`` are conditions of which the list is the union, each answered in order by an index
    of its own. No database merges such ranges by itself: it would sort all their rows. Given
    them, the page is merged from the first rows of each. The last key is then unique by itself.

    ``searched`` is a condition that no index answers, and few rows may fulfil: going along the
    sort order until a page is full would then fetch nearly every row out of order. Given it, the
    table is read once from its beginning, what is found is counted and sorted. If that is much, it
    is everywhere, and the sort order is gone along after all. The last key is unique here, too.
    """
    backwards, edge = _decode(cursor, keys) if cursor else (False, None)
    downwards = descending is not backwards
    beyond: ColumnElement[bool] = true()
    if edge is not None:
        row = tuple_(*keys)
        value = tuple_(*(literal(part, key.type) for part, key in zip(edge, keys, strict=True)))
        beyond = row < value if downwards else row > value
    order = [key.desc() if downwards else key.asc() for key in keys]
    if ranges:
        firsts = (
            select(*keys).where(each, beyond).order_by(*order).limit(limit + 1).subquery()
            for each in ranges
        )
        merged = union(*(select(first) for first in firsts)).subquery()
        columns = [merged.c[key.key] for key in keys]
        sort = [column.desc() if downwards else column.asc() for column in columns]
        page = select(columns[-1]).order_by(*sort).limit(limit + 1).subquery()
        statement = statement.join(page, page.c[0] == keys[-1])
    elif edge is not None:
        statement = statement.where(beyond)
    count = None
    if searched is not None:
        count, ids = _search(session, keys, searched, beyond, order, limit + 1)
        statement = statement.where(searched if count is None else keys[-1].in_(ids))
    found = list(session.scalars(statement.order_by(None).order_by(*order).limit(limit + 1)))
    more, rows = len(found) > limit, found[:limit]
    if backwards:
        rows.reverse()
    has_previous = more if backwards else edge is not None
    has_next = more if not backwards else True
    return Page(
        tuple(rows),
        _encode("p", rows[0], keys) if rows and has_previous else None,
        _encode("n", rows[-1], keys) if rows and has_next else None,
        count,
    )


def _search(
    session: Session,
    keys: Sequence[InstrumentedAttribute[Any]],
    searched: ColumnElement[bool],
    beyond: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]],
    limit: int,
) -> tuple[int | None, list[Any]]:
    """Return how many rows fulfil a condition, None for too many, and the last keys of a page.

    Both databases keep what is used twice, so the table is read once.
    """
    matches = select(*keys).where(searched).limit(MAX_SORTED + 1).cte("matches")
    columns = {key.key: matches.c[key.key] for key in keys}
    page = (
        select(*columns.values())
        .where(ClauseAdapter(matches).traverse(beyond))
        .order_by(*(ClauseAdapter(matches).traverse(each) for each in order))
        .limit(limit)
        .subquery()
    )
    total = select(func.count().label("total")).select_from(matches).subquery()
    rows = session.execute(
        select(total.c.total, page.c[keys[-1].key]).join_from(total, page, true(), isouter=True)
    ).all()
    count = rows[0].total
    return None if count > MAX_SORTED else count, [row[1] for row in rows if row[1] is not None]


def _encode(direction: str, row: Any, keys: Sequence[InstrumentedAttribute[Any]]) -> str:
    values = [_plain(getattr(row, key.key)) for key in keys]
    text = json.dumps([direction, *values], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _plain(value: Key) -> int | str:
    return value.isoformat() if isinstance(value, datetime) else value


def _decode(
    cursor: str, keys: Sequence[InstrumentedAttribute[Any]]
) -> tuple[bool, list[Key] | None]:
    if len(cursor) > MAX_CURSOR:
        return False, None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        direction, *values = json.loads(text)
        if direction not in ("p", "n") or len(values) != len(keys):
            return False, None
        edge = [_typed(value, key) for value, key in zip(values, keys, strict=True)]
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return False, None
    return direction == "p", edge


def _typed(value: Any, key: InstrumentedAttribute[Any]) -> Key:
    if isinstance(key.type, UTCDateTime):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return moment
    kind = key.type.python_type
    if kind is int and type(value) is int and abs(value) < 2**63:
        return value
    if kind is str and type(value) is str and "\0" not in value:
        value.encode()  # raises for lone surrogates
        return value
    raise TypeError(f"not a {kind.__name__}")
