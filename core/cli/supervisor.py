"""Children that are kept running: what ``serve`` and ``demo`` do after their checks."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.cli.console import Failure
from core.signals import StopSignals

FIRST_DELAY = 0.5  # seconds before a child that ended is started again; doubles each time
LONGEST_DELAY = 30.0
RAN_WELL = 60.0  # seconds after which a child's earlier crashes are forgotten
STARTING = 5.0  # seconds within which an end means that the child cannot start at all
MOST_STARTS = 3  # attempts of a child that never got beyond starting
STOP_SECONDS = 30.0  # the gateway takes up to 20 to finish what is on its way
READY_POLL = 0.05
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """A program of ours: its name, its module, and where it can be reached.

    ``delay`` are the seconds that it lets the others begin before it.
    """

    name: str
    module: str
    where: str
    delay: float = 0.0


@dataclass(slots=True)
class Child:
    """A program with its process, and how often it ended too soon."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0
    ran_well: bool = False
    start_at: float = 0.0  # when to start it (again), on the monotonic clock


@dataclass
class Supervisor:
    """Starts programs, starts again what crashes, and stops them all.

    ``environment`` is added to that of this process. The children's log goes to ``log``, or to
    our own stderr. ``say`` is told what happens, a line at a time.
    """

    programs: Sequence[Program]
    environment: Mapping[str, str]
    say: Callable[[str], None]
    log: IO[bytes] | None = None
    children: list[Child] = field(init=False)

    def __post_init__(self) -> None:
        now = time.monotonic()
        self.children = [Child(program, start_at=now + program.delay) for program in self.programs]

    def run(self, ready: Callable[[], bool] | None = None) -> None:
        """Run until asked to stop; ``ready`` is asked again and again until it says yes.

        Raises ``Failure`` when a program cannot start, or did not stop in time.
        """
        with StopSignals() as signals:
            try:
                while not signals.stopping:
                    self._start_due()
                    if ready is not None and ready():
                        ready = None
                    signals.wait(self._pause(waiting=ready is not None))
                    self._collect()
            finally:
                killed = self._stop(signals)
        if killed:
            raise Failure(f"killed, because it did not stop in time: {', '.join(killed)}")

    def _start_due(self) -> None:
        for child in self.children:
            if child.process is None and child.start_at <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own programs
            # -P: the current folder may hold anything, and nothing of it is to be imported
            [sys.executable, "-P", "-m", child.program.module],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, **self.environment},
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=_end_with_parent,  # safe: this process has one thread
        )
        child.started_at = time.monotonic()
        self.say(f"{child.program.name}: process {child.process.pid}{child.program.where}")

    def _pause(self, *, waiting: bool) -> float:
        """Return how long nothing needs to be done, unless a signal comes."""
        now = time.monotonic()
        due = [child.start_at - now for child in self.children if child.process is None]
        return min([*due, READY_POLL if waiting else 3600.0])

    def _collect(self) -> None:
        """See which children ended, and plan their next start."""
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            status, lasted = child.process.returncode, time.monotonic() - child.started_at
            child.process = None
            child.ran_well = child.ran_well or lasted >= STARTING
            child.crashes = 1 if lasted >= RAN_WELL else child.crashes + 1
            how = f"exit status {status}" if status >= 0 else f"signal {-status}"
            if not child.ran_well and child.crashes >= MOST_STARTS:
                raise Failure(f"{child.program.name} cannot start ({how}){self._last_words()}")
            delay = min(FIRST_DELAY * 2 ** (child.crashes - 1), LONGEST_DELAY)
            child.start_at = time.monotonic() + delay
            self.say(f"{child.program.name}: ended ({how}), starting again in {delay:g} s")

    def _last_words(self) -> str:
        """Return what the child said last that is no log event; on our own stderr it was read."""
        if self.log is None:
            return "; it has said why above"
        lines = Path(self.log.name).read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.strip() and not line.startswith("{")]
        return f": {said[-1]}" if said else f"; see {self.log.name}"

    def _stop(self, signals: StopSignals) -> Sequence[str]:
        """Stop all children; return those that had to be killed.

        A second signal from somebody who does not want to wait kills them at once.
        """
        running = [child for child in self.children if child.process is not None]
        self._signal(running, signal.SIGTERM)
        asked = signals.count
        deadline = time.monotonic() + STOP_SECONDS
        while running and time.monotonic() < deadline and signals.count <= max(asked, 1):
            signals.wait_for_any(min(deadline - time.monotonic(), 0.2))
            running = [child for child in running if child.process and child.process.poll() is None]
        self._signal(running, signal.SIGKILL)
        for child in running:
            assert child.process is not None
            child.process.wait()
        return [child.program.name for child in running]

    @staticmethod
    def _signal(children: Sequence[Child], number: signal.Signals) -> None:
        for child in children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)


def _end_with_parent() -> None:
    """Have this new process stopped when the supervisor dies without a chance to say so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
