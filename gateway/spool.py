"""A message while it arrives: small in memory, big in a file without a name.

So ten big messages at once do not need ten times their size of memory, and a crash leaves nothing
behind. What lies here is not accepted yet.
"""

import asyncio
import tempfile
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self


class Spool:
    """The received lines of one message; use it in a ``with`` block."""

    def __init__(self, folder: Path | None, memory_bytes: int) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._memory = bytearray()
        self._file: FileIO | None = None
        self.size = 0

    async def take(self, content: bytearray) -> None:
        """Take over what ``content`` holds and clear it, when that is worth it.

        Raises ``OSError`` when the disk is full.
        """
        if len(content) < self._memory_bytes:
            return
        block = bytes(content)
        content.clear()
        await asyncio.to_thread(self._write, block)
        self.size += len(block)

    def finish(self, content: bytearray) -> None:
        """Take over what is left."""
        self._memory = content
        self.size += len(content)

    async def read(self) -> bytes:
        """Return the whole message."""
        if self._file is None:
            return bytes(self._memory)
        return await asyncio.to_thread(self._read, self._file)

    def _write(self, block: bytes) -> None:
        if self._file is None:
            # Without a buffer, so that reading it back makes one copy and no second one.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - __exit__ closes it
                buffering=0, dir=self._folder
            )
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _read(self, file: FileIO) -> bytes:
        self._write(bytes(self._memory))
        self._memory.clear()
        file.seek(0)
        return file.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
