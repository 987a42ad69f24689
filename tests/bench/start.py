"""The bar of the second start: from the command to the first page."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.report import Bar, at_most
from tests.support.processes import free_port, run_process


def measure() -> Iterator[Bar]:
    """Start the demonstration twice in a new folder; the second start counts."""
    with tempfile.TemporaryDirectory(prefix="schalter-start-") as name:
        seconds = [_start(Path(name)) for _time in range(2)]
    yield at_most(
        "second start to the first page", seconds[1], 3, f"first {seconds[0]:.1f} s", " s"
    )


def _start(folder: Path) -> float:
    web = free_port()
    env = {
        "SCHALTER_WEB__LISTEN": f"127.0.0.1:{web}",
        "SCHALTER_SMTP__LISTEN": f"127.0.0.1:{free_port()}",
    }
    started = time.perf_counter()
    command = [Path(sys.executable).with_name("schalter"), "demo"]
    with run_process(*command, env=env, cwd=folder) as process:
        process.wait_for(lambda: _answers(web), "page", 90)
        seconds = time.perf_counter() - started
        process.wait_for_output("python", 90)  # the sample mails are sent by then
        process.stop()
    return seconds


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False
