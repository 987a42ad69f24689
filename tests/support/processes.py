"""Real child processes: started on free ports, ended by their process id."""

import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

START_SECONDS = 60.0  # on a machine however busy
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
PORTS = range(12_000, 32_000)  # below those that Linux gives away by itself
WORKERS = 16  # that have ports of their own


class ProcessFailed(AssertionError):
    """A child process did not do what it was started for; the message shows its output."""


@dataclass(frozen=True)
class RunningProcess:
    """A child process with its output so far, stdout and stderr together."""

    child: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def peak_memory(self) -> int:
        """The largest resident size so far, in bytes (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end and return its exit status; kill it after ``STOP_SECONDS``."""
        if self.child.poll() is None:
            self.child.send_signal(sign)
        try:
            return self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(
                f"{self.child.args!r} did not stop on {sign.name}:\n{self.output}"
            ) from None

    def kill(self) -> None:
        """End the process and all it started, without a chance to tidy up, as a power cut does."""
        _kill_group(self.child.pid)
        self.child.wait()

    def wait_for(
        self, ready: Callable[[], bool], what: str, seconds: float = START_SECONDS
    ) -> None:
        """Return as soon as ``ready()``; raise ``ProcessFailed`` when the process ends before."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.child.poll() is not None:
                raise ProcessFailed(
                    f"{self.child.args!r} ended with {self.child.returncode} before {what}:\n"
                    f"{self.output}"
                )
            if time.monotonic() > deadline:
                raise ProcessFailed(f"no {what} after {seconds:g} s:\n{self.output}")
            time.sleep(POLL_SECONDS)

    def wait_for_port(self, port: int, seconds: float = START_SECONDS) -> None:
        """Return as soon as ``port`` of this machine answers."""
        self.wait_for(lambda: accepts_connections(port), f"answer on port {port}", seconds)

    def wait_for_output(self, text: str, seconds: float = START_SECONDS) -> None:
        """Return as soon as the process has written ``text``."""
        self.wait_for(lambda: text in self.output, f"{text!r} in the output", seconds)


@contextmanager
def run_process(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    owner: int | None = None,
    groups: Sequence[int] | None = None,
) -> Iterator[RunningProcess]:
    """Run ``command`` while the block lasts; whatever of it still lives then is killed.

    ``env`` is added to this process' environment. ``owner`` and ``groups`` are the numbers of the
    account it runs as; only root may give them. stdin is empty.
    """
    with tempfile.TemporaryDirectory(prefix="schalter-process-") as folder:
        log = Path(folder) / "output"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,  # so that what it starts can be ended with it
                user=owner,
                group=groups[0] if groups else None,
                extra_groups=groups,
            )
        try:
            yield RunningProcess(child, log)
        finally:
            _kill_group(child.pid)
            child.wait()


def free_port() -> int:
    """Return a port that nobody listens on, and that is still free when it is used.

    The system gives none of ``PORTS`` to a connection or to who asks for any port, a worker of
    pytest-xdist has a share of them to itself, and none comes twice before all have been used.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _ports() -> Iterator[int]:
    """Go round this worker's share of ``PORTS`` for ever, from somewhere.

    Somewhere, because tests may run twice on one machine.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = PORTS[worker % WORKERS :: WORKERS]
    first = secrets.randbelow(len(share))
    return cycle([*share[first:], *share[:first]])


_PORTS = _ports()


def accepts_connections(port: int) -> bool:
    """Say whether somebody answers on ``port`` of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_port(port: int, seconds: float = START_SECONDS) -> None:
    """Return as soon as ``port`` answers, for servers in a thread of this process."""
    wait_until(lambda: accepts_connections(port), f"answer on port {port}", seconds)


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return as soon as ``ready()``; raise ``ProcessFailed`` when that takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"no {what} after {seconds:g} s")
        time.sleep(POLL_SECONDS)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
