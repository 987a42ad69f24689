"""The supervisor: starts again what crashes, gives up on what cannot start, stops all."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import RunningProcess, run_process, wait_until

SUPERVISE = """
import sys
import click
from core.cli import supervisor
from core.cli.console import Failure
from core.cli.supervisor import Program, Supervisor

supervisor.FIRST_DELAY = 0.1
supervisor.STARTING, supervisor.STOP_SECONDS = float(sys.argv[1]), float(sys.argv[2])
names = sys.argv[3:]
try:
    Supervisor([Program(n, n, "") for n in names], {"PYTHONPATH": "."}, click.echo).run()
except Failure as failure:
    failure.show()
    sys.exit(1)
print("stopped")
"""
STEADY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("steady", os.getpid(), os.getppid(), flush=True)
time.sleep(60)
"""
STUBBORN = STEADY.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN").replace("steady", "stubborn")
HOPELESS = "import sys\nsys.exit('hopeless: no such key')\n"
LONG = 120.0  # seconds; no test lasts as long


def supervise(*names: str, starting: float = 0.5, stopping: float = 5.0) -> list[str]:
    """Return the command that supervises programs, with the seconds that they have for each."""
    return [sys.executable, "-c", SUPERVISE, str(starting), str(stopping), *names]


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("steady", STEADY), ("stubborn", STUBBORN), ("hopeless", HOPELESS)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "core").symlink_to(Path(__file__).parents[2] / "core")
    monkeypatch.chdir(tmp_path)


def pids(process: RunningProcess, name: str) -> list[int]:
    """Return the process ids that a child has had, in order."""
    lines = [line.split() for line in process.output.splitlines()]
    return [int(words[1]) for words in lines if len(words) == 3 and words[0] == name]


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def has_ended_on(sign: signal.Signals, process: RunningProcess) -> bool:
    """Send a signal once more, and return whether the process has ended."""
    process.child.send_signal(sign)
    return process.child.poll() is not None


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_with_its_children(sign: signal.Signals) -> None:
    with run_process(*supervise("steady")) as process:
        process.wait_for(lambda: bool(pids(process, "steady")), "child")
        assert process.stop(sign) == 0, process.output
        assert "stopped" in process.output
        assert not is_alive(pids(process, "steady")[0])


def test_a_child_that_crashes_is_started_again() -> None:
    with run_process(*supervise("steady")) as process:
        for times in (1, 2, 3, 4):
            process.wait_for(lambda times=times: len(pids(process, "steady")) == times, "child")
            if times == 1:
                time.sleep(0.6)  # it has run well once: it is never given up
            os.kill(pids(process, "steady")[-1], signal.SIGKILL)
        process.wait_for(lambda: len(pids(process, "steady")) == 5, "child")
        delays = [line for line in process.output.splitlines() if "starting again" in line]
        assert [line.rpartition(" in ")[2] for line in delays] == [
            "0.1 s", "0.2 s", "0.4 s", "0.8 s",
        ]  # fmt: skip
        assert "steady: ended (signal 9)" in delays[0]
        assert process.stop() == 0


def test_a_child_that_cannot_start_ends_all() -> None:
    with run_process(*supervise("steady", "hopeless", starting=LONG)) as process:
        assert process.child.wait(60) == 1
        lines = process.output.splitlines()
        assert lines[-1] == (
            "schalter: hopeless cannot start (exit status 1); it has said why above"
        )
        assert lines.count("hopeless: no such key") == 3
        assert not is_alive(pids(process, "steady")[0])


def test_a_child_that_does_not_stop_is_killed() -> None:
    with run_process(*supervise("steady", "stubborn")) as process:
        process.wait_for(lambda: bool(pids(process, "stubborn")), "child")
        assert process.stop() == 1
        assert "killed, because it did not stop in time: stubborn" in process.output
        assert not is_alive(pids(process, "stubborn")[0])


def test_a_second_signal_does_not_wait() -> None:
    with run_process(*supervise("stubborn", stopping=LONG)) as process:
        process.wait_for(lambda: bool(pids(process, "stubborn")), "child")
        wait_until(lambda: has_ended_on(signal.SIGINT, process), "end")


def test_children_do_not_outlive_a_supervisor_that_was_killed() -> None:
    with run_process(*supervise("steady")) as process:
        process.wait_for(lambda: bool(pids(process, "steady")), "child")
        pid = pids(process, "steady")[0]
        process.child.kill()
        process.child.wait()
        wait_until(lambda: not is_alive(pid), "end of the child")
