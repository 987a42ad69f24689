"""How many accounts a source may lose by look-ups, before only a pass over all of it is believed.

A table that is being filled anew lacks people who are not gone. A pass sees how much is missing;
a look-up sees one of them at a time.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from core.sources.mirroring.passes import MIN_LOSS

SECONDS = 3600.0


class Losses:
    """The accounts of one source that look-ups have missed in the last hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._lost: deque[float] = deque()

    def allow(self, count: int) -> bool:
        """Whether so many more may be believed to be gone; if so, they are counted."""
        with self._lock:
            at = self._clock()
            while self._lost and self._lost[0] <= at - SECONDS:
                self._lost.popleft()
            if len(self._lost) + count > MIN_LOSS:
                return False
            self._lost.extend([at] * count)
            return True
