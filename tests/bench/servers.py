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
        """The largest resident size that the process had, in MiB (Linux)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


@contextmanager
def bare_smtp() -> Iterator[Server]:
    """Give the yardstick for intake: aiosmtpd with a handler that does nothing."""
    port = free_port()
    with run_process(sys.executable, "-m", "tests.bench.bare_smtp", str(port)) as process:
        process.wait_for_port(port)
        yield Server(port, process)


@contextmanager
def bare_page() -> Iterator[Server]:
    """Give the yardstick for pages: Flask with one small template on the same server."""
    port = free_port()
    with run_process(sys.executable, "-m", "tests.bench.bare_page", str(port)) as process:
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
    """Send mails from a process of its own; return its figures.

    Raises ``RuntimeError`` when a mail was refused: a rate of refusals says nothing.
    """
    command = [sys.executable, "-m", "tests.bench.smtp_load"]
    arguments = [str(port), str(connections), str(mails), kind, str(first)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["refused"]:
        raise RuntimeError(f"{figures['refused']} refused: {figures['first_refusal']}")
    return figures
