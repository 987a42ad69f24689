"""Customer sources asked while mail or a person waits: what they say is in our tables afterwards.

Every look-up ends within some seconds, whatever the sources do, and one that is away costs
nothing. Nothing that decides reads their answers: it reads our tables, after ``look_up``.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, OperationalError

from core.config import AnySourceSection, Config
from core.db import Database
from core.i18n import N_, gettext, in_language
from core.organisation import load_organisation
from core.sources.asking.breaker import Away
from core.sources.asking.bringing import Copy, bring, copies_not_found, news
from core.sources.asking.live_source import (
    FIRST_SECONDS,
    NO_ANSWER,
    SECONDS,
    Answer,
    LiveSource,
    Pending,
    Question,
    questions_of,
)
from core.sources.configured import make_sources
from core.sources.mirroring.passes import note_contact, note_failure
from core.sources.records import SourceRecord
from core.sources.source import By, CustomerSource, SourceAway

log = logging.getLogger(__name__)

T = TypeVar("T")

NOTED_SECONDS = 10.0  # between two notes about one source

NOT_CONFIGURED = N_("It is not configured.")


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a look-up has left open: by question, the names of the sources that did not answer."""

    unanswered: Mapping[Question, Sequence[str]] = field(default_factory=dict)

    def away(self, by: By, values: Iterable[str]) -> tuple[str, ...]:
        """Return the sources that did not say whether they have one of these values."""
        names = (
            name
            for question in questions_of(by, values)
            for name in self.unanswered.get(question, ())
        )
        return tuple(dict.fromkeys(names))


