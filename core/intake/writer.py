"""Group commit: one thread takes in whatever messages wait, in one transaction.

Batch size follows the load: a lone message never waits for others, and while one batch is being
committed the next gathers. Replies go out after the commit, so that a 250 always means stable
storage.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

from core.db import Database
from core.intake.incoming import Incoming, Receipt
from core.intake.look_up import PutOff, look_up
from core.intake.pipeline import take_in_prepared
from core.intake.prepare import Prepared, prepare
from core.models import now
from core.secret_key import Keys
from core.sources.asking.live import LiveSources

log = logging.getLogger(__name__)

MAX_BATCH_MAILS = 64
MAX_BATCH_BYTES = 16 * 1024 * 1024  # bounds the memory and the length of a transaction


class IntakeWriter:
    """The one writer of a process. Make it, ``start()`` it, ``submit()`` from any thread.

    ``keys`` are those of the installation: they tell which mails answer ours. ``sources`` are
    asked who mails are from.
    """

    def __init__(self, database: Database, keys: Keys, sources: LiveSources) -> None:
        self._database = database
        self._keys = keys
        self._sources = sources
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

        It fails with the database's error, or ``SourceAway``, when nothing was stored: a reason
        for a 4xx.
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
            receipts = take_in_looked_up(self._database, self._sources, prepared)
        except Exception as error:  # noqa: BLE001 - every future gets an answer: the edge says 451
            log.error("intake failed for %d mails: %s", len(batch), type(error).__name__)
            receipts = [error] * len(batch)
        for (_incoming, future), receipt in zip(batch, receipts, strict=True):
            if isinstance(receipt, Receipt):
                future.set_result(receipt)
            else:
                future.set_exception(receipt)


def take_in_looked_up(
    database: Database, sources: LiveSources, batch: Sequence[Prepared]
) -> list[Receipt | Exception]:
    """Ask the sources about messages and take them in, in one transaction.

    Returns a receipt for each, or the ``SourceAway`` for which it was not taken in. Raises what
    the database raises; then none was.
    """
    looked_up = look_up(database, sources, batch)
    ready = [each for each in looked_up if isinstance(each, Prepared)]
    for each in looked_up:
        if isinstance(each, PutOff):
            reference, source = each.prepared.reference, each.away.source
            log.info("mail %s put off: customer source %s is away", reference, source)
    receipts: Iterator[Receipt] = iter(())
    if ready:
        with database.write() as session:
            receipts = iter(take_in_prepared(session, ready))
    return [next(receipts) if isinstance(each, Prepared) else each.away for each in looked_up]
