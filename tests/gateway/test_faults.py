"""When something of ours fails: 4xx, nothing half done, and no restart needed (promise 1)."""

import asyncio
import os
import signal
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from core.db import Database
from core.intake import writer as writer_module
from core.intake.incoming import Receipt
from core.intake.prepare import Prepared
from core.intake.recipients import REFRESH_SECONDS, RecipientDirectory
from core.intake.writer import IntakeWriter
from core.migrate import upgrade
from gateway.disk import CHECK_SECONDS
from gateway.limits import MIB, Limits
from gateway.spool import Spool
from tests.gateway.conftest import Run
from tests.gateway.running import (
    ACCEPTED,
    DATA,
    ENVELOPE,
    HELLO,
    MESSAGE,
    Running,
    running_gateway,
)
from tests.intake.firm import a_firm
from tests.support.postgresql import PostgresqlServer, run_postgresql
from tests.support.processes import run_process

TRY_AGAIN = "S: 451 4.3.0 Temporary failure, please try again later"
NO_SPACE = "S: 452 4.3.1 Insufficient storage, please try again later"
WHOLE = f"{ENVELOPE}{DATA}{MESSAGE}"

# Faults

SECRET = "postgresql://schalter:geheim@db.example/x"
FAULTS = [
    RuntimeError("x\r\n250 OK"),
    RuntimeError("ü"),
    ValueError(SECRET),
    ConnectionResetError("by the database"),
    TimeoutError(),
    MemoryError(),
    KeyError("\udcff"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_in_data_is_answered_with_a_constant(
    gateway: Running,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    """Threat P13: nothing of the error is told, and the next message is taken in."""

    def fail(*_arguments: object) -> None:
        raise fault

    with gateway.client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(writer_module, "take_in_prepared", fail)
            client.play(f"{WHOLE}{TRY_AGAIN}\nS: (silence)")
        client.play(f"{WHOLE}{ACCEPTED}")
    assert SECRET not in caplog.text
    assert len(gateway.stored()) == 1


def test_a_fault_at_the_hand_over(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("no more threads")

    with gateway.client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(IntakeWriter, "submit", fail)
            for _ in range(3):
                client.play(f"{WHOLE}{TRY_AGAIN}")
        client.play(f"{WHOLE}{ACCEPTED}")


def test_a_fault_at_rcpt_is_of_that_recipient_only(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 to the next command would be for ever; the transaction goes on."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError("x\r\n250 OK")

    with gateway.client() as client:
        client.play(ENVELOPE)
        with monkeypatch.context() as broken:
            broken.setattr(RecipientDirectory, "refresh", fail)
            client.play(f"C: RCPT TO:<neu@example.org>\n{TRY_AGAIN}")
        client.play(f"{DATA}{MESSAGE}{ACCEPTED}")


@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_the_writer_may_fail_at_any_moment(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Threat B6: the answer is 451; whatever was stored, the retry ends in exactly one ticket."""
    write = Database.write

    @contextmanager
    def failing(database: Database) -> Iterator[Session]:
        if when == "before the commit":
            raise OSError("I/O error")
        with write(database) as session:
            yield session
        raise OSError("I/O error")

    with gateway.client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(Database, "write", failing)
            client.play(f"{WHOLE}{TRY_AGAIN}")
        assert gateway.tickets() == (0 if when == "before the commit" else 1)
        client.play(f"{WHOLE}{ACCEPTED}")
    assert gateway.tickets() == 1


# Lost replies


def test_a_half_closed_client_gets_its_reply(gateway: Running) -> None:
    """Threat P14: FIN right after the dot neither cancels the commit nor the reply to it."""
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        C: (half-close)
        {ACCEPTED}
        S: (closed)
    """)
    assert gateway.tickets() == 1


def test_a_whole_session_in_one_piece_and_half_closed(gateway: Running) -> None:
    gateway.play(f"""
        C: EHLO client.example
        C: MAIL FROM:<anna@muster.example>
        C: RCPT TO:<vertrieb@example.org>
        C: DATA
        {MESSAGE}
        C: QUIT
        C: (half-close)
        S: 220 *
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250 *
        S: 250 2.1.0 OK
        S: 250 2.1.5 OK
        S: 354 *
        {ACCEPTED}
        S: 221 2.0.0 Bye
        S: (closed)
    """)


def test_a_half_closed_client_in_data_has_sent_nothing(gateway: Running) -> None:
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}
        C: only half a
        C: (half-close)
        S: (closed)
    """)
    assert gateway.stored() == []


@pytest.mark.parametrize("milliseconds", [0, 1, 10, 100])
def test_a_connection_that_breaks_after_the_dot(gateway: Running, milliseconds: int) -> None:
    """Threat B7: the client cannot know; it tries again, and there is one ticket."""
    with gateway.client() as client:
        client.play(WHOLE)
        time.sleep(milliseconds / 1000)  # the moments at which it breaks are what is tried
        linger = struct.pack("ii", 1, 0)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # RST, no FIN
    gateway.play(f"{HELLO}{WHOLE}{ACCEPTED}")
    assert gateway.tickets() == 1
    assert len(gateway.stored()) == 1


def test_the_clock_stops_while_a_message_is_taken_in(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat P14: a slow commit is our time, not the client's."""
    take_in = writer_module.take_in_prepared

    def slowly(session: object, batch: list[Prepared]) -> list[Receipt]:
        time.sleep(2.5)  # more than the client has
        return take_in(session, batch)

    monkeypatch.setattr(writer_module, "take_in_prepared", slowly)
    gateway = run(limits=Limits(command_seconds=1.0, session_seconds=2.0))
    gateway.play(f"{HELLO}{WHOLE}{ACCEPTED}")
    assert gateway.tickets() == 1


def test_a_commit_that_takes_too_long_is_a_451(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is not called off; the retry is recognised."""
    take_in = writer_module.take_in_prepared
    go_on = threading.Event()

    def late(session: object, batch: list[Prepared]) -> list[Receipt]:
        go_on.wait(30)
        return take_in(session, batch)

    monkeypatch.setattr(writer_module, "take_in_prepared", late)
    gateway = run(limits=Limits(take_in_seconds=2.0))
    with gateway.client() as client:
        client.play(f"{WHOLE}{TRY_AGAIN}")
        go_on.set()
        client.play(f"{WHOLE}{ACCEPTED}")
    assert gateway.tickets() == 1


# The database


def test_a_locked_database(sqlite_database: Database, tmp_path: Path) -> None:
    """Threat B4: 451 in time, others are served meanwhile, and then it works again."""
    a_firm(sqlite_database, sender_policy="open")
    limits = Limits(take_in_seconds=3.0)  # SQLite itself waits 10 s, 451 is due within 15
    file = str(sqlite_database.url.database)
    with running_gateway(sqlite_database, tmp_path, limits) as gateway:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with gateway.client() as waiting, gateway.client() as busy:
                waiting.play(f"{WHOLE}C: NOOP")
                for _ in range(15):
                    started = time.monotonic()
                    busy.play("C: NOOP\nS: 250 2.0.0 OK")
                    assert time.monotonic() - started < 8  # it does not wait for SQLite
                    time.sleep(0.02)  # others are served all the while
                busy.play(ENVELOPE)
                waiting.play(f"{TRY_AGAIN}\nS: 250 2.0.0 OK")
        finally:
            other.execute("ROLLBACK")
            other.close()
        gateway.play(f"{HELLO}{WHOLE}{ACCEPTED}")
        assert gateway.tickets() == 1


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[PostgresqlServer]:
    """A server that these tests may disturb."""
    with run_postgresql() as server:
        yield server


@pytest.mark.postgresql
def test_postgresql_stalls_and_goes_on(own_postgresql: PostgresqlServer, tmp_path: Path) -> None:
    """A server that does not answer at all is worse than one that is away."""
    database = migrated(own_postgresql)
    limits = Limits(look_up_seconds=2.0, take_in_seconds=2.0)
    with running_gateway(database, tmp_path, limits) as gateway:
        gateway.play(f"{HELLO}{ENVELOPE}")
        server = own_postgresql.process.pid
        pids = [
            server,
            *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split()),
        ]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(REFRESH_SECONDS)  # only then is the database asked again
            with gateway.client() as client:
                client.play(f"C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<neu@example.org>\n{TRY_AGAIN}")
                client.play(f"C: RSET\nS: 250 *\n{WHOLE}{TRY_AGAIN}")
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        gateway.play(f"{HELLO}{WHOLE}{ACCEPTED}")
        assert gateway.tickets() == 1
    database.dispose()


@pytest.mark.postgresql
def test_postgresql_is_stopped_and_started(tmp_path: Path) -> None:
    second = WHOLE.replace("Frage", "Zweite Frage")
    with run_postgresql() as server, ExitStack() as stack:
        database = migrated(server)
        stack.callback(database.dispose)
        gateway = stack.enter_context(running_gateway(database, tmp_path))
        with gateway.client() as client:
            client.play(f"{WHOLE}{ACCEPTED}")
            server.process.stop(signal.SIGINT)
            time.sleep(REFRESH_SECONDS)  # only then is the database asked again
            client.play(f"""
                C: MAIL FROM:<>
                S: 250 2.1.0 OK
                C: RCPT TO:<neu@example.org>
                {TRY_AGAIN}
                C: RSET
                S: 250 2.0.0 OK
                {second}
                {TRY_AGAIN}
            """)
            stack.enter_context(started_again(server))
            client.play(f"{second}{ACCEPTED}")
        assert gateway.tickets() == 2


@contextmanager
def started_again(server: PostgresqlServer) -> Iterator[None]:
    """Run a server that was stopped once more, as the account that it ran as."""
    owner = server.folder.stat()
    root = os.geteuid() == 0
    with run_process(
        *server.process.child.args,
        cwd=server.folder,
        owner=owner.st_uid if root else None,
        groups=[owner.st_gid] if root else None,
    ) as process:
        process.wait_for(server.answers, "connection to PostgreSQL")
        yield
        process.stop(signal.SIGINT)


# The disk


def test_a_disk_nearly_full(run: Run) -> None:
    """Threat S3: refused at MAIL, and accepted again when there is space."""
    free = [10 * 1024 * MIB]
    gateway = run(free_space=lambda _folder: free[0])
    with gateway.client() as client:
        client.play(f"{WHOLE}{ACCEPTED}")
        free[0] = 200 * MIB - 1
        time.sleep(CHECK_SECONDS)  # that long an answer is good for
        client.play(f"C: MAIL FROM:<anna@muster.example>\n{NO_SPACE}")
        free[0] = 200 * MIB
        time.sleep(CHECK_SECONDS)  # that long an answer is good for
        client.play(WHOLE.replace("Frage", "Zweite Frage") + ACCEPTED)


def test_big_messages_ask_for_more_space(run: Run) -> None:
    gateway = run(free_space=lambda _folder: 299 * MIB, max_message_bytes=200 * MIB)
    gateway.play(f"{HELLO}C: MAIL FROM:<anna@muster.example>\n{NO_SPACE}")


def test_a_disk_that_cannot_be_asked(run: Run) -> None:
    def fail(_folder: Path) -> int:
        raise OSError("gone")

    gateway = run(free_space=fail)
    gateway.play(f"{HELLO}C: MAIL FROM:<anna@muster.example>\n{TRY_AGAIN}")


def test_a_disk_that_fills_up_during_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is read to its end, so that the session can go on."""

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    gateway = run(limits=Limits(spool_bytes=1_000))
    with gateway.client() as client:
        with monkeypatch.context() as full:
            full.setattr("gateway.spool.tempfile.TemporaryFile", fail)
            client.play(ENVELOPE + DATA)
            client.send(b"x" * 98 + b"\r\n")
            for _ in range(100):
                client.send((b"x" * 98 + b"\r\n") * 20)
            client.play(f"C: .\n{NO_SPACE}")
        client.play(f"{WHOLE}{ACCEPTED}")
    assert len(gateway.stored()) == 1


def test_a_message_that_cannot_be_read_back_keeps_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many bytes are given back as were taken for it; else the gateway would stand still."""

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async def taken_and_read() -> int:
        with Spool(tmp_path, memory_bytes=10) as spool:
            await spool.take(bytearray(b"x" * 10))
            spool.finish(bytearray(b"y" * 5))
            monkeypatch.setattr(Spool, "_write", fail)
            with pytest.raises(OSError, match="No space left"):
                await spool.read()
            return spool.size

    assert asyncio.run(taken_and_read()) == 15


def test_a_database_that_is_full(sqlite_database: Database, tmp_path: Path) -> None:
    """Threat B3: SQLITE_FULL is a 451, nothing is half written, and the retry succeeds."""
    a_firm(sqlite_database, sender_policy="open")
    big = MESSAGE.replace("C: Guten Tag", "\n".join(["C: " + "x" * 900] * 300))
    with sqlite_database.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # The one pooled connection is the one that the writer will use.
    with sqlite_database.writer.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    with running_gateway(sqlite_database, tmp_path) as gateway:
        with gateway.client() as client:
            client.play(f"{ENVELOPE}{DATA}{big}{TRY_AGAIN}")
            assert gateway.stored() == []
            assert gateway.deliveries() == []
            with sqlite_database.writer.connect() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
            client.play(f"{ENVELOPE}{DATA}{big}{ACCEPTED}")
        assert gateway.tickets() == 1


def migrated(server: PostgresqlServer) -> Database:
    """Return a database of the small firm."""
    database = Database(server.url(server.create()))
    upgrade(database)
    a_firm(database, sender_policy="open")
    return database
