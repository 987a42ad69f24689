"""A share of memory for messages, and turns for who waits for it."""

import asyncio


class ByteBudget:
    """So many bytes at once; who asks for more waits. A message above the whole gets the whole."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._turn = asyncio.Lock()  # is fair: a big message is not overtaken for ever
        self._released = asyncio.Event()

    async def acquire(self, size: int) -> None:
        """Wait until there is room for ``size`` bytes."""
        async with self._turn:
            while self._used + min(size, self._total) > self._total:
                self._released.clear()
                await self._released.wait()
            self._used += min(size, self._total)

    def release(self, size: int) -> None:
        """Give bytes back that were acquired."""
        self._used -= min(size, self._total)
        self._released.set()
