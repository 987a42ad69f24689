"""Checks of messages in threads of their own, before the writer gets them.

A slow check holds up neither the event loop nor the writer, nor takes the memory that other
messages need.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.budget import ByteBudget
from gateway.spool import Spool

T = TypeVar("T")


class Checks:
    """A bounded number of checks at once, of a bounded number of bytes; no thread before one."""

    def __init__(self, name: str, at_once: int, max_bytes: int, waiting_seconds: float) -> None:
        self._threads = ThreadPoolExecutor(at_once, name)
        self._free = asyncio.Semaphore(at_once)
        self._memory = ByteBudget(max_bytes)
        self._waiting_seconds = waiting_seconds

    def stop(self) -> None:
        """Wait for the checks that are under way, and end the threads."""
        self._threads.shutdown()

    async def run(self, spool: Spool, check: Callable[[bytes], T], seconds: float) -> T:
        """Return what a check says about a message.

        Raises ``TimeoutError`` when it cannot begin or end in time; one that has begun goes on.
        """
        async with asyncio.timeout(self._waiting_seconds):
            await self._free.acquire()
            try:
                await self._memory.acquire(spool.size)
            except BaseException:
                self._free.release()
                raise
        size = spool.size
        try:
            # No name for the bytes: they are gone as soon as the check is done.
            checking = asyncio.get_running_loop().run_in_executor(
                self._threads, check, await spool.read()
            )
        except BaseException:
            self._done(size)
            raise
        checking.add_done_callback(lambda _done: self._done(size))
        async with asyncio.timeout(seconds):
            return await asyncio.shield(checking)

    def _done(self, size: int) -> None:
        self._memory.release(size)
        self._free.release()
