"""Promise 1, looked at from outside the process: on the disk before the 250 (threats S1, B2)."""

import shutil
import signal
from pathlib import Path

import pytest

from core.db import Database
from tests.gateway.program import gateway_program
from tests.gateway.running import DATA, ENVELOPE, HELLO, MESSAGE
from tests.gateway.transcripts import conversation
from tests.intake.firm import a_firm
from tests.support.processes import free_port

CALLS = "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"


@pytest.mark.slow
def test_every_250_comes_after_the_flush(sqlite_database: Database, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("order of flush and reply: strace is not installed")
    a_firm(sqlite_database, sender_policy="open")
    port, trace = free_port(), tmp_path / "trace"
    # -D: strace is the child of the gateway, so that signals reach the gateway.
    tracing = (strace, "-D", "-f", "-y", "-s", "80", "-e", CALLS, "-o", trace)
    with gateway_program(tmp_path, sqlite_database.address, port, *tracing) as process:
        process.wait_for_port(port)
        with conversation(("127.0.0.1", port)) as client:
            client.play(HELLO)
            for number in range(5):
                message = MESSAGE.replace("Frage", f"Frage {number}")
                client.play(f"{ENVELOPE}{DATA}{message}S: 250 2.0.0 Accepted as *")
            client.play("C: QUIT\nS: 221 *")
        process.child.send_signal(signal.SIGTERM)
        process.child.wait(60)
        found = flushed_at_replies(trace.read_text(errors="replace"))
    assert found == [True] * 5


def flushed_at_replies(trace: str) -> list[bool]:
    """Return, for each reply to a message, whether all that was written before is on the disk."""
    found = []
    flushed = False
    for line in trace.splitlines():
        if "pwrite64(" in line and "-wal>" in line:
            flushed = False
        elif "sync" in line and line.endswith("= 0") and ("-wal>" in line or "resumed" in line):
            flushed = True
        elif '"250 2.0.0 Accepted as' in line:
            found.append(flushed)
    return found


WRITE = "7 pwrite64(9</x/schalter.db-wal>, ..., 4096, 32) = 4096\n"
FLUSH = "7 fdatasync(9</x/schalter.db-wal>) = 0\n"
FLUSH_BEGINS = "7 fdatasync(9</x/schalter.db-wal> <unfinished ...>\n"
FLUSH_ENDS = "7 <... fdatasync resumed>) = 0\n"
REPLY = '6 write(8<socket:[1]>, "250 2.0.0 Accepted as x\\r\\n", 27) = 27\n'

TRACES = [
    (WRITE + FLUSH + REPLY, [True]),
    (WRITE + FLUSH_BEGINS + FLUSH_ENDS + REPLY, [True]),
    (WRITE + REPLY + FLUSH, [False]),
    (WRITE + FLUSH_BEGINS + REPLY + FLUSH_ENDS, [False]),
    (WRITE + FLUSH + WRITE + REPLY, [False]),
    (WRITE + FLUSH + REPLY + WRITE + REPLY, [True, False]),
]


@pytest.mark.parametrize(("trace", "expected"), TRACES)
def test_a_trace_is_read_rightly(trace: str, expected: list[bool]) -> None:
    assert flushed_at_replies(trace) == expected
