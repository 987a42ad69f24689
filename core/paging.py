"""Keyset pagination: a page of a list costs the same wherever in the list it lies.

A cursor holds the sort key of the row at the edge of a page. It goes through the address of a
page, so it is checked like everything that comes from outside: one that does not fit shows the
first page.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, select, true, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.models.base import UTCDateTime

T = TypeVar("T")
Key = int | str | datetime

MAX_CURSOR = 1000  # characters


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a list, and the cursors of the pages around them; None at the list's ends."""

    items: tuple[T, ...]
    previous: str | None
    next: str | None


def read_page(
    session: Session,
    statement: Select[Any],
    keys: Sequence[InstrumentedAttribute[Any]],
    *,
    descending: bool,
    cursor: str | None,
    limit: int,
    ranges: Sequence[ColumnElement[bool]] = (),
) -> Page[Any]:
    """Return a page of at most ``limit`` rows of a statement that selects one entity.

    ``keys`` are attributes of that entity which sort the list and together are unique; they
    should be an index. ``cursor`` comes from another page, None or a broken one is the start.

    ``ranges`` are conditions of which the list is the union, each answered in order by an index
    of its own. No database merges such ranges by itself: it would sort all their rows. Given
    them, the page is merged from the first rows of each. The last key is then unique by itself.
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
    )


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
