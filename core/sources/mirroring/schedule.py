"""Reading each source whole from time to time: the worker's part of keeping copies fresh.

A source has a thread of its own: one that stalls stops neither another nor anything else. When it
was last read stands in the database, so that a restart, a second worker and a pass by command
count as well; ``core.sources.mirroring.passes`` lets only one process read at a time.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError

from core.config import AnySourceSection, Config
from core.db import Database
from core.errors import ConfigError, Stale
from core.models import CustomerSource as SourceState
from core.models import now
from core.sources.configured import make_source
from core.sources.mirroring.passes import Busy, Stopped, read_all
from core.sources.mirroring.verdicts import Tally
from core.sources.source import SourceAway

LOOK_SECONDS = 60.0  # at the longest, after which it is looked again whether a source is due
RETRY_SECONDS = 120.0  # after the first failure; doubled with each that follows
LONGEST_RETRY = 3600.0
GRACE_SECONDS = 3.0  # that a pass gets to end when the worker is to stop

log = logging.getLogger("worker")


def due_at(section: AnySourceSection, state: SourceState | None) -> datetime | None:
    """Return when a source is to be read next; None if only by command."""
    if not section.sync_minutes:
        return None
    moment = now()
    if state is None or state.last_pass_at is None or state.last_pass_at > moment:
        return moment  # also where the clock was put back
    return state.last_pass_at + timedelta(minutes=section.sync_minutes)


class Reader:
    """Reads one source when it is due; ``names`` are those of all sources, in their order."""

    def __init__(self, database: Database, section: AnySourceSection, names: Sequence[str]) -> None:
        self._database = database
        self._section = section
        self._names = names
        self._stopping = Event()
        self._failures = 0
        self._told = ""

    def run_due(self) -> float:
        """Read the source if it is time to; return the seconds until to look again."""
        try:
            waits = self._seconds_left()
            if waits <= 0:
                self._read()
                waits = self._seconds_left()
        except (SourceAway, ConfigError) as error:
            return self._failed(str(error))
        except DBAPIError as error:
            return self._failed(f"the database fails: {type(error.orig).__name__}")
        except Stale as error:
            return self._failed(str(error))
        except (Busy, Stopped):
            return LOOK_SECONDS
        except Exception:  # a defect must not end all passes
            log.exception("customer source %s: the pass failed", self._section.name)
            return self._failed("the pass failed")
        self._failures, self._told = 0, ""
        return min(waits, LOOK_SECONDS)

    def run(self) -> None:
        """Read the source, again and again, until told to stop."""
        while not self._stopping.wait(self.run_due()):
            pass

    def stop(self) -> None:
        """Let a pass end between two transactions."""
        self._stopping.set()

    def _seconds_left(self) -> float:
        with self._database.read() as session:
            due = due_at(self._section, session.get(SourceState, self._section.name))
        return (due - now()).total_seconds() if due is not None else LOOK_SECONDS

    def _read(self) -> None:
        started = time.monotonic()
        source = make_source(self._section)
        try:
            tally = read_all(
                self._database,
                source,
                self._names,
                source.all_records(),
                stops=self._stopping.is_set,
            )
        finally:
            source.close()
        seconds = time.monotonic() - started
        log.info("customer source %s: read in %.1f s: %s", source.name, seconds, _counts(tally))

    def _failed(self, why: str) -> float:
        """Say so once, and wait the longer the more often it has failed."""
        waits = min(RETRY_SECONDS * 2.0**self._failures, LONGEST_RETRY)
        self._failures = min(self._failures + 1, 10)
        if why != self._told:
            log.warning("%s; it is tried again in %d minutes", why, waits // 60)
            self._told = why
        return waits


@contextmanager
def reading(database: Database, config: Config) -> Iterator[None]:
    """Let each source be read by a thread of its own while the block lasts.

    Whatever holds a thread at the end is left behind: what it has brought in is complete.
    """
    names = [section.name for section in config.customer_sources]
    readers = [
        Reader(database, section, names)
        for section in config.customer_sources
        if section.sync_minutes
    ]
    threads = [Thread(target=reader.run, name="source-pass", daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for reader in readers:
            reader.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _counts(tally: Tally) -> str:
    return ", ".join(f"{count} {what}" for what, count in asdict(tally).items())
