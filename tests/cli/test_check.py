"""``schalter check``: one line for each, status 1 if any failed, and quick without a network."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from socket import create_server
from threading import Event

import pytest

from core import health
from core.config import Config, RelaySection, SmtpSection
from core.db import Database
from core.health import State, check_database, check_disk, check_dns, check_outbox, check_relay
from core.models import OutgoingMail, now
from core.secret_key import ensure_secret_key
from core.words import OutgoingKind, OutgoingState
from tests.cli.conftest import Installation, one_line
from tests.support.relay import Script, run_relay

NAMES = ["configuration", "database", "migrations", "outbox", "disk", "relay", "dns"]


def test_all_is_in_order(small_installation: Installation) -> None:
    result = small_installation.run("check", SCHALTER_SMTP__HOSTNAME="localhost")
    assert result.exit_code == 0, result.output
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        [name, "warning" if name == "relay" else "ok"] for name in NAMES
    ]
    assert "not configured: outgoing mail waits" in result.stdout


def test_json_has_the_same(small_installation: Installation) -> None:
    told = small_installation.json("check")
    assert [check["name"] for check in told["checks"]] == NAMES
    assert set(told["checks"][0]) == {"name", "state", "text"}


# The environment, which check fails, and with what.
FAILING = [
    ({"SCHALTER_SECRET_KEY_FILE": "none.key"}, "configuration", "no such file"),
    ({"SCHALTER_WEB__LISTN": "x"}, "configuration", "unknown key web.listn"),
    ({"SCHALTER_SMTP__TLS_CERT": "a", "SCHALTER_SMTP__TLS_KEY": "b"}, "configuration", "tls_cert"),
    (
        {"SCHALTER_RELAY__USERNAME": "x", "SCHALTER_RELAY__PASSWORD_FILE": "none"},
        "configuration",
        "relay.password_file: none",
    ),
    ({"SCHALTER_RELAY__USERNAME": "x"}, "configuration", "relay: username and password_file"),
    ({"SCHALTER_RELAY__HOST": "a b"}, "configuration", "relay.host: must be a host name"),
    ({"SCHALTER_RELAY__CA_FILE": "none.pem"}, "configuration", "relay.ca_file: none.pem"),
    ({"SCHALTER_DATABASE__URL": "sqlite:///none.db"}, "database", "no such file yet"),
    ({"SCHALTER_DATABASE__URL": "nonsense"}, "database", "Could not parse"),
    ({"SCHALTER_DATABASE__URL": "postgresql://x@127.0.0.1:1/x"}, "database", "127.0.0.1:1"),
    ({"SCHALTER_RELAY__HOST": "127.0.0.1", "SCHALTER_RELAY__PORT": "1"}, "relay", "refused"),
    ({"SCHALTER_SMTP__HOSTNAME": "no.such.host.invalid"}, "dns", "no.such.host.invalid"),
]


@pytest.mark.parametrize(
    ("env", "name", "text"), FAILING, ids=[f"{name}: {text}" for _env, name, text in FAILING]
)
def test_what_fails_is_told(
    env: dict[str, str], name: str, text: str, small_installation: Installation
) -> None:
    result = small_installation.run("check", **env)
    assert result.exit_code == 1
    (line,) = (each for each in result.stdout.splitlines() if each.split()[1] == "failed")
    assert line.startswith(name)
    assert text in line
    assert one_line(result) == f"schalter: failed: {name}"
    assert not Path("none.db").exists()


def test_an_empty_database_needs_init(small_installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    result = small_installation.run(
        "check", SCHALTER_DATABASE__URL=f"sqlite:///{tmp_path}/empty.db"
    )
    assert result.exit_code == 1
    assert 'is empty, this program needs 0009: run "schalter init"' in result.stdout


def test_postgresql_that_may_lose_commits_is_a_failure(postgresql_database: Database) -> None:
    """The tests' own server is set up so, for speed."""
    check = check_database(postgresql_database)
    assert check.state is State.FAILED
    assert "fsync is off, synchronous_commit is off" in check.text


def test_a_disk_that_is_nearly_full(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(smtp=SmtpSection(max_message_bytes=1_000_000_000))
    assert check_disk(config, sqlite_database).state is State.OK
    monkeypatch.setattr(health, "LEAST_FREE", 10**18)
    assert check_disk(config, sqlite_database).state is State.FAILED


@pytest.mark.parametrize(
    ("script", "state", "text"),
    [
        ({}, State.OK, "answers"),
        ({"greeting": b"554 go away"}, State.FAILED, "it greets with 554 go away"),
        ({"greeting": b"what"}, State.FAILED, "no SMTP"),
        ({"EHLO": b"451 later"}, State.FAILED, "it answers EHLO with 451 later"),
    ],
)
def test_a_relay_is_visited(script: dict[str, bytes], state: State, text: str) -> None:
    with run_relay(Script(script)) as found:
        relay = RelaySection(host="127.0.0.1", port=found.port, tls="none")
        check = check_relay(Config(relay=relay))
    assert check.state is state
    assert text in check.text
    assert not found.messages


def test_mail_that_does_not_leave_is_a_warning(sqlite_database: Database) -> None:
    assert check_outbox(sqlite_database).text == "0 waiting, 0 not sent"
    with sqlite_database.write() as session:
        for state, age in ((OutgoingState.WAITING, 2), (OutgoingState.FAILED, 9)):
            session.add(
                OutgoingMail(
                    kind=OutgoingKind.REPLY,
                    state=state,
                    recipient="anna@muster.example",
                    recipient_key="anna@muster.example",
                    created_at=now() - timedelta(hours=age),
                )
            )
    check = check_outbox(sqlite_database)
    assert check.state is State.WARNING
    assert check.text == "1 waiting, 1 not sent, the oldest waits for 2.0 h"


def test_nothing_outside_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing, and a look-up that does not come back."""
    monkeypatch.setattr(health, "SECONDS", 0.2)
    with closing(create_server(("127.0.0.1", 0))) as server:
        relay = RelaySection(host="127.0.0.1", port=server.getsockname()[1], tls="none")
        check = check_relay(Config(relay=relay))
    assert check.state is State.FAILED
    assert "timed out" in check.text or "no answer" in check.text
    over, ended = Event(), list[bool]()
    monkeypatch.setattr(
        health.socket, "getaddrinfo", lambda *_args, **_more: ended.append(over.wait(60))
    )
    chosen = check_dns(Config(smtp=SmtpSection(hostname="slow.example")))
    assert ended == []  # nobody has waited for it
    over.set()
    assert chosen.state is State.FAILED
    assert "no answer within 0.2 s" in chosen.text


def test_a_name_that_nobody_chose_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_more: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(health.socket, "getaddrinfo", unknown)
    assert check_dns(Config()).state is State.WARNING


def test_a_key_that_others_may_read(small_installation: Installation, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    ensure_secret_key(str(key))
    key.chmod(0o644)
    result = small_installation.run("check", SCHALTER_SECRET_KEY_FILE=str(key))
    assert "others may read it" in result.stdout
    assert result.exit_code == 1
