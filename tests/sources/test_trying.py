"""Trying sources: all are asked at the same time, and none is waited for longer than is stated."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import pytest

from core.audit import Actor
from core.config import SqlSourceSection
from core.db import Database
from core.i18n import gettext, in_language
from core.sources.asking.live import LiveSources
from core.sources.asking.live_source import NO_ANSWER
from core.sources.records import Found, SourceRecord
from core.sources.source import By, SourceAway
from core.sources.trying import sign_in_trial, trial
from core.sources.trying.sign_in_trial import try_sign_in
from core.sources.trying.trial import look_everywhere, try_out_records
from core.words import ActorKind
from tests.intake.firm import a_firm
from tests.sources.records import ANNA, Listed

NAMES = ("first", "second", "third")
PATIENCE = 60.0  # seconds that one of them waits for the others, and we for them
DEADLINE = 10.0  # where one never answers
ADA = Actor(ActorKind.STAFF, 1, "ada", "192.0.2.7")
# How many records only a trial asks for: look-ups ask as well, and must not wait.
OF_TRIALS = (sign_in_trial.MAX_FOUND, trial.MAX_SHARED)


class Waiting(Listed):
    """A source with one record, of which a trial hears when ``wait`` has returned."""

    def __init__(self, name: str, wait: Callable[[], object]) -> None:
        super().__init__(name, [ANNA])
        self.wait = wait
        self.is_away = False  # for look-ups

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Find the record, whatever is sought."""
        self.wait()
        return [Found({}, ANNA)]

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Find the record, whatever is sought."""
        if limit in OF_TRIALS:
            self.wait()
        elif self.is_away:
            raise SourceAway(self.name, "it is away")
        return [ANNA]


@contextmanager
def living(*sources: Listed) -> Iterator[LiveSources]:
    """Give sources as they are asked while somebody waits."""
    columns = {"login": "l", "customer_number": "n", "email": "e"}
    sections = [
        SqlSourceSection.model_validate(
            {
                "name": source.name,
                "kind": "sql",
                "url": "sqlite:////nowhere/crm.db",
                "table": "t",
                "columns": columns,
            }
        )
        for source in sources
    ]
    made = LiveSources(sources, sections)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSources]:
    """Three sources none of which answers before the others are asked as well."""
    for module in (trial, sign_in_trial):
        monkeypatch.setattr(module, "_SECONDS", 2 * PATIENCE)
    barrier = threading.Barrier(len(NAMES), timeout=PATIENCE)
    with living(*(Waiting(name, barrier.wait) for name in NAMES)) as sources:
        yield sources


def test_all_are_looked_at_together(sqlite_database: Database, together: LiveSources) -> None:
    a_firm(sqlite_database)
    looked = look_everywhere(together, By.LOGIN, "anna")
    assert [each.source for each in looked] == list(NAMES)
    assert [len(each.found) for each in looked] == [1, 1, 1]
    tried = try_out_records(sqlite_database, together, looked, [], [])
    assert [len(tried.records[name]) for name in NAMES] == [1, 1, 1]
    assert [mail.address for mail in tried.mails] == [ANNA.email]


def test_all_are_asked_about_a_sign_in_together(
    sqlite_database: Database, together: LiveSources
) -> None:
    a_firm(sqlite_database)
    tried = try_sign_in(sqlite_database, ADA, together, "anna", "secret")
    kept_here, *answers = tried.answers
    assert kept_here.source == ""
    assert [each.source for each in answers] == list(NAMES)
    assert [each.away for each in answers] == [""] * 3
    assert [len(each.candidates) for each in answers] == [1, 1, 1]


def test_one_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS", DEADLINE)
    ended = threading.Event()
    with living(Waiting("stalls", ended.wait), Waiting("answers", bool)) as sources:
        with in_language("de"):
            stalls, answers = look_everywhere(sources, By.LOGIN, "anna")
            assert stalls.away == gettext(NO_ANSWER)
        ended.set()
    assert stalls.found == ()
    assert len(answers.found) == 1
    assert answers.away == ""


def test_how_a_trial_ends_leaves_nobody_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And why it failed is said in the language of who asks."""

    def fail() -> None:
        raise SourceAway("crm", gettext(NO_ANSWER))

    monkeypatch.setattr(trial, "_SECONDS", PATIENCE)
    with living(Waiting("crm", fail)) as sources, in_language("de"):
        for _time in range(5):
            (looked,) = look_everywhere(sources, By.LOGIN, "anna")
            assert looked.away == gettext(NO_ANSWER) != NO_ANSWER
        assert sources.away() == {}


def test_one_that_is_left_alone_is_tried_all_the_same(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_firm(sqlite_database)
    monkeypatch.setattr(trial, "_SECONDS", PATIENCE)
    source = Waiting("crm", bool)
    source.is_away = True
    with living(source) as sources:
        for _time in range(2):
            sources.look_up(sqlite_database, {By.LOGIN: ["anna"]}, fresh=True)
        assert list(sources.away()) == ["crm"]
        assert look_everywhere(sources, By.LOGIN, "anna")[0].found
