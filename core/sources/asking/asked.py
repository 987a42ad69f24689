"""What a source was asked a moment ago: its answer is in our tables already."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

from core.sources.source import By

MAX_ASKED = 20_000  # of a source; the oldest go first


class Asked:
    """The questions that one source has answered in the last ``seconds``, found or not."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._until: OrderedDict[tuple[By, str], float] = OrderedDict()

    def is_fresh(self, by: By, value: str) -> bool:
        """Whether the source need not be asked again."""
        with self._lock:
            return self._until.get((by, value), 0.0) > self._clock()

    def note(self, questions: Iterable[tuple[By, str]]) -> None:
        """Remember that these were answered and brought in just now."""
        if not self._seconds:
            return
        with self._lock:
            until = self._clock() + self._seconds
            for question in questions:
                self._until[question] = until
                self._until.move_to_end(question)
            while len(self._until) > MAX_ASKED:
                self._until.popitem(last=False)
