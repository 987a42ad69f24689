"""``schalter serve`` and ``demo`` as the real programs, with real children."""

import re
import shlex
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from urllib.request import urlopen

import pytest
from sqlalchemy import func, select

from core.db import Database
from core.models import Delivery, Mail, Ticket
from core.words import HeldState
from tests.cli.conftest import SCHALTER, Installation, one_line
from tests.intake.firm import a_firm
from tests.support.processes import RunningProcess, free_port, run_process

MAIL = b"From: anna@muster.example\r\nTo: vertrieb@example.org\r\nSubject: Hallo\r\n\r\nText\r\n"


def port(installation: Installation, name: str) -> int:
    """Return a port that the installation listens on."""
    return int(installation.env[f"SCHALTER_{name}__LISTEN"].rpartition(":")[2])


@contextmanager
def serving(installation: Installation, *arguments: str) -> Iterator[RunningProcess]:
    """Run ``schalter serve`` while the block lasts."""
    with run_process(
        SCHALTER, *arguments, env=installation.env, cwd=installation.folder
    ) as process:
        yield process


def child(process: RunningProcess, name: str) -> int:
    """Return the process id of the newest child of this name."""
    return int(re.findall(rf"^{name}: process (\d+)", process.output, re.MULTILINE)[-1])


@pytest.mark.slow
def test_it_serves_mail_and_pages_and_stops(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    smtp, web = port(installation, "SMTP"), port(installation, "WEB")
    with serving(installation, "serve") as process:
        process.wait_for_port(smtp)
        process.wait_for_port(web)
        with smtplib.SMTP("127.0.0.1", smtp) as client:
            client.sendmail("anna@muster.example", "vertrieb@example.org", MAIL)
        with urlopen(f"http://127.0.0.1:{web}/sign-in", timeout=20) as page:
            assert page.status == 200
        assert process.stop() == 0, process.output
    with installation.database.read() as session:
        assert session.scalars(select(Ticket.subject)).all() == ["Hallo"]


@pytest.mark.slow
def test_a_gateway_that_is_killed_comes_back(small_installation: Installation) -> None:
    smtp = port(small_installation, "SMTP")
    with serving(small_installation, "serve", "--only", "gateway") as process:
        process.wait_for_port(smtp)
        subprocess.run(["kill", "-9", str(child(process, "gateway"))], check=True)
        process.wait_for_output("gateway: ended (signal 9), starting again in 0.5 s")
        process.wait_for(lambda: process.output.count("gateway: process") == 2, "second gateway")
        process.wait_for_port(smtp)
        assert "portal" not in process.output
        assert process.stop(signal.SIGINT) == 0, process.output


@pytest.mark.slow
def test_a_second_instance_is_refused(small_installation: Installation) -> None:
    with serving(small_installation, "serve", "--only", "worker") as process:
        process.wait_for_output("worker: process")
        second = small_installation.process("serve", "--only", "worker")
        assert second.returncode == 1
        assert f"already being served by process {process.pid} (worker)" in second.stderr
        assert process.stop() == 0, process.output


# What is wrong, and what is said before anything starts.
NOT_STARTED = [
    ({"SCHALTER_SMTP__LISTN": "x:1"}, "environment: SCHALTER_SMTP__LISTN: unknown key smtp.listn"),
    ({"SCHALTER_SECRET_KEY_FILE": "none.key"}, 'none.key: no such file: run "schalter init"'),
    ({"SCHALTER_DATABASE__URL": "sqlite:///none.db"}, 'no such file yet: run "schalter init"'),
    ({"SCHALTER_DATABASE__URL": "sqlite:////"}, "database sqlite:////: "),
    ({"SCHALTER_DATABASE__URL": "mysql://a/b"}, "mysql is neither sqlite nor postgresql"),
    ({"SCHALTER_DATABASE__URL": "x"}, "database.url: Could not parse"),
    (
        {"SCHALTER_DATABASE__URL": "postgresql://schalter:geheim@127.0.0.1:1/x"},
        "database postgresql+psycopg://schalter:***@127.0.0.1:1/x: ",
    ),
    ({"SCHALTER_SMTP__LISTEN": "192.0.2.1:25"}, "smtp.listen: cannot listen on 192.0.2.1:25: "),
    ({"SCHALTER_WEB__LISTEN": "no.such.host.invalid:80"}, "web.listen: cannot listen on no.such."),
]


@pytest.mark.parametrize(
    ("env", "told"), NOT_STARTED, ids=[told[:40] for _env, told in NOT_STARTED]
)
def test_what_is_in_the_way_is_told(
    env: dict[str, str], told: str, small_installation: Installation
) -> None:
    result = small_installation.run("serve", **env)
    assert result.exit_code == 1
    assert told in one_line(result)
    assert "geheim" not in result.output
    assert "process" not in result.stdout
    assert not Path("none.db").exists()


@pytest.mark.parametrize("key", ["SMTP", "WEB"])
def test_a_port_in_use_is_told(key: str, small_installation: Installation) -> None:
    with create_server(("127.0.0.1", port(small_installation, key))):
        result = small_installation.run("serve")
    address = small_installation.env[f"SCHALTER_{key}__LISTEN"]
    assert one_line(result) == (
        f"schalter: {key.lower()}.listen: cannot listen on {address}: is in use"
    )


def test_an_unknown_program_is_wrong_use(small_installation: Installation) -> None:
    assert small_installation.run("serve", "--only", "mailer").exit_code == 2


@pytest.fixture
def demonstration(tmp_path: Path) -> Installation:
    """A folder in which nothing was ever started."""
    env = {
        "SCHALTER_SMTP__LISTEN": f"127.0.0.1:{free_port()}",
        "SCHALTER_WEB__LISTEN": f"127.0.0.1:{free_port()}",
    }
    return Installation(tmp_path, Database(f"sqlite:///{tmp_path}/var/schalter.db"), env)


@pytest.mark.slow
def test_the_demonstration(demonstration: Installation) -> None:
    with serving(demonstration, "demo") as process:
        process.wait_for_output("Ctrl-C stops everything.", 60)
        told = process.output
        assert f"http://127.0.0.1:{port(demonstration, 'WEB')}/\n" in told
        assert re.search(r"^  admin +schalter-demo +Anke Petersen \(admin\)$", told, re.MULTILINE)
        (line,) = (text for text in told.splitlines() if text.startswith("  python3 -c "))
        for _time in range(2):  # the same line twice is two mails
            subprocess.run(shlex.split(line), check=True, cwd=demonstration.folder)
        assert process.stop(signal.SIGINT) == 0, process.output
    assert held_and_tickets(demonstration.database) == (10, 2, 8)
    with serving(demonstration, "demo") as process:
        process.wait_for_output("Ctrl-C stops everything.", 60)
        assert process.stop() == 0, process.output
    assert held_and_tickets(demonstration.database) == (10, 2, 8)
    with demonstration.database.read() as session:
        reasons = session.scalars(
            select(Delivery.reason).where(Delivery.held == HeldState.WAITING).order_by(Delivery.id)
        ).all()
    assert reasons == ["queue-forbidden", "stranger"]


def held_and_tickets(database: Database) -> tuple[int, int, int]:
    """Return the numbers of mails, of held ones, and of tickets."""
    with database.read() as session:
        return (
            session.scalar(select(func.count()).select_from(Mail)) or 0,
            session.scalar(select(func.count()).where(Delivery.held == HeldState.WAITING)) or 0,
            session.scalar(select(func.count()).select_from(Ticket)) or 0,
        )


def test_the_demonstration_leaves_a_database_in_use_alone(
    small_installation: Installation,
) -> None:
    a_firm(small_installation.database)
    result = small_installation.run("demo")
    assert result.exit_code == 1
    assert "it is in use, and the sample organisation has passwords that everybody" in one_line(
        result
    )


@pytest.mark.parametrize("address", ["0.0.0.0:8025", "[::]:8025", "no.such.host.invalid:8025"])
@pytest.mark.parametrize("key", ["SMTP", "WEB"])
def test_the_demonstration_is_on_this_machine_only(
    key: str, address: str, demonstration: Installation
) -> None:
    result = demonstration.run("demo", **{f"SCHALTER_{key}__LISTEN": address})
    assert result.exit_code == 1
    assert "a loopback address only" in one_line(result)
    assert not (demonstration.folder / "var" / "schalter.db").exists()
