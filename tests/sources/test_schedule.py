"""The worker reads sources by itself: when they are due, once, and whatever one of them does."""

import json
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.claims import claimed
from core.config import Config, SqlSourceSection
from core.db import Database
from core.models import AuditEvent, now
from core.models import CustomerSource as SourceState
from core.sources.mirroring import schedule
from core.sources.mirroring.schedule import (
    GRACE_SECONDS,
    LONGEST_RETRY,
    LOOK_SECONDS,
    RETRY_SECONDS,
    Reader,
    due_at,
    reading,
)
from tests.cli.conftest import an_installation
from tests.sources.crm import ANNA, BERT, Crm, account, logins, read
from tests.support.processes import RunningProcess, run_process, wait_until

VALID = "valid"


def state_of(database: Database, name: str = "crm") -> SourceState:
    with database.read() as session:
        return session.get_one(SourceState, name)


def set_last_pass(database: Database, at: datetime) -> None:
    with database.write() as session:
        session.get_one(SourceState, "crm").last_pass_at = at


class Clock:
    """A monotonic clock that is put forward by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return what it shows."""
        return self.seconds

    def passes(self, seconds: float) -> float:
        """Let so much time pass, and return it."""
        self.seconds += seconds
        return seconds


def reader(database: Database, section: SqlSourceSection) -> Reader:
    return Reader(database, section, [section.name])


# Minutes between two passes, minutes since the last one (None: never), seconds to the next.
DUE = [
    (60, None, 0),
    (60, 10, 50 * 60),
    (60, 60, 0),
    (60, 600, -540 * 60),
    (60, -5, 0),  # the clock was put back
    (0, None, None),
    (0, 600, None),
]


@pytest.mark.parametrize(("every", "ago", "expected"), DUE)
def test_when_a_source_is_due(
    crm: Crm, every: int, ago: int | None, expected: float | None
) -> None:
    state = SourceState(name="crm")
    state.last_pass_at = None if ago is None else now() - timedelta(minutes=ago)
    due = due_at(crm.section(sync_minutes=every), state)
    seconds = None if due is None else (due - now()).total_seconds()
    assert seconds == (None if expected is None else pytest.approx(expected, abs=5))


