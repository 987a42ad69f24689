"""The worker: what is due is done, and a database that is away is no end."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core import worker as worker_module
from core.accounts.sessions import start_session
from core.db import Database
from core.models import CustomerUser, PasswordRequest, SignInThrottle, WebSession, now
from core.outgoing.courier import Courier
from core.words import OutgoingState, Validity
from core.worker import (
    RETRY_SECONDS,
    TASKS,
    Task,
    Worker,
    sending,
)
from tests.cli.conftest import Installation
from tests.intake.firm import a_firm
from tests.outgoing.automatic import an_office
from tests.outgoing.sending import Postbox
from tests.support.processes import run_process, wait_until
from tests.support.relay import STALL, STALL_SECONDS, Script, run_relay


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_what_is_due_is_done(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        anna.valid = Validity.INVALID_TEMPORARILY
        anna.invalid_until = now().date() - timedelta(days=1)
        bert = session.get_one(CustomerUser, firm.customer_users["bert"])
        bert.valid = Validity.INVALID_TEMPORARILY
        for days in (0, 1):
            start_session(session, bert, peer="192.0.2.1", agent="")
            session.flush()
            stored = session.scalars(select(WebSession).order_by(WebSession.seen_at.desc())).first()
            assert stored is not None
            stored.seen_at -= timedelta(days=days)
        old = now() - timedelta(days=1)
        session.add(SignInThrottle(key=b"old", failures=3, last_failure_at=old))
        session.add(SignInThrottle(key=b"new", failures=3, last_failure_at=now()))
    Worker(database).run_due()
    with database.read() as session:
        valid = {user.login: user.valid for user in session.scalars(select(CustomerUser))}
        assert valid["anna"] is Validity.VALID
        assert valid["bert"] is Validity.INVALID_TEMPORARILY
        assert session.scalar(select(func.count()).select_from(WebSession)) == 1
        assert session.scalars(select(SignInThrottle.key)).all() == [b"new"]


def test_each_task_has_its_own_pace(sqlite_database: Database) -> None:
    clock, ran = Clock(), list[str]()
    tasks = [Task("often", 10.0, noting(ran, "often")), Task("rare", 25.0, noting(ran, "rare"))]
    worker = Worker(sqlite_database, tasks, clock)
    assert worker.run_due() == 10.0
    for _time in range(3):
        clock.seconds += worker.run_due()
    assert worker.run_due() == 5.0  # until the fourth "often"
    assert ran == ["often", "rare", "often", "often", "rare"]


def noting(ran: list[str], name: str) -> Callable[[Session], str]:
    """Return a task that notes that it ran."""

    def run(_session: Session) -> str:
        ran.append(name)
        return ""

    return run


def test_a_failing_database_is_tried_again_and_told_once(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock, broken = Clock(), [True, True, False]

    def fails(_session: Session) -> str:
        if broken.pop(0):
            raise OperationalError("SELECT 1", {}, Exception("away"))
        return "done"

    caplog.set_level("INFO")
    worker = Worker(sqlite_database, [Task("fails", 60.0, fails)], clock)
    for _time in range(3):
        clock.seconds += worker.run_due()
    assert [record.getMessage() for record in caplog.records] == [
        "fails: the database fails: Exception",
        "fails: the database answers again",
        "fails: done",
    ]
    assert clock.seconds == 100.0 + 2 * RETRY_SECONDS + 60.0


def test_a_defect_in_one_task_does_not_keep_the_others(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ran = list[str]()

    def defect(_session: Session) -> str:
        raise KeyError("oops")

    worker = Worker(sqlite_database, [Task("bad", 9, defect), Task("good", 9, noting(ran, "good"))])
    worker.run_due()
    assert ran == ["good"]
    assert "bad failed" in caplog.text


def test_every_task_is_known_by_its_name() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS)


@pytest.mark.slow
def test_it_runs_until_it_is_told_to_stop(installation: Installation) -> None:
    command = (sys.executable, "-m", "core.worker")
    with run_process(*command, env=installation.env) as process:
        process.wait_for_output('"started"')
        assert process.stop() == 0
        assert '"stopped"' in process.output


@pytest.mark.slow
def test_a_stalled_relay_stops_neither_tasks_nor_the_end(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """The courier waits for a reply; the tasks run, and SIGTERM is obeyed within seconds."""
    postbox = Postbox(an_office(sqlite_database, tmp_path), tmp_path)
    (waiting,) = postbox.put("anna@muster.example")
    with (
        run_relay(Script({"message": STALL})) as relay,
        postbox.worker(relay) as process,
    ):
        process.wait_for(lambda: relay.reached["message"] > 0, "the message")
        with postbox.database.write() as session:
            session.add(PasswordRequest(login="anna@muster.example", staff=False))
        process.wait_for(lambda: len(postbox.mails()) == 2, "the answer to a request")
        began = time.monotonic()
        assert process.stop() == 0, process.output
        assert time.monotonic() - began < STALL_SECONDS - 10
        assert '"stopped"' in process.output
    mail = postbox.mail(waiting)
    assert (mail.state, mail.leased_until) == (OutgoingState.WAITING, None)


@pytest.mark.slow
def test_without_a_key_it_does_not_start(small_installation: Installation, tmp_path: Path) -> None:
    """Threat O3: what it would sign with no key nobody could believe."""
    env = {**small_installation.env, "SCHALTER_SECRET_KEY_FILE": str(tmp_path / "none.key")}
    with run_process(sys.executable, "-m", "core.worker", env=env) as process:
        assert process.child.wait(30) == 1
        assert process.output.startswith("schalter worker: secret_key_file: ")


def test_sending_goes_on_after_a_failing_database_and_a_defect(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.0)
    away = OperationalError("SELECT 1", {}, Exception("away"))
    courier = FailingCourier([away, away, None, KeyError("oops"), None])
    caplog.set_level("INFO")
    with sending(courier):
        wait_until(lambda: not courier.errors, "all of it")
    assert [record.getMessage() for record in caplog.records] == [
        "courier: the database fails: Exception",
        "courier: the database answers again",
        "courier failed",
    ]


class FailingCourier(Courier):
    """Fails as it is told to, then stops."""

    def __init__(self, errors: list[Exception | None]) -> None:
        self.errors = errors
        self.stopped = Event()

    def run_due(self) -> float:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return 0.0

    def wait(self, _seconds: float) -> bool:
        return self.stopped.is_set() or not self.errors

    def stop(self) -> None:
        self.stopped.set()


@pytest.mark.slow
def test_it_says_why_it_cannot_start(small_installation: Installation) -> None:
    env = {**small_installation.env, "SCHALTER_DATABASE__URL": "nonsense"}
    with run_process(sys.executable, "-m", "core.worker", env=env) as process:
        assert process.child.wait(30) == 1
        assert process.output.startswith("schalter worker: database.url: ")
