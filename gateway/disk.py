"""Whether the disk has room for another message (threat S3)."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gateway.limits import MIB

CHECK_SECONDS = 1.0
LEAST_FREE = 200 * MIB
SIZES_FREE = 1.5  # Postfix asks for the same multiple of the size limit

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """Return the bytes free for us on the file system of ``folder``."""
    return shutil.disk_usage(folder).free


class DiskGuard:
    """Watches the file system of one folder, looking at most once a second."""

    def __init__(self, folder: Path, max_message_bytes: int, probe: FreeBytes = free_bytes) -> None:
        self._folder = folder
        self._least = max(int(SIZES_FREE * max_message_bytes), LEAST_FREE)
        self._probe = probe
        self._checked_at = float("-inf")
        self._full = False

    async def is_full(self) -> bool:
        """Whether too little is free; raises ``OSError`` when the folder is gone."""
        if time.monotonic() - self._checked_at >= CHECK_SECONDS:
            self._checked_at = time.monotonic()
            self._full = await asyncio.to_thread(self._probe, self._folder) < self._least
        return self._full
