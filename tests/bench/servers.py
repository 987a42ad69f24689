"""The servers that are measured, each a process of its own on a free port."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.secret_key import ensure_secret_key
from tests.support.processes import RunningProcess, free_port, run_process


@dataclass(frozen=True)
class Server:
    """A running server and where it listens on this machine."""

    port: int
    process: RunningProcess


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
    if not shutil.which("postfix") or os.geteuid():
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="schalter-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "config").mkdir()
        (folder / "spool").mkdir()
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
        (folder / "config/main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {folder}/spool\n"
            f"data_directory = {folder}/data\nmaillog_file = {folder}/log\n"
            f"maillog_file_prefixes = {folder}\nmyhostname = postfix.example\n"
            "mydestination = bench.example\nlocal_recipient_maps =\nlocal_transport = discard\n"
            "mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
            "smtpd_client_connection_count_limit = 0\nmulti_instance_name = postfix-bench\n"
        )
        (folder / "config/master.cf").write_text(_POSTFIX_SERVICES.format(port=port))
        command = ["postfix", "-c", str(folder / "config")]
        started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False)
        if started.returncode:
            yield None
            return
        pid = int((folder / "spool/pid/master.pid").read_text())
        try:
            yield Server(port, _Daemon(pid))  # type: ignore[arg-type]  # it ends itself
        finally:
            subprocess.run([*command, "stop"], capture_output=True, check=True)


@dataclass(frozen=True)
class _Daemon:
    pid: int


_POSTFIX_SERVICES = """\
127.0.0.1:{port} inet n - n - 100 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


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


def peak_memory(pid: int) -> float:
    """Return the largest resident size that a process had, in MiB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
