"""Sources asked while mail waits, with what can go wrong with them, for tests."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

from sqlalchemy import QueuePool

from core.config import SqlSourceSection
from core.db import Database
from core.sources.asking.live import LiveSources
from core.sources.kinds.sql import SqlSource
from core.sources.records import SourceRecord
from core.sources.source import By


class Watched(SqlSource):
    """A source on SQL that counts what it is asked, and can be made to stall."""

    def __init__(self, section: SqlSourceSection) -> None:
        super().__init__(section, None)
        self.asked: list[tuple[By, tuple[str, ...]]] = []
        self.stalled = Event()
        self._goes_on = Event()

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Find, unless it is stalled: then wait until it is not."""
        self.asked.append((by, tuple(values)))
        self._wait()
        return super().find(by, values, limit)

    def check_password(self, key: str, password: str) -> bool:
        """Check, unless it is stalled: then wait until it is not."""
        self._wait()
        return super().check_password(key, password)

    def stall(self) -> None:
        """Answer nothing from now on."""
        self._goes_on.clear()
        self.stalled.set()

    def go_on(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self.stalled.clear()
        self._goes_on.set()

    def _wait(self) -> None:
        if self.stalled.is_set():
            self._goes_on.wait(60)


class Observant(Watched):
    """A source that sees how many connections to our database are in use while it is asked."""

    def __init__(self, section: SqlSourceSection, database: Database) -> None:
        super().__init__(section)
        self.in_use: list[int] = []
        self._engines = database.reader, database.writer

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Look, then find."""
        pools = [engine.pool for engine in self._engines]
        self.in_use.append(sum(p.checkedout() for p in pools if isinstance(p, QueuePool)))
        return super().find(by, values, limit)


@contextmanager
def live(*sections: SqlSourceSection) -> Iterator[tuple[LiveSources, list[Watched]]]:
    """Give sources that are asked live, and the same as they are watched."""
    watched = [Watched(section) for section in sections]
    sources = LiveSources(watched, sections)
    yield sources, watched
    for each in watched:
        each.go_on()
    sources.close()


def section_of(crm: Any, name: str = "crm", **values: Any) -> SqlSourceSection:
    """Return a section of which nothing is remembered, unless ``cache_seconds`` says so."""
    section: SqlSourceSection = crm.section(name, **{"cache_seconds": 0, **values})
    return section
