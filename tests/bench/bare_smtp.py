"""The yardstick for intake: aiosmtpd as it comes, with a handler that does nothing.

``python -m tests.bench.bare_smtp PORT``; ends on SIGTERM.
"""

import asyncio
import signal
import sys

import uvloop
from aiosmtpd.smtp import SMTP


class Nothing:
    """A handler that accepts everything and keeps nothing."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        """Accept the message."""
        return "250 OK"


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(
        lambda: SMTP(Nothing(), hostname="bare.example", data_size_limit=26_214_400),
        "127.0.0.1",
        port,
    )
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
