"""Reading a whole source because an admin asks for it: the wish, and what became of it.

The wish is a moment in the row of the source. A pass takes it when it begins, so that any number of
wishes before lead to one pass, and any number during a pass to one more. It is not kept for another
try: a pass that fails, or whose process is killed, is told of on the page, and asked for again by
whoever reads that. Only one that is stopped in good order, as when the worker is restarted, gives
its wish back.
"""

from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Actor
from core.db import Database
from core.models import CustomerSource as SourceState
from core.models import now
from core.sources.mirroring.passes import is_being_read, state_of

KIND = "customer-source"  # in the audit log
UNHEARD_AFTER = timedelta(seconds=30)  # a worker that runs looks every few seconds


class Reading(StrEnum):
    """How the reading of a source stands."""

    UNDER_WAY = "under-way"
    ASKED_FOR = "asked-for"
    UNHEARD = "unheard"  # asked for, and nobody has begun in all this time
    BROKEN_OFF = "broken-off"  # its process has ended before it
    FAILED = "failed"
    AT_REST = "at-rest"  # the last pass was complete, or there was none

    @property
    def goes_on(self) -> bool:
        """Whether it will soon be something else, without anybody doing anything."""
        return self in (Reading.UNDER_WAY, Reading.ASKED_FOR, Reading.UNHEARD)


def ask_to_read(session: Session, actor: Actor, source: str) -> None:
    """Let a source be read whole by the worker, as soon as it looks; a wish that is there counts.

    ``source`` is the name of one in the configuration.
    """
    state = state_of(session, source)
    if state.read_asked_at is None:
        state.read_asked_at = now()
        audit.record(session, actor, "reading-asked", KIND, None, source)


def asked_sources(session: Session) -> frozenset[str]:
    """Return the names of all sources that somebody waits for."""
    asked = select(SourceState.name).where(SourceState.read_asked_at.is_not(None))
    return frozenset(session.scalars(asked))


def reading_of(database: Database, state: SourceState) -> Reading:
    """Return how the reading of a source stands, or stood when its state was read."""
    began = state.read_began_at is not None
    if began and (is_being_read(database, state.name) or _has_gone_on(database, state)):
        return Reading.UNDER_WAY
    if state.read_asked_at is not None:
        waited = now() - state.read_asked_at
        return Reading.UNHEARD if waited > UNHEARD_AFTER else Reading.ASKED_FOR
    if began:
        return Reading.BROKEN_OFF
    return Reading.FAILED if state.read_failed_at is not None else Reading.AT_REST


def _has_gone_on(database: Database, state: SourceState) -> bool:
    """Whether the pass has ended since its state was read: an end is noted before others know."""
    began_at = select(SourceState.read_began_at).where(SourceState.name == state.name)
    with database.read() as session:
        return session.scalars(began_at).one_or_none() != state.read_began_at
