"""Mail while customer sources answer, stall and die: nothing is lost, and every answer is in time.

The sources are real: a database of somebody else's on SQLite, and a PostgreSQL server of its own
that is stopped and killed.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core.models import CustomerSource as SourceState
from core.sources.asking import breaker
from core.sources.asking.live_source import SECONDS
from core.words import DecisionKind
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, HELLO, Running
from tests.gateway.test_lmtp import HELLO as LMTP_HELLO
from tests.gateway.transcripts import conversation
from tests.sources.crm import ANNA, Crm
from tests.support.postgresql import PostgresqlServer, run_postgresql

NINA = ANNA | {"id": 7, "login": "nina", "mail": "nina@muster.example", "vorname": "Nina"}
FILED = (DecisionKind.OPEN_TICKET, "allowed")
AWAY = (DecisionKind.HOLD, "source-away")
PUT_OFF = "S: 451 4.3.0 Temporary failure, please try again later"
END = """
    C: QUIT
    S: 221 2.0.0 Bye
    S: (closed)
"""
# Seconds for everything but the waiting for sources, on a busy machine. A server that stalls does
# so until it is told to go on, and ten mails that wait for it take longer.
ROUNDS = 15.0


def mail_of(who: str, answer: str = ACCEPTED, subject: str = "Frage", hello: str = HELLO) -> str:
    """Return the transcript of a mail from an address of the firm."""
    return f"""{hello}
        C: MAIL FROM:<{who}@muster.example>
        S: 250 2.1.0 OK
        C: RCPT TO:<vertrieb@example.org>
        S: 250 2.1.5 OK
        {DATA}
        C: From: {who}@muster.example
        C: Subject: {subject}
        C:
        C: Guten Tag
        C: .
        {answer}{END}
    """


def fates(running: Running) -> list[tuple[DecisionKind, str]]:
    """Return what became of each mail, and why."""
    return [(each.decision, each.reason) for each in running.deliveries()]


class Server:
    """A PostgreSQL server of somebody else's with a CRM in it."""

    def __init__(self, server: PostgresqlServer) -> None:
        self._server = server
        self.crm = Crm(
            create_engine(server.url("postgres"), poolclass=NullPool), server.url("postgres")
        )

    def stall(self) -> None:
        """Let the server, all its processes, do nothing more; connections stay."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a farewell."""
        self._server.process.kill()

    def _signal(self, sign: signal.Signals) -> None:
        main = self._server.process.pid
        for pid in [main, *_children(main)]:
            os.kill(pid, sign)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL server that only the test uses."""
    with run_postgresql() as running:
        server = Server(running)
        yield server
        if running.process.child.poll() is None:
            server.go_on()


def test_who_is_new_in_the_source_is_matched_at_once(run: Run, crm: Crm) -> None:
    running = run(customer_sources=[crm.section(cache_seconds=0)])
    running.play(mail_of("nina"))
    crm.hold(NINA)
    running.play(mail_of("nina", subject="Noch eine"))
    assert fates(running) == [(DecisionKind.HOLD, "stranger"), FILED]


def test_an_answer_is_remembered(run: Run, crm: Crm) -> None:
    running = run(customer_sources=[crm.section(cache_seconds=60)])
    running.play(mail_of("nina"))
    crm.hold(NINA)
    running.play(mail_of("nina", subject="Noch eine"))
    assert fates(running) == [(DecisionKind.HOLD, "stranger")] * 2


@pytest.mark.parametrize("when_away", ["hold", "defer"])
def test_a_server_that_stalls(
    run: Run, server: Server, when_away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known senders are filed from their copies, others held or put off, each within the time."""
    server.crm.hold(NINA)
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 6.0)
    running = run(customer_sources=[server.crm.section(cache_seconds=0, when_away=when_away)])
    running.play(mail_of("nina"))
    server.stall()
    answer, fate = (ACCEPTED, [AWAY]) if when_away == "hold" else (PUT_OFF, [])
    for number in range(2):
        started = time.monotonic()
        running.play(mail_of("otto", answer, f"Mail {number}"))
        assert time.monotonic() - started < SECONDS + ROUNDS
    started = time.monotonic()
    for number in range(5):
        running.play(mail_of("nina", subject=f"Mail {number}"))
        running.play(mail_of("anna", subject=f"Mail {number}"))
    assert time.monotonic() - started < ROUNDS
    assert fates(running) == [FILED, *2 * fate, *10 * [FILED]]
    with running.database.read() as session:
        assert session.get_one(SourceState, "crm").last_error

    server.go_on()
    server.crm.hold(NINA, NINA | {"id": 8, "login": "otto", "mail": "otto@muster.example"})
    _send_until_filed(running, "otto")


