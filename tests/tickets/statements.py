"""Watching the statements that a piece of work sends, and asking the database for their plans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from core.db import Database

Statement = tuple[str, Any]


@contextmanager
def watched(database: Database) -> Iterator[list[Statement]]:
    """Give a list that fills with the statements sent while the block runs."""
    seen: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        seen.append((statement, values))

    engines = {database.reader, database.writer}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def plan(session: Session, database: Database, statement: Statement) -> str:
    """Return the plan of a statement, of PostgreSQL one that would serve a large table.

    A table of a few rows is read and sorted as a whole by PostgreSQL, whatever its indexes are.
    """
    if not database.is_sqlite:
        for way in ("seqscan", "bitmapscan", "sort"):
            session.execute(text(f"SET LOCAL enable_{way} = off"))
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    rows = session.connection().exec_driver_sql(explain + statement[0], statement[1])
    return "\n".join(str(row[-1]) for row in rows)
