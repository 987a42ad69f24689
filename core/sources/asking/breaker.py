"""When a source is worth asking: after failures in a row only now and then, to see if it is back.

While it is not asked it costs nothing, so a source that is away slows nobody down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from threading import Lock

from core.models import now

FAILURES = 2  # in a row, then it is away
FIRST_PAUSE = 10.0  # seconds until it is tried again, doubled each time that this fails
LONGEST_PAUSE = 60.0


class Permit(Enum):
    """Whether a source may be asked now."""

    ASK = "ask"
    TRY = "try"  # it was away: nobody should wait long for its answer
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Away:
    """Since when a source has not answered, and why not."""

    since: datetime
    reason: str


class Breaker:
    """The memory of one source's failures; may be used from any thread. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._next_try = 0.0
        self._away: Away | None = None

    @property
    def away(self) -> Away | None:
        """Since when the source is away, None while it answers."""
        with self._lock:
            return self._away if self._failures >= FAILURES else None

    def permit(self) -> Permit:
        """Say whether the source may be asked; one try after each pause."""
        with self._lock:
            if self._failures < FAILURES:
                return Permit.ASK
            if self._clock() < self._next_try:
                return Permit.LEAVE
            self._next_try = self._clock() + self._pause  # also if nobody hears of this try again
            return Permit.TRY

    def answered(self) -> None:
        """Note that the source has answered in time."""
        with self._lock:
            self._failures = 0
            self._pause = FIRST_PAUSE
            self._away = None

    def failed(self, permit: Permit, reason: str) -> None:
        """Note that the source has not, when it was asked with this permit."""
        with self._lock:
            self._failures += 1
            since = self._away.since if self._away else now()
            self._away = Away(since, reason)
            if permit is Permit.TRY:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if permit is Permit.TRY or self._failures == FAILURES:
                self._next_try = self._clock() + self._pause
