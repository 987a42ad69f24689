"""``python -m gateway``: how it starts, refuses to start, and stops."""

import json
import os
import signal
import socket
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from core.config import Config, SmtpSection
from core.db import Database
from core.errors import ConfigError
from gateway.__main__ import check_account
from gateway.limits import Limits
from tests.gateway.conftest import Run
from tests.gateway.program import gateway_program
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, HELLO, MESSAGE, Running
from tests.gateway.transcripts import conversation
from tests.intake.firm import a_firm
from tests.support.processes import accepts_connections, free_port, wait_until

SHUTTING_DOWN = "S: 421 4.3.2 Service is shutting down, try again later\nS: (closed)"


@pytest.fixture
def url(sqlite_database: Database) -> str:
    """The address of a database with the small firm."""
    a_firm(sqlite_database, sender_policy="open")
    return sqlite_database.address


def refusal(folder: Path, url: str, port: int, **smtp: str) -> str:
    """Start a gateway that cannot start; return what it says besides its log."""
    with gateway_program(folder, url, port, **smtp) as process:
        assert process.child.wait(60) == 1
        lines = process.output.splitlines()
    said = [line for line in lines if not line.startswith('{"at"')]
    assert len(said) == 1, lines
    return said[0]


def test_it_stops_in_order(url: str, tmp_path: Path) -> None:
    """On SIGTERM: an idle session is told, a message on its way is taken in, the status is 0."""
    port = free_port()
    with gateway_program(tmp_path, url, port) as process:
        process.wait_for_port(port)
        with (
            conversation(("127.0.0.1", port)) as idle,
            conversation(("127.0.0.1", port)) as sending,
        ):
            idle.play(HELLO)
            sending.play(HELLO + ENVELOPE + DATA)
            sending.send(b"From: anna@muster.example\r\n")
            process.child.send_signal(signal.SIGTERM)
            idle.play(SHUTTING_DOWN)
            assert process.child.poll() is None
            with socket.socket() as late:
                assert late.connect_ex(("127.0.0.1", port)) != 0
            sending.play(f"C: Subject: x\nC:\nC: y\nC: .\n{ACCEPTED}\n{SHUTTING_DOWN}")
        assert process.child.wait(60) == 0
        assert all(json.loads(line)["program"] == "gateway" for line in process.output.splitlines())


