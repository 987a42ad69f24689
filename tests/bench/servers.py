"""The servers that are measured, each a process of its own on a free port."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.secret_key import ensure_secret_key
from tests.support.postfix import NoPostfix, run_postfix
from tests.support.processes import RunningProcess, free_port, run_process


@dataclass(frozen=True)
class Server:
    """A running server, where it listens, and its process where it is one of ours."""

    port: int
    process: RunningProcess | None = None

    @property
    def peak_memory(self) -> float:
        """The largest resident size that the process had, in MiB."""
        assert self.process is not None
        return self.process.peak_memory / 2**20


@contextmanager
def yardstick(name: str) -> Iterator[Server]:
    """Give ``bare_smtp`` or ``bare_page``, the modules that say what they are."""
    port = free_port()
    with run_process(sys.executable, "-m", f"tests.bench.{name}", str(port)) as process:
        process.wait_for_port(port)
        yield Server(port, process)


@contextmanager
def program(name: str, url: str, folder: Path) -> Iterator[Server]:
    """Give ``gateway`` or ``portal`` on a database; every client counts as a relay of ours.

    A trusted relay has no limit of ten connections, and the bare server has none either.
    """
    port = free_port()
    key = folder / "secret.key"
    ensure_secret_key(str(key))
    env = {
        "SCHALTER_DATABASE__URL": url,
        "SCHALTER_SECRET_KEY_FILE": str(key),
        "SCHALTER_SMTP__LISTEN": f"127.0.0.1:{port}",
        "SCHALTER_SMTP__TRUSTED_RELAYS": '["127.0.0.1/32"]',
        "SCHALTER_SMTP__MAILS_PER_SENDER": "0",  # the load comes from few senders
        "SCHALTER_SMTP__MAILS_PER_DOMAIN": "0",
        "SCHALTER_WEB__LISTEN": f"127.0.0.1:{port}",
    }
    with run_process(sys.executable, "-m", name, env=env) as process:
        process.wait_for_port(port)
        yield Server(port, process)
        process.stop()


@contextmanager
def postfix_to_discard() -> Iterator[Server | None]:
    """Give a Postfix of our own: smtpd, queue, discard; None where it cannot be run."""
    main_cf = "mydestination = bench.example\nlocal_recipient_maps =\nlocal_transport = discard\n"
    with tempfile.TemporaryDirectory(prefix="schalter-postfix-") as name, ExitStack() as stack:
        try:
            port = stack.enter_context(run_postfix(Path(name), main_cf, "discard"))
        except NoPostfix:
            yield None
            return
        yield Server(port)


def send_load(port: int, connections: int, mails: int, kind: str, first: int) -> dict[str, Any]:
    """Send mails; return the figures of ``smtp_load``.

    Raises ``RuntimeError`` when a mail was refused: a rate of refusals says nothing.
    """
    figures = run_load("smtp_load", port, connections, mails, kind, first)
    if figures["refused"]:
        raise RuntimeError(f"{figures['refused']} refused: {figures['first_refusal']}")
    return figures


def run_load(name: str, *arguments: int | str) -> dict[str, Any]:
    """Run a load client in a process of its own and return what it measured."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
