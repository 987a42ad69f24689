"""One source that is asked while somebody waits: with a deadline, and left alone while away."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.config import AnySourceSection
from core.i18n import N_
from core.portions import in_portions
from core.sources.asking.asked import Asked
from core.sources.asking.askers import Askers, TooManyQuestions
from core.sources.asking.breaker import Breaker, Permit
from core.sources.asking.losses import Losses
from core.sources.records import SourceRecord
from core.sources.source import By, CustomerSource, SourceAway

log = logging.getLogger(__name__)

T = TypeVar("T")
Question = tuple[By, str]

SECONDS = 3.0  # in which all sources together must have answered
FIRST_SECONDS = 2.0  # of these for the first questions: answers of the others raise new ones
TRY_SECONDS = 0.5  # that are waited for a source which was away
VALUES_AT_ONCE = 100
RECORDS_AT_ONCE = 200  # that are read for so many values; if there are more, they are asked singly
RECORDS_OF_ONE = 50  # that are read for one value
RECORDS_OF_NUMBER = 5  # of one Kunden#: they tell that there is such a customer
MAX_VALUE = 400  # characters; nothing longer is kept anywhere

NO_ANSWER = N_("It did not answer in time.")
NOT_ASKED = N_("It is not asked at the moment, because it did not answer before.")
BUSY = N_("It is asked too much at once.")


@dataclass(frozen=True, slots=True)
class Answer:
    """The records that a source has for questions.

    ``whole`` are the questions of which no record was left out, ``failed`` those that the source
    could not be asked, each with the reason.
    """

    records: tuple[SourceRecord, ...] = ()
    whole: frozenset[Question] = frozenset()
    failed: dict[Question, str] = field(default_factory=dict)


def questions_of(by: By, values: Iterable[str]) -> Iterator[Question]:
    """Yield what a source is asked for these values; what no source can have is left out."""
    for value in values:
        if 0 < len(value) <= MAX_VALUE and value.isprintable():
            # Not casefold(): strasse@ is another address than straße@.
            yield by, value if by is By.KEY else value.lower()


class LiveSource:
    """A source by its section; may be asked from any thread."""

    def __init__(self, source: CustomerSource, section: AnySourceSection) -> None:
        self.source = source
        self.name = source.name
        self.defers = section.when_away == "defer"
        self.breaker = Breaker()
        self.asked = Asked(section.cache_seconds)
        self.losses = Losses()
        self._askers = Askers(source.name)

    def open_questions(
        self, questions: Collection[Question], *, fresh: bool = False
    ) -> set[Question]:
        """Return those of the questions that were not answered a moment ago."""
        return {each for each in questions if fresh or not self.asked.is_fresh(*each)}

    def begin(self, questions: Collection[Question], deadline: float) -> "Pending[Answer]":
        """Begin to ask; ``deadline`` is a time of ``time.monotonic``."""

        def work() -> Answer:
            return _ask(self.source, questions, deadline)

        return self._begin(work, deadline, lambda answer: not answer.failed)

    def has_records(self, deadline: float) -> "Pending[bool]":
        """Begin to ask whether there is anybody at all."""

        def work() -> bool:
            return bool(self.source.samples(1))

        return self._begin(work, deadline, _always)

    def check_password(self, key: str, password: str) -> bool:
        """Whether the record with this key has this password. Raises ``SourceAway``."""

        def work() -> bool:
            return self.source.check_password(key, password)

        return self._begin(work, time.monotonic() + SECONDS, _always).result()

    def begin_anyway(self, work: Callable[[CustomerSource], T]) -> "Future[T]":
        """Begin some work, also while the source is left alone; how it ends says nothing of that.

        Raises ``SourceAway`` where too much is asked of it.
        """
        context = copy_context()  # the language of what goes wrong
        try:
            return self._askers.ask(lambda: context.run(work, self.source))
        except TooManyQuestions:
            raise SourceAway(self.name, BUSY) from None

    def close(self) -> None:
        """Close the source, unless it does not even let that be done soon."""
        closing = self._askers.ask(self.source.close)
        self._askers.stop()
        try:
            closing.result(TRY_SECONDS)
        except TimeoutError:
            log.warning("customer source %s: left without closing its connections", self.name)

    def _begin(
        self, work: Callable[[], T], deadline: float, is_good: Callable[[T], bool]
    ) -> "Pending[T]":
        """Begin some work, unless the source is away; a result that is good says that it is not."""
        permit = self.breaker.permit()
        if permit is Permit.LEAVE:
            return Pending(self, permit, deadline, None)

        def timed() -> T:
            started = time.monotonic()
            result = work()
            if time.monotonic() - started <= SECONDS and is_good(result):
                self.breaker.answered()
            return result

        if permit is Permit.TRY:
            deadline = min(deadline, time.monotonic() + TRY_SECONDS)
        try:
            return Pending(self, permit, deadline, self._askers.ask(timed))
        except TooManyQuestions:
            return Pending(self, permit, deadline, None, BUSY)


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """A question on its way to a source; ``future`` is None if it was not even asked."""

    asked: LiveSource
    permit: Permit
    deadline: float
    future: Future[T] | None
    why_not: str = NOT_ASKED

    @property
    def was_asked(self) -> bool:
        """Whether there was a question at all."""
        return self.future is not None

    def result(self) -> T:
        """Wait for the answer until the deadline. Raises ``SourceAway``."""
        name, breaker = self.asked.name, self.asked.breaker
        if self.future is None:
            raise SourceAway(name, self.why_not)
        try:
            return self.future.result(max(0.0, self.deadline - time.monotonic()))
        except SourceAway as error:
            away = error
        except TimeoutError:
            self.future.cancel()
            away = SourceAway(name, NO_ANSWER)
        except Exception as error:  # noqa: BLE001 - a source of any kind must not stop the mail
            log.error("customer source %s: %s", name, type(error).__name__)
            away = SourceAway(name, type(error).__name__)
        breaker.failed(self.permit, away.reason)
        raise away


def _always(_result: object) -> bool:
    return True


def _ask(source: CustomerSource, questions: Collection[Question], deadline: float) -> Answer:
    """Ask a source everything, once for each kind of value.

    What is not ASCII is asked apart and may fail: a database with another character set refuses
    some texts, and a mail that names one must not make the source look as if it were away.
    """
    records: list[SourceRecord] = []
    whole: set[Question] = set()
    failed: dict[Question, str] = {}
    for by in By:
        values = sorted(value for kind, value in questions if kind is by)
        for some in in_portions((value for value in values if value.isascii()), VALUES_AT_ONCE):
            _find(source, by, some, deadline, records, whole)
        for some in in_portions((value for value in values if not value.isascii()), VALUES_AT_ONCE):
            try:
                _find(source, by, some, deadline, records, whole)
            except SourceAway as error:
                failed |= {(by, value): error.reason for value in some}
    return Answer(tuple(records), frozenset(whole), failed)


def _find(
    source: CustomerSource,
    by: By,
    values: Sequence[str],
    deadline: float,
    records: list[SourceRecord],
    whole: set[Question],
) -> None:
    if time.monotonic() > deadline:
        raise SourceAway(source.name, NO_ANSWER)
    of_one = RECORDS_OF_NUMBER if by is By.NUMBER else RECORDS_OF_ONE
    limit = RECORDS_AT_ONCE if len(values) > 1 else of_one
    found = source.find(by, values, limit)
    if len(found) < limit:
        whole |= {(by, value) for value in values}
    elif len(values) > 1:
        for value in values:
            _find(source, by, [value], deadline, records, whole)
        return
    records.extend(found)