def test_accepted_mail_is_finished(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that is on its way when the gateway stops is waited for, and answered."""
    begun, go_on = held_writes(monkeypatch)
    gateway = run()
    with gateway.client() as client:
        client.play(ENVELOPE + DATA + MESSAGE)
        assert begun.wait(10)
        stopping = begin_to_stop(gateway)
        go_on.set()
        client.play(f"{ACCEPTED}\n{SHUTTING_DOWN}")
        stopping.result(60)
    assert gateway.tickets() == 1


def test_mail_that_was_handed_over_is_finished_without_its_client(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is committing, the end of the connection and of the gateway do not call it off."""
    begun, go_on = held_writes(monkeypatch)
    gateway = run()
    with gateway.client() as client:
        client.play(ENVELOPE + DATA + MESSAGE)
        assert begun.wait(10)
    stopping = begin_to_stop(gateway)
    go_on.set()
    stopping.result(60)
    assert gateway.tickets() == 1


def held_writes(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Hold every write up; return what says that one has begun, and what lets it go on."""
    write = Database.write
    begun, go_on = threading.Event(), threading.Event()

    def slowly(database: Database) -> object:
        begun.set()
        go_on.wait(30)
        return write(database)

    monkeypatch.setattr(Database, "write", slowly)
    return begun, go_on


def begin_to_stop(gateway: Running) -> Future[None]:
    """Begin to stop a gateway, and return once it listens no more."""
    stopping = gateway.begin(gateway.gateway.stop())
    wait_until(lambda: not accepts_connections(gateway.port), "end of listening")
    return stopping


def test_a_message_that_does_not_come_to_its_end_is_not_waited_for(run: Run) -> None:
    gateway = run(limits=Limits(shutdown_seconds=0.3))
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        client.send(b"half")
        gateway.begin(gateway.gateway.stop()).result(30)  # the client itself would have a minute
        client.play(SHUTTING_DOWN)
    assert gateway.stored() == []


def test_a_port_in_use(url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refusal(tmp_path, url, port)
    assert said == (
        f"schalter gateway: smtp.listen 127.0.0.1:{port}: cannot listen: the address is in use"
    )


def test_an_address_of_another_machine(url: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, url, 0, listen='"192.0.2.1:8025"')
    assert said.startswith("schalter gateway: smtp.listen 192.0.2.1:8025: cannot listen: ")


def test_a_socket_file_in_use(url: str, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        said = refusal(tmp_path, url, free_port(), lmtp_listen=f'"unix:{path}"')
    assert said == (
        f"schalter gateway: smtp.lmtp_listen unix:{path}: cannot listen: the address is in use"
    )


def test_a_file_is_never_taken_for_a_socket(url: str, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    said = refusal(tmp_path, url, free_port(), lmtp_listen=f'"unix:{path}"')
    assert "cannot listen" in said
    assert path.read_text() == "data"


def is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_a_socket_file_left_by_a_crash(url: str, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    port = free_port()
    with gateway_program(tmp_path, url, port, lmtp_listen=f'"unix:{path}"') as process:
        process.wait_for_port(port)
        process.wait_for(path.is_socket, "socket file")  # the second listener
        process.kill()
    assert path.is_socket()
    with gateway_program(tmp_path, url, port, lmtp_listen=f'"unix:{path}"') as process:
        process.wait_for(lambda: is_listened_on(path), "answer on the socket file")
        with conversation(path) as client:
            client.play("S: 220 *")
        assert process.stop() == 0
    assert not path.exists()


def test_an_empty_database(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"sqlite:///{tmp_path}/empty.db", free_port())
    assert "is empty" in said
    assert said.endswith('run "schalter init"')


def test_a_database_that_is_away(tmp_path: Path) -> None:
    secret = f"postgresql://schalter:geheim@127.0.0.1:{free_port()}/schalter"
    said = refusal(tmp_path, secret, free_port())
    assert said.startswith("schalter gateway: database postgresql+psycopg://schalter:***@127.0.0.1")
    assert "geheim" not in said


def test_a_certificate_that_is_none(url: str, tmp_path: Path) -> None:
    wrong = tmp_path / "cert.pem"
    wrong.write_text("none")
    keys = {"tls_cert": f'"{wrong}"', "tls_key": f'"{wrong}"'}
    assert f"smtp.tls_cert {wrong}" in refusal(tmp_path, url, free_port(), **keys)
    keys["tls_cert"] = f'"{tmp_path}/missing.pem"'
    assert "No such file or directory" in refusal(tmp_path, url, free_port(), **keys)


LISTENERS = [
    ({"listen": "127.0.0.1:25"}, "smtp.listen 127.0.0.1:25"),
    ({"listen": "[::1]:587"}, "smtp.listen [::1]:587"),
    ({"lmtp_listen": "127.0.0.1:24"}, "smtp.lmtp_listen 127.0.0.1:24"),
    ({"listen": "127.0.0.1:1024", "lmtp_listen": "unix:/run/lmtp"}, None),
    ({"listen": "127.0.0.1:8025"}, None),
]


@pytest.mark.parametrize(("keys", "refused"), LISTENERS)
def test_root_may_not_take_mail_from_outside(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], refused: str | None
) -> None:
    """Threat O5."""
    config = Config(smtp=SmtpSection(**keys))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if refused is None:
        check_account(config)
    else:
        with pytest.raises(ConfigError, match=r"not as root") as error:
            check_account(config)
        assert str(error.value).startswith(refused)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_account(config)


def test_the_log_holds_no_forged_line_and_no_mail(url: str, tmp_path: Path) -> None:
    """Threats O1 and O2: what a client sends is data in a line of JSON, and no body is logged."""
    port = free_port()
    with gateway_program(tmp_path, url, port) as process:
        process.wait_for_port(port)
        with conversation(("127.0.0.1", port)) as client:
            client.play(rf"""{HELLO}
                C: EHLO a\r2026-11-24 ERROR forged
                S: 501 5.5.4 A host name is needed here
                C: EHLO a\n2026-11-24 ERROR forged
                S: 500 5.5.2 Lines end with <CR><LF>
                S: 500 5.5.1 Command not recognised
            """)
        with conversation(("127.0.0.1", port)) as client:
            client.play(f"""{HELLO}
                C: AUTH PLAIN AGFubmEAZ2VoZWltLWtlbm53b3J0
                S: 502 *
                {ENVELOPE}
                C: RCPT TO:<nobody@example.org>
                S: 550 *
                {DATA}
                C: Subject: Geheime Frage
                C:
                C: Geheimer Text
                C: .
                {ACCEPTED}
            """)
        assert process.stop() == 0
        events = [json.loads(line) for line in process.output.splitlines()]
    assert not [line for line in process_lines(events) if "Geheim" in line or "AGFub" in line]
    assert any("nobody@example.org" in event["event"] for event in events)


def process_lines(events: list[dict[str, str]]) -> list[str]:
    """Return all texts of events."""
    return [text for event in events for text in event.values()]