class LiveSources:
    """The sources of a process, in their order, each with its section; close it.

    May be used from any thread. Without sources it costs nothing.
    """

    def __init__(
        self, sources: Sequence[CustomerSource], sections: Sequence[AnySourceSection]
    ) -> None:
        self._each = [LiveSource(*pair) for pair in zip(sources, sections, strict=True)]
        self._noted: dict[str, tuple[float, str]] = {}  # by source: when, and what was wrong

    @property
    def names(self) -> list[str]:
        """The names of the sources; empty without any."""
        return [each.name for each in self._each]

    @property
    def sources(self) -> Sequence[CustomerSource]:
        """The sources themselves: what they are, without asking them."""
        return [each.source for each in self._each]

    def keeps_passwords(self, source: str) -> bool:
        """Whether passwords that a source has called right are kept here, too."""
        return any(each.name == source and each.source.keeps_passwords for each in self._each)

    def defers(self, names: Collection[str]) -> str | None:
        """Return the first of these sources for which mail shall wait outside while it is away."""
        return next((each.name for each in self._each if each.name in names and each.defers), None)

    def away(self) -> dict[str, Away]:
        """Return the sources that this process does not ask at the moment, with the reason."""
        found = ((each.name, each.breaker.away) for each in self._each)
        return {name: away for name, away in found if away is not None}

    def look_up(
        self, database: Database, wanted: Mapping[By, Collection[str]], *, fresh: bool = False
    ) -> LookedUp:
        """Ask every source for accounts with these values, and bring them into our tables.

        Each kind of value is one question to a source, however many there are. What was asked a
        moment ago is not asked again, unless it must be ``fresh``. Copies that are no longer in
        their source become invalid. Takes about three seconds at most, outside any transaction;
        raises what our own database raises when it cannot be written.
        """
        if not self._each:
            return LookedUp()
        questions = {each for by, values in wanted.items() for each in questions_of(by, values)}
        started = time.monotonic()
        open_ = {each: each.open_questions(questions, fresh=fresh) for each in self._each}
        begun = {
            each: each.begin(asked, started + FIRST_SECONDS)
            for each, asked in open_.items()
            if asked
        }
        if not begun:
            return LookedUp()
        answers, failed = _answers(begun)
        unsettled = self._settle(database, answers, started + SECONDS)
        unanswered: dict[Question, list[str]] = defaultdict(list)
        for each in begun:
            is_known = each.name in answers and each.name not in unsettled
            missed = set(answers[each.name].failed) if is_known else open_[each]
            for question in missed:
                unanswered[question].append(each.name)
            each.asked.note(open_[each] - missed)
        self._note(database, answers, failed)
        return LookedUp(unanswered)

    def check_password(self, source: str, key: str, password: str) -> bool:
        """Whether the record with this key of a source has this password.

        Raises ``SourceAway``, at once where the source is known to be away.
        """
        each = next((each for each in self._each if each.name == source), None)
        if each is None:
            raise SourceAway(source, NOT_CONFIGURED)
        return each.check_password(key, password)

    def try_all(
        self, works: Mapping[str, Callable[[CustomerSource], T]], seconds: float
    ) -> dict[str, T | SourceAway]:
        """Let all sources named do some work at the same time; return what came of it, in order.

        For an admin who wants to know how it is: a source is asked even while it is left alone,
        and nothing is noted of how that ends. Takes so many ``seconds`` at most.
        """
        deadline = time.monotonic() + seconds
        begun: dict[str, Future[T]] = {}
        found: dict[str, T | SourceAway] = {}
        for each in self._each:
            if each.name in works:
                try:
                    begun[each.name] = each.begin_anyway(works[each.name])
                except SourceAway as error:
                    found[each.name] = SourceAway(each.name, gettext(error.reason))
        for name, future in begun.items():
            try:
                found[name] = future.result(max(0.0, deadline - time.monotonic()))
            except SourceAway as error:
                found[name] = error
            except TimeoutError:
                future.cancel()
                found[name] = SourceAway(name, gettext(NO_ANSWER))
        return {name: found[name] for name in self.names if name in found}

    def close(self) -> None:
        """Close the sources; one that hangs is left."""
        for each in self._each:
            each.close()

    def _settle(
        self, database: Database, answers: Mapping[str, Answer], deadline: float
    ) -> set[str]:
        """Bring answers in, and return the sources of which that has failed or is not certain."""
        with database.read() as session:
            records = {name: answer.records for name, answer in answers.items()}
            with in_language(load_organisation(session).settings.language):
                new = news(session, self.names, records)
            missing = copies_not_found(session, answers)
        if not new and not missing:
            return set()
        found, gone, unsettled = self._read_again(new, missing, deadline)
        try:
            bring(database, self.names, found, gone)
        except OperationalError:
            raise  # the database is locked, full or gone: that is no record's fault
        except Exception as error:  # noqa: BLE001 - a record must not stop the mail
            log.error("records of %s not brought in: %s", ", ".join(found), type(error).__name__)
            unsettled |= set(answers)
        return unsettled

    def _read_again(
        self, new: Mapping[str, Sequence[SourceRecord]], missing: Sequence[Copy], deadline: float
    ) -> tuple[dict[str, list[SourceRecord]], dict[str, list[int]], set[str]]:
        """Ask by their keys for records that are new and for copies that were not found.

        The key tells whether it is the only record with it, and where somebody has gone. A copy
        is gone when its source has neither its key nor a record with that key under its login:
        not every column of keys can be compared as text.
        """
        questions = _questions_again(new, missing)
        begun = {
            each: each.begin(questions[each.name], deadline)
            for each in self._each
            if each.name in questions
        }
        answers, _failed = _answers(begun)
        unsettled = {each.name for each in begun if each.name not in answers}
        found = {
            name: _merged(answer.records, new.get(name, ())) for name, answer in answers.items()
        }
        gone = _gone(missing, answers)
        for each in begun:
            lost = len(gone.get(each.name, ()))
            if lost and not _is_believed(each, lost, deadline, is_empty=not found[each.name]):
                unsettled.add(each.name)
                del gone[each.name]
        return found, gone, unsettled

    def _note(
        self, database: Database, answers: Collection[str], failed: Sequence[SourceAway]
    ) -> None:
        """Write down who has answered and who has not, but not with every mail.

        That this fails, as when two programs do it for the first time at once, stops no mail.
        """
        at = time.monotonic()
        wrong = dict.fromkeys(answers, "") | {error.source: error.reason for error in failed}
        due = {name: why for name, why in wrong.items() if self._is_due(name, why, at)}
        if not due:
            return
        with database.read() as session:
            language = load_organisation(session).settings.language
        try:
            with in_language(language), database.write() as session:
                for name, why in due.items():
                    if why:
                        note_failure(session, SourceAway(name, gettext(why)))
                    else:
                        note_contact(session, name, again=self._was_away(name))
        except IntegrityError:
            return
        self._noted |= {name: (at, why) for name, why in due.items()}

    def _is_due(self, name: str, why: str, at: float) -> bool:
        if name not in self._noted or bool(why) != self._was_away(name):
            return True
        return at - self._noted[name][0] >= NOTED_SECONDS

    def _was_away(self, name: str) -> bool:
        return name in self._noted and self._noted[name][1] != ""


