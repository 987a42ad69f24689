"""The portal as a program: it starts, serves, stops, and says in one line why it cannot."""

import http.client
import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from core.db import Database
from core.models import Setting
from core.secret_key import ensure_secret_key
from tests.support.portal import fill
from tests.support.processes import RunningProcess, free_port, run_process


@contextmanager
def program(
    database: Database, folder: Path, port: int, **variables: str
) -> Iterator[RunningProcess]:
    environment = {
        "SCHALTER_DATABASE__URL": database.url.render_as_string(hide_password=False),
        "SCHALTER_WEB__LISTEN": f"127.0.0.1:{port}",
        "SCHALTER_SECRET_KEY_FILE": str(folder / "secret.key"),
        **variables,
    }
    with run_process(sys.executable, "-m", "portal", env=environment) as process:
        yield process


@pytest.fixture
def ready(sqlite_database: Database, tmp_path: Path) -> Database:
    fill(sqlite_database)
    ensure_secret_key(str(tmp_path / "secret.key"))
    return sqlite_database


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Message
    body: bytes


def ask(
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request(method, path, body=body or None, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def test_it_serves_and_stops(ready: Database, tmp_path: Path) -> None:
    port = free_port()
    with program(ready, tmp_path, port) as process:
        process.wait_for_port(port)
        answer = ask(port, "/sign-in")
        assert answer.status == 200
        assert "Server" not in answer.headers or "waitress" not in answer.headers["Server"]
        assert b"Beispiel Support" in answer.body
        assert ask(port, "/tickets").headers["Location"] == "/sign-in?next=/tickets"
        assert process.stop(signal.SIGTERM) == 0
        events = [json.loads(line)["event"] for line in process.output.splitlines()]
        assert events[0] == f"listening on 127.0.0.1:{port}"
        assert events[-1] == "stopped"


def test_a_port_in_use_is_said_in_one_line(ready: Database, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with program(ready, tmp_path, port) as process:
            assert process.child.wait(60) == 1
            line = f"portal: web.listen 127.0.0.1:{port}: Address already in use\n"
            assert process.output == line


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SCHALTER_SECRET_KEY_FILE": "/nowhere/key"}, "secret_key_file: /nowhere/key: no such"),
        ({"SCHALTER_DATABASE__URL": "sqlite:////proc/nothing.db"}, "unable to open database file"),
        ({"SCHALTER_DATABASE__URL": "sqlite:///EMPTY"}, 'run "schalter init"'),
        ({"SCHALTER_WEB__LISTEN": "here"}, "web.listen"),
        ({"SCHALTER_WEB__LISTEN": "192.0.2.1:8080"}, "web.listen 192.0.2.1:8080: "),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_one_line(
    ready: Database, tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    given = {
        key: value.replace("EMPTY", str(tmp_path / "empty.db")) for key, value in variables.items()
    }
    with program(ready, tmp_path, free_port(), **given) as process:
        assert process.child.wait(60) == 1
        assert reason in process.output
        assert process.output.startswith("portal: ")
        assert process.output.count("\n") == 1


def test_a_proxy_is_believed_only_where_there_is_one(ready: Database, tmp_path: Path) -> None:
    port = free_port()
    https = {"SCHALTER_WEB__PUBLIC_URL": "https://support.example.org/hilfe"}
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.99"}
    with program(ready, tmp_path, port, SCHALTER_WEB__TRUSTED_PROXIES="1", **https) as process:
        process.wait_for_port(port)
        answer = ask(port, "/hilfe/sign-in", headers)
        assert answer.status == 200
        assert b'href="/hilfe/static/app.css' in answer.body
        assert "__Host-form=" in answer.headers["Set-Cookie"]


def test_it_follows_the_limit_of_uploads(ready: Database, tmp_path: Path) -> None:
    port = free_port()
    with program(ready, tmp_path, port) as process:
        process.wait_for_port(port)
        body = {"Content-Length": str(300 * 10**6)}
        assert b"<!doctype html>" not in ask(port, "/sign-in", body, "POST").body  # waitress' own
        with ready.write() as session:
            session.add(Setting(key="upload_max_bytes", value=10**9))
        assert ask(port, "/sign-in").status == 200
        page = ask(port, "/sign-in", {**body, "Content-Length": "100000"}, "POST", b"x" * 100_000)
        assert page.status == 413
        assert b"<!doctype html>" in page.body


def test_a_header_block_that_is_too_big_is_refused(ready: Database, tmp_path: Path) -> None:
    port = free_port()
    with program(ready, tmp_path, port) as process:
        process.wait_for_port(port)
        assert ask(port, "/sign-in", {"X-Big": "x" * 60_000}).status == 431
        body = {
            "Content-Length": str(2 * 10**9),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        assert ask(port, "/sign-in", body, "POST").status == 413
