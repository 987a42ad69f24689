"""Counting what a database is asked."""

from sqlalchemy import event

from core.db import Database


class Statements:
    """What is sent to a database while the block lasts, and how many transactions write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sent: list[str] = []
        self.writes = 0

    def __enter__(self) -> "Statements":
        for engine in {self._database.reader, self._database.writer}:
            event.listen(engine, "before_cursor_execute", self._note)
        event.listen(self._database.writer, "begin", self._begin)
        return self

    def __exit__(self, *_error: object) -> None:
        for engine in {self._database.reader, self._database.writer}:
            event.remove(engine, "before_cursor_execute", self._note)
        event.remove(self._database.writer, "begin", self._begin)

    def _note(self, _conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        self.sent.append(statement)

    def _begin(self, _conn: object) -> None:
        self.writes += 1