def _answers(
    begun: Mapping[LiveSource, Pending[Answer]],
) -> tuple[dict[str, Answer], list[SourceAway]]:
    """Wait for answers; return them by source, and what went wrong where something was asked."""
    answers: dict[str, Answer] = {}
    failed: list[SourceAway] = []
    for each, pending in begun.items():
        try:
            answers[each.name] = pending.result()
        except SourceAway as error:
            if pending.was_asked:
                failed.append(error)
    return answers, failed


def _questions_again(
    new: Mapping[str, Sequence[SourceRecord]], missing: Sequence[Copy]
) -> dict[str, set[Question]]:
    """Return by source what is asked when the first answers are there."""
    questions: dict[str, set[Question]] = defaultdict(set)
    for name, records in new.items():
        questions[name] |= set(questions_of(By.KEY, (record.key for record in records)))
    for copy in missing:
        questions[copy.source] |= _questions_about(copy)
    return dict(questions)


def _questions_about(copy: Copy) -> set[Question]:
    return {*questions_of(By.KEY, [copy.key]), *questions_of(By.LOGIN, [copy.login])}


def _gone(missing: Sequence[Copy], answers: Mapping[str, Answer]) -> dict[str, list[int]]:
    """Return by source the accounts that it was wholly asked about, and does not have."""
    gone: dict[str, list[int]] = defaultdict(list)
    for copy in missing:
        answer, asked = answers.get(copy.source, Answer()), _questions_about(copy)
        is_there = any(record.key == copy.key for record in answer.records)
        if len(asked) == 2 and asked <= answer.whole and not is_there:
            gone[copy.source].append(copy.account_id)
    return dict(gone)


def _is_believed(each: LiveSource, lost: int, deadline: float, *, is_empty: bool) -> bool:
    """Whether accounts that a source lacks are gone; one that is empty is more likely broken."""
    if is_empty:
        try:
            is_empty = not each.has_records(deadline).result()
        except SourceAway:
            return False
    return not is_empty and each.losses.allow(lost)


def _merged(by_key: Sequence[SourceRecord], others: Sequence[SourceRecord]) -> list[SourceRecord]:
    """Return what was read by key, and of the others those that cannot be read so, each once."""
    keys = {record.key for record in by_key}
    merged: list[SourceRecord] = []
    for record in (*by_key, *(each for each in others if each.key not in keys)):
        if record not in merged:
            merged.append(record)
    return merged


def make_live_sources(config: Config) -> LiveSources:
    """Return the configured sources for a program that keeps them until it ends.

    None is asked anything by this. Raises ``ConfigError`` like ``make_sources``.
    """
    return LiveSources(make_sources(config), config.customer_sources)


@contextmanager
def open_live_sources(config: Config) -> Iterator[LiveSources]:
    """Give the configured sources while the block lasts. Raises like ``make_live_sources``."""
    live = make_live_sources(config)
    try:
        yield live
    finally:
        live.close()