class TestReader:
    """One source, looked at again and again."""

    def test_it_is_read_when_due_and_not_before(self, database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        source = reader(database, crm.section(sync_minutes=30))
        assert source.run_due() == LOOK_SECONDS
        assert logins(database) == {"anna": ("crm", VALID)}
        crm.hold(ANNA, BERT)
        assert source.run_due() == LOOK_SECONDS
        assert "bert" not in logins(database)
        set_last_pass(database, now() - timedelta(minutes=29, seconds=50))
        assert 0 < source.run_due() <= 10
        set_last_pass(database, now() - timedelta(minutes=31))
        source.run_due()
        assert "bert" in logins(database)

    def test_a_pass_by_command_counts(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        section = crm.section()
        read(sqlite_database, section)
        crm.hold(ANNA, BERT)
        reader(sqlite_database, section).run_due()
        assert "bert" not in logins(sqlite_database)

    def test_it_waits_the_longer_the_more_often_it_fails(
        self, sqlite_database: Database, crm: Crm, caplog: pytest.LogCaptureFixture
    ) -> None:
        crm.execute('ALTER TABLE "Kunden Benutzer" RENAME TO away')
        clock = Clock()
        source = Reader(sqlite_database, crm.section(), ["crm"], clock)
        waits = [clock.passes(source.run_due()) for _time in range(8)]
        assert waits[:3] == [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS]
        assert waits[-1] == LONGEST_RETRY
        assert len(caplog.records) == 1
        assert "customer source crm: no such table" in caplog.messages[0]
        assert caplog.messages[0].endswith("it is tried again in 2 minutes")
        assert "no such table" in state_of(sqlite_database).last_error

        crm.execute('ALTER TABLE away RENAME TO "Kunden Benutzer"')
        crm.hold(ANNA)
        assert source.run_due() == LOOK_SECONDS
        assert state_of(sqlite_database).last_error == ""
        crm.execute('ALTER TABLE "Kunden Benutzer" RENAME TO away')
        set_last_pass(sqlite_database, now() - timedelta(hours=2))
        assert source.run_due() == RETRY_SECONDS

    def test_a_lost_half_is_a_failure(self, sqlite_database: Database, crm: Crm) -> None:
        persons = [
            ANNA | {"id": number, "login": f"user{number}", "mail": f"u{number}@muster.example"}
            for number in range(50)
        ]
        crm.hold(*persons)
        source = reader(sqlite_database, crm.section())
        source.run_due()
        set_last_pass(sqlite_database, now() - timedelta(hours=2))
        crm.hold(*persons[:10])
        assert source.run_due() == RETRY_SECONDS
        assert "--accept-loss" in state_of(sqlite_database).last_error
        assert {word for _source, word in logins(sqlite_database).values()} == {VALID}

    def test_what_another_reads_is_left_to_it(
        self, database: Database, crm: Crm, caplog: pytest.LogCaptureFixture
    ) -> None:
        crm.hold(ANNA)
        source = reader(database, crm.section())
        with claimed(database, "source-crm"):
            assert source.run_due() == LOOK_SECONDS
        assert logins(database) == {}
        assert caplog.records == []
        source.run_due()
        assert "anna" in logins(database)

    def test_an_unreadable_password_file(
        self, sqlite_database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        section = SqlSourceSection.model_validate(
            {
                "name": "crm",
                "kind": "sql",
                "url": "postgresql://schalter@127.0.0.1/crm",
                "password_file": "/nowhere/crm.password",
                "table": "t",
                "columns": {"login": "l", "customer_number": "n", "email": "e"},
            }
        )
        assert reader(sqlite_database, section).run_due() == RETRY_SECONDS
        assert "/nowhere/crm.password" in caplog.text

    def test_a_defect_is_no_end(
        self,
        sqlite_database: Database,
        crm: Crm,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(_section: object) -> None:
            raise KeyError("oops")

        monkeypatch.setattr(schedule, "make_source", fail)
        assert reader(sqlite_database, crm.section()).run_due() == RETRY_SECONDS
        assert "the pass failed" in caplog.messages[0]


def stalled(name: str, port: int) -> SqlSourceSection:
    """Return a source whose server takes connections and never says a word."""
    return SqlSourceSection.model_validate(
        {
            "name": name,
            "kind": "sql",
            "url": f"postgresql://schalter@127.0.0.1:{port}/crm",
            "table": "t",
            "columns": {"login": "l", "customer_number": "n", "email": "e"},
        }
    )


def test_a_stalled_source_stops_neither_another_nor_the_end(
    sqlite_database: Database, crm: Crm
) -> None:
    crm.hold(ANNA)
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = Config(customer_sources=[stalled("first", server.getsockname()[1]), crm.section()])
        with reading(sqlite_database, config):
            wait_until(lambda: "anna" in logins(sqlite_database), "the other source")
            began = time.monotonic()
        assert time.monotonic() - began < GRACE_SECONDS + 2


def test_only_by_command_is_left_alone(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA)
    with reading(sqlite_database, Config(customer_sources=[crm.section(sync_minutes=0)])):
        time.sleep(0.3)  # in which a thread would have read it
    assert logins(sqlite_database) == {}


SECTION = """
[[customer_sources]]
name = "crm"
kind = "sql"
url = "{url}"
table = "Kunden Benutzer"
columns = {{ key = "id", login = "login", customer_number = "Kunden#", email = "mail" }}
"""


def passes(output: str) -> list[str]:
    """Return what the log says of passes."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line["event"] for line in lines if "read in" in line["event"]]


@pytest.mark.slow
def test_workers_read_a_source_once_and_stop_when_told(
    database: Database, crm: Crm, tmp_path: Path
) -> None:
    persons = [
        ANNA | {"id": number, "login": f"user{number}", "mail": f"u{number}@muster.example"}
        for number in range(500)
    ]
    crm.hold(*persons)
    installation = an_installation(tmp_path, database)
    file = installation.file("sources.toml", SECTION.format(url=crm.url))
    env: Mapping[str, str] = {**installation.env, "SCHALTER_CONFIG": str(file)}
    command = (sys.executable, "-m", "core.worker")
    with ExitStack() as stack:
        workers = [stack.enter_context(run_process(*command, env=env)) for _each in range(2)]
        for worker in workers:
            worker.wait_for_output('"started"')
        workers[0].wait_for(lambda: passes_of(workers) != [], "a pass", 60)
        for worker in workers:
            assert worker.stop() == 0, worker.output
        (told,) = passes_of(workers)
    assert "customer source crm: read in" in told
    assert "500 new, 0 changed, 0 unchanged, 0 refused, 0 vanished, 0 conflicts" in told
    assert account(database, "user499").source == "crm"
    with database.read() as session:
        events = session.query(AuditEvent).filter_by(object_kind="customer-user").count()
    assert events == 500


def passes_of(workers: list[RunningProcess]) -> list[str]:
    return [line for worker in workers for line in passes(worker.output)]
