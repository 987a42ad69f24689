"""What makes the tests quick, and changes nothing that they show.

The folders of tests are in memory where there is room: most of what they do is to make databases
and to wait for the disk. There is one worker more than processors, for each waits half of its time
for servers and browsers. The longest files come first, for the run ends when its last worker does.
Collecting garbage leaves alone what lives as long as the run.
"""

import gc
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

IN_MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3  # bytes; at several looks during a run a tenth of it was used
SECONDS = {"slow": 20.0, "browser": 3.0, "postgresql": 0.5, "mariadb": 0.5}  # a guess by mark
SECONDS_OF_OTHERS = 0.1


def pytest_configure() -> None:
    if "TMPDIR" not in os.environ and _is_fit(IN_MEMORY):
        os.environ["TMPDIR"] = str(IN_MEMORY)  # for the programs that tests start
        tempfile.tempdir = str(IN_MEMORY)


def pytest_xdist_auto_num_workers() -> int:
    return len(os.sched_getaffinity(0)) + 1


# After the marks that other plug-ins give.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seconds: dict[Path, float] = defaultdict(float)
    for item in items:
        seconds[item.path] += _seconds(item)
    items.sort(key=lambda item: -seconds[item.path])  # stable: within a file nothing moves


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


def _is_fit(folder: Path) -> bool:
    """Say whether a folder has room for the tests, and lets the programs run that they write."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    room = found.f_bavail * found.f_frsize
    return room >= ROOM and os.access(folder, os.W_OK) and not found.f_flag & os.ST_NOEXEC


def _seconds(item: pytest.Item) -> float:
    return max(
        (SECONDS.get(mark.name, SECONDS_OF_OTHERS) for mark in item.iter_markers()),
        default=SECONDS_OF_OTHERS,
    )
