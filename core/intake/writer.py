"""Group commit: one thread takes in whatever messages wait, in one transaction.

Batch size follows the load: a lone message never waits for others, and while one batch is being
committed the next gathers. Replies go out after the commit, so that a 250 always means stable
storage.
"""

import logging
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

from core.db import Database
from core.intake.incoming import Incoming, Receipt
from core.intake.pipeline import take_in_prepared
from core.intake.prepare import prepare
from core.models import now
from core.secret_key import Keys

log = logging.getLogger(__name__)

MAX_BATCH_MAILS = 64
MAX_BATCH_BYTES = 16 * 1024 * 1024  # bounds the memory and the length of a transaction


class IntakeWriter:
    """The one writer of a process. Make it, ``start()`` it, ``submit()`` from any thread.

    ``keys`` are those of the installation: they tell which mails answer ours.
    """

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys
        self._waiting: SimpleQueue[tuple[Incoming, Future[Receipt]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="intake-writer", daemon=True)

    def start(self) -> None:
        """Begin to take messages in."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted, then end; blocks until that is done."""
        self._waiting.put(None)
        self._thread.join()

    def submit(self, incoming: Incoming) -> Future[Receipt]:
        """Hand a message over; the future is done when it is committed.

        It fails with the database's error when nothing was stored: a reason for a 4xx.
        """
        future: Future[Receipt] = Future()
        self._waiting.put((incoming, future))
        return future

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._next_batch()
            if batch:
                self._take_in(batch)
            del batch  # the next one may be long in coming, and this may be 25 MB

    def _next_batch(self) -> tuple[list[tuple[Incoming, Future[Receipt]]], bool]:
        """Wait for a message, then return it with those that wait behind it."""
        item = self._waiting.get()
        batch: list[tuple[Incoming, Future[Receipt]]] = []
        size = 0
        while item is not None:
            batch.append(item)
            size += len(item[0].raw)
            if len(batch) >= MAX_BATCH_MAILS or size >= MAX_BATCH_BYTES:
                return batch, False
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _take_in(self, batch: list[tuple[Incoming, Future[Receipt]]]) -> None:
        try:
            keys = self._keys.ring.believed(now().date())
            prepared = [prepare(incoming, keys) for incoming, _future in batch]
            with self._database.write() as session:
                receipts = take_in_prepared(session, prepared)
        except Exception as error:  # noqa: BLE001 - every future gets an answer: the edge says 451
            log.error("intake failed for %d mails: %s", len(batch), type(error).__name__)
            for _incoming, future in batch:
                future.set_exception(error)
            return
        for (_incoming, future), receipt in zip(batch, receipts, strict=True):
            future.set_result(receipt)
