"""How guessing passwords is slowed down: per account and peer, and per peer."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from core.accounts.throttle import (
    MAX_DELAY,
    Attempt,
    Limit,
    Wait,
    count_attempt,
    forget_attempt,
    remove_forgotten,
)
from core.db import Database
from core.models import SignInThrottle
from core.words import AccountKind

HERE, THERE = "192.0.2.1", "198.51.100.7"

DELAYS = [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (8, 8), (13, 256), (14, 300), (10_000, 300)]


@pytest.mark.parametrize(("failures", "seconds"), DELAYS)
def test_the_delay_grows_to_five_minutes(failures: int, seconds: int) -> None:
    assert Limit(free=5).delay(failures) == timedelta(seconds=seconds)


def test_the_longest_delay_is_short_enough_to_wait_for() -> None:
    assert timedelta(minutes=1) < MAX_DELAY <= timedelta(minutes=5)


def attempt(
    database: Database,
    name: str = "anna",
    peer: str = HERE,
    kind: AccountKind = AccountKind.CUSTOMER,
) -> Attempt | Wait:
    """Make an attempt that fails."""
    with database.write() as session:
        return count_attempt(session, kind, name, peer)


def waits(database: Database, times: int, name: str = "anna", peer: str = HERE) -> Sequence[int]:
    """Fail so often; return how long to wait each time."""
    results = [attempt(database, name, peer) for _n in range(times)]
    return [result.seconds if isinstance(result, Wait) else 0 for result in results]


def time_passes(database: Database, seconds: float) -> None:
    """Let everything that is remembered be so much older."""
    with database.write() as session:
        for row in session.scalars(select(SignInThrottle)):
            row.last_failure_at -= timedelta(seconds=seconds)


def rows(database: Database) -> int:
    """Return how many rows are remembered."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(SignInThrottle)) or 0


def test_after_each_delay_one_attempt_is_let_through(database: Database) -> None:
    assert waits(database, 6) == [0, 0, 0, 0, 0, 1]
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        time_passes(database, seconds)
        assert waits(database, 2) == [0, min(seconds * 2, 300)]


def test_attempts_during_a_delay_do_not_prolong_it(database: Database) -> None:
    waits(database, 6)
    assert waits(database, 20) == [1] * 20
    time_passes(database, 1)
    assert waits(database, 1) == [0]


def test_the_account_is_slowed_down_only_here_and_others_are_not(database: Database) -> None:
    assert waits(database, 6)[-1] == 1
    assert waits(database, 1, peer=THERE) == [0]
    assert waits(database, 1, "bert") == [0]
    assert isinstance(attempt(database, kind=AccountKind.STAFF), Attempt)
    assert waits(database, 1) == [1]


def test_guessing_many_accounts_is_slowed_down_for_the_peer(database: Database) -> None:
    assert [waits(database, 1, f"user{n}") for n in range(30)] == [[0]] * 30
    assert waits(database, 1, "user31") == [1]
    assert waits(database, 1, "user31", THERE) == [0]
    assert rows(database) == 33, "what had to wait leaves no row behind"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
        ("", "unix:", False),
    ],
)
def test_a_peer_is_a_network_where_addresses_cost_nothing(
    sqlite_database: Database, first: str, second: str, same: bool
) -> None:
    waits(sqlite_database, 5, peer=first)
    assert waits(sqlite_database, 1, peer=second) == [1 if same else 0]


def test_success_forgets_the_account_and_not_the_peer(database: Database) -> None:
    for n in range(24):
        waits(database, 1, f"user{n}")
    waits(database, 4)
    succeeded = attempt(database)
    assert isinstance(succeeded, Attempt)
    assert succeeded.failures == 4
    with database.write() as session:
        forget_attempt(session, succeeded)
    assert waits(database, 2) == [0, 0], "28 of the peer and none of the account before"
    assert waits(database, 1) == [1], "30 of the peer"


def test_failures_are_forgotten_after_an_hour(database: Database) -> None:
    waits(database, 6)
    time_passes(database, 3601)
    assert waits(database, 6) == [0, 0, 0, 0, 0, 1]
    with database.write() as session:
        remove_forgotten(session)
    assert rows(database) == 2
    time_passes(database, 3601)
    with database.write() as session:
        remove_forgotten(session)
    assert rows(database) == 0


def test_the_rows_do_not_tell_what_was_entered(database: Database) -> None:
    waits(database, 1, "my-secret-password")
    with database.read() as session:
        keys = session.scalars(select(SignInThrottle.key)).all()
    assert {len(key) for key in keys} == {32}
    assert not any(b"secret" in key for key in keys)