def _send_until_filed(running: Running, who: str) -> None:
    """Send mail until it is filed: a source is tried again only after a pause."""
    deadline = time.monotonic() + 30
    number, before = 0, running.tickets()
    while running.tickets() == before:
        assert time.monotonic() < deadline, "still away"
        number += 1
        running.play(mail_of(who, "S: *", f"Versuch {number}"))
        time.sleep(0.2)  # between two tries of a sender


def test_a_locked_table(run: Run, server: Server) -> None:
    """Somebody changes the table for long: a statement waits, and is ended by its own limit."""
    server.crm.hold(NINA)
    running = run(customer_sources=[server.crm.section(cache_seconds=0)])
    with server.crm.engine.begin() as connection:
        connection.execute(text('LOCK TABLE "Kunden Benutzer" IN ACCESS EXCLUSIVE MODE'))
        started = time.monotonic()
        running.play(mail_of("nina"))
        assert time.monotonic() - started < SECONDS + ROUNDS
    running.play(mail_of("nina", subject="Noch eine"))
    assert fates(running) == [AWAY, FILED]


def test_a_server_that_is_killed(run: Run, server: Server) -> None:
    server.crm.hold(NINA)
    running = run(customer_sources=[server.crm.section(cache_seconds=0)])
    running.play(mail_of("nina"))
    server.kill()
    started = time.monotonic()
    for number in range(5):
        running.play(mail_of("nina", subject=f"Mail {number}"))
        running.play(mail_of("otto", subject=f"Mail {number}"))
    assert time.monotonic() - started < ROUNDS
    assert fates(running) == [FILED, *5 * [FILED, AWAY]]


def test_killed_while_mail_streams_in(run: Run, server: Server) -> None:
    """Four clients at once, the server dies between: every mail that was accepted is stored."""
    server.crm.hold(NINA)
    running = run(customer_sources=[server.crm.section(cache_seconds=0, when_away="defer")])

    def send(client: int) -> None:
        for number in range(4):
            running.play(mail_of("nina", subject=f"{client}.{number}"))

    clients = [Thread(target=send, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    while not running.deliveries():
        time.sleep(0.02)  # between two looks
    server.kill()
    for client in clients:
        client.join()
    assert fates(running) == [FILED] * 16
    assert running.tickets() == len(running.stored()) == 16


def test_one_of_two_stalls(run: Run, server: Server, crm: Crm) -> None:
    """Whom the other knows is filed, also while the first is waited for."""
    crm.hold(NINA)
    sections = [server.crm.section("erp", cache_seconds=0), crm.section(cache_seconds=0)]
    running = run(customer_sources=sections)
    server.stall()
    running.play(mail_of("nina"))
    running.play(mail_of("otto"))
    assert fates(running) == [FILED, AWAY]


def test_put_off_over_lmtp(run: Run, crm: Crm, tmp_path: Path) -> None:
    running = run(customer_sources=[crm.section(cache_seconds=0, when_away="defer")])
    (tmp_path / "crm.db").rename(tmp_path / "gone.db")
    with conversation(running.lmtp) as client:
        client.play(mail_of("nina", PUT_OFF, hello=LMTP_HELLO))
    assert running.stored() == []


def test_an_address_of_two_sources_is_held(run: Run, crm: Crm, erp: Crm) -> None:
    crm.hold(NINA)
    erp.hold(NINA | {"login": "n.maier"})
    running = run(customer_sources=[crm.section(), erp.section("erp")])
    running.play(mail_of("nina"))
    assert fates(running) == [(DecisionKind.HOLD, "ambiguous-address")]
