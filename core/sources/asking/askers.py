"""Threads that ask one source. A source that never answers keeps a few of them, and nobody else.

No ``ThreadPoolExecutor``: a program that ends would wait for its threads.
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

T = TypeVar("T")

THREADS = 4  # of a source; the first begins when it is first asked
MAX_IN_HAND = 100  # questions of a source, those that nobody waits for any more included


class TooManyQuestions(Exception):
    """So much is being asked that one more question would not be answered in time."""


class Askers:
    """The threads of the source ``name``. What is asked waits for its turn, or is called off."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._in_hand = 0  # asked and not done yet

    def ask(self, question: Callable[[], T]) -> "Future[T]":
        """Let a thread call ``question``; ``cancel()`` the future when nobody waits any more.

        Raises ``TooManyQuestions``.
        """
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(question())
                except BaseException as error:  # noqa: BLE001 - it is for who waits for the answer
                    future.set_exception(error)

        with self._lock:
            if self._in_hand >= MAX_IN_HAND:
                raise TooManyQuestions
            begins = self._threads < min(THREADS, self._in_hand + 1)
            self._threads += begins
            self._in_hand += 1
        self._waiting.put(run)
        if begins:
            Thread(target=self._work, name=f"source-{self._name}", daemon=True).start()
        return future

    def stop(self) -> None:
        """Let the threads end after what they are doing; does not wait for that."""
        with self._lock:
            threads = self._threads
        for _thread in range(threads):
            self._waiting.put(None)

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None:
            run()
            del run  # with what it found: the next question may be long in coming
            with self._lock:
                self._in_hand -= 1
