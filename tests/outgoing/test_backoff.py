"""When a mail is tried again."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from core.outgoing.backoff import (
    GIVE_UP_AFTER,
    JITTER,
    LEAST_TRIES,
    LONGEST_PAUSE,
    next_try,
    pause_after,
)

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


# How many tries have failed, and the pause without jitter, in minutes.
@pytest.mark.parametrize(
    ("tries", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (8, 128), (9, 240), (10_000, 240)]
)
def test_pauses_double_up_to_four_hours(tries: int, minutes: int) -> None:
    pauses = [pause_after(tries, Random(seed)) / timedelta(minutes=minutes) for seed in range(500)]
    assert 1 - JITTER <= min(pauses) < 1 - JITTER / 2
    assert 1 + JITTER / 2 < max(pauses) <= 1 + JITTER


def test_a_shorter_longest_pause() -> None:
    assert pause_after(99, Random(1), timedelta(minutes=10)) <= timedelta(minutes=12.5)


@pytest.mark.parametrize(
    ("age", "tries", "gives_up"),
    [
        (GIVE_UP_AFTER, LEAST_TRIES, True),
        (GIVE_UP_AFTER - timedelta(seconds=1), LEAST_TRIES, False),
        (GIVE_UP_AFTER, LEAST_TRIES - 1, False),
        (GIVE_UP_AFTER * 2, 1, False),
        (timedelta(0), 1000, False),
    ],
)
def test_it_ends_after_five_days_and_some_tries(age: timedelta, tries: int, gives_up: bool) -> None:
    again = next_try(NOW - age, tries, NOW, Random(1))
    assert (again is None) == gives_up
    assert again is None or again > NOW


def test_five_days_are_some_dozen_tries() -> None:
    at, tries, random = NOW, 0, Random(7)
    while (again := next_try(NOW, tries + 1, at, random)) is not None:
        at, tries = again, tries + 1
        assert tries < 100
    assert 30 <= tries <= 50
    assert GIVE_UP_AFTER <= at - NOW <= GIVE_UP_AFTER + LONGEST_PAUSE * (1 + JITTER)
