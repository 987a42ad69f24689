"""Reading each source whole from time to time, and when somebody asks: the worker's part.

A source has a thread of its own: one that stalls stops neither another nor anything else. When it
was last read stands in the database, so that a restart, a second worker and a pass by command
count as well; ``core.sources.mirroring.passes`` lets only one process read at a time. One more
thread looks every few seconds, for all of them at once, which source somebody waits for
(``core.sources.mirroring.wishes``), and wakes the thread of that one.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.config import AnySourceSection, Config
from core.db import Database
from core.errors import ConfigError, Stale
from core.models import CustomerSource as SourceState
from core.models import now
from core.sources.configured import make_source
from core.sources.mirroring.passes import Busy, Stopped, note_failed_pass, read_all
from core.sources.mirroring.verdicts import Tally
from core.sources.mirroring.wishes import asked_sources
from core.sources.source import SourceAway

LOOK_SECONDS = 60.0  # at the longest, after which it is looked again whether a source is due
RETRY_SECONDS = 120.0  # after the first failure; doubled with each that follows
LONGEST_RETRY = 3600.0
WISH_SECONDS = 3.0  # after which it is looked again whether somebody waits for a source
GRACE_SECONDS = 3.0  # that a pass gets to end when the worker is to stop

log = logging.getLogger("worker")


def due_at(section: AnySourceSection, state: SourceState | None) -> datetime | None:
    """Return when a source is to be read next; None if only when somebody asks."""
    if not section.sync_minutes:
        return None
    moment = now()
    if state is None or state.last_pass_at is None or state.last_pass_at > moment:
        return moment  # also where the clock was put back
    return state.last_pass_at + timedelta(minutes=section.sync_minutes)


class Reader:
    """Reads one source when it is due or asked for.

    ``names`` are those of all sources, in their order; ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        database: Database,
        section: AnySourceSection,
        names: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._section = section
        self._names = names
        self._clock = clock
        self._stopping = Event()
        self._woken = Event()
        self._failures = 0
        self._rests_until = 0.0  # after a failure, unless somebody asks
        self._told = ""

    def run_due(self) -> float:
        """Read the source if it is time to; return the seconds until to look again."""
        asked_at = None
        try:
            state = self._state()
            asked_at, waits = state.read_asked_at, self._seconds_left(state)
            if waits <= 0:
                self._read()
                self._rests_until = 0.0
                waits = self._seconds_left(self._state())
        except SourceAway as error:
            return self._failed(str(error), asked_at)
        except DBAPIError as error:
            return self._failed(f"the database fails: {type(error.orig).__name__}", asked_at)
        except (ConfigError, Stale) as error:
            self._note(str(error), asked_at)
            return self._failed(str(error), asked_at)
        except (Busy, Stopped):
            return LOOK_SECONDS
        except Exception:  # a defect must not end all passes
            log.exception("customer source %s: the pass failed", self._section.name)
            self._note("", asked_at)
            return self._failed("the pass failed", asked_at)
        if self._clock() >= self._rests_until:
            self._failures, self._told = 0, ""
        return min(waits, LOOK_SECONDS)

    def run(self) -> None:
        """Read the source, again and again, until told to stop."""
        while not self._stopping.is_set():
            self._woken.wait(self.run_due())
            self._woken.clear()

    def wake(self) -> None:
        """Look at once; for another thread."""
        self._woken.set()

    def stop(self) -> None:
        """Let a pass end between two transactions; for another thread."""
        self._stopping.set()
        self._woken.set()

    def _state(self) -> SourceState:
        with self._database.read() as session:
            name = self._section.name
            return session.get(SourceState, name) or SourceState(name=name)

    def _seconds_left(self, state: SourceState) -> float:
        if state.read_asked_at is not None:
            return 0.0
        due = due_at(self._section, state)
        if due is None:
            return LOOK_SECONDS
        return max((due - now()).total_seconds(), self._rests_until - self._clock())

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
                is_wanted=lambda state: self._seconds_left(state) <= 0,
            )
        finally:
            source.close()
        seconds = time.monotonic() - started
        log.info("customer source %s: read in %.1f s: %s", source.name, seconds, _counts(tally))

    def _note(self, why: str, asked_at: datetime | None) -> None:
        """Write down what ``read_all`` does not; where that fails too, the log has it."""
        with suppress(DBAPIError), self._database.write() as session:
            note_failed_pass(session, self._section.name, why, asked_at=asked_at)

    def _failed(self, why: str, asked_at: datetime | None) -> float:
        """Say so once, and rest; the longer, the more often it has failed unless asked to try."""
        waits = min(RETRY_SECONDS * 2.0**self._failures, LONGEST_RETRY)
        if asked_at is None:
            self._failures = min(self._failures + 1, 10)
        self._rests_until = self._clock() + waits
        if why != self._told:
            again = f"in {waits // 60:.0f} minutes" if self._section.sync_minutes else "when asked"
            log.warning("%s; it is tried again %s", why, again)
            self._told = why
        return waits


@contextmanager
def reading(database: Database, config: Config) -> Iterator[None]:
    """Let each source be read by a thread of its own while the block lasts.

    Whatever holds a thread at the end is left behind: what it has brought in is complete.
    """
    names = [section.name for section in config.customer_sources]
    readers = {
        section.name: Reader(database, section, names) for section in config.customer_sources
    }
    stopped = Event()
    threads = [
        Thread(target=reader.run, name="source-pass", daemon=True) for reader in readers.values()
    ]
    if readers:
        arguments = (database, readers, stopped)
        threads.append(Thread(target=_hear, args=arguments, name="source-wishes", daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for reader in readers.values():
            reader.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _hear(database: Database, readers: Mapping[str, Reader], stopped: Event) -> None:
    """Wake the reader of each source that somebody waits for, until told to stop."""
    while not stopped.wait(WISH_SECONDS):
        try:
            with database.read() as session:
                asked = asked_sources(session)
        except SQLAlchemyError:  # of which the readers tell, and others of this program
            continue
        for name in asked & readers.keys():
            readers[name].wake()


def _counts(tally: Tally) -> str:
    return ", ".join(f"{count} {what}" for what, count in asdict(tally).items())
