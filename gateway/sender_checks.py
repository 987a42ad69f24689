"""Checking who really sent a mail, before it is handed to the writer.

In threads of its own, so that name servers of strangers hold up nothing else: neither the event
loop nor the writer, nor the memory that other messages need.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from core.config import SmtpSection
from core.intake.incoming import Envelope
from core.mail.authentication.check import BUSY, check_sender
from core.mail.authentication.findings import Findings, Source
from core.mail.authentication.resolver import Resolver
from gateway.budget import ByteBudget
from gateway.limits import Limits
from gateway.spool import Spool


class SenderChecks:
    """The checks of one process: a bounded number at once, with one cache for all."""

    def __init__(self, smtp: SmtpSection, limits: Limits) -> None:
        self._smtp = smtp
        self._limits = limits
        self._resolver = Resolver(smtp.name_server_addresses)
        self._threads = ThreadPoolExecutor(limits.checks, "sender-check")
        self._free = asyncio.Semaphore(limits.checks)
        self._memory = ByteBudget(limits.checked_bytes)

    def stop(self) -> None:
        """Wait for the checks that are under way, and end the threads."""
        self._threads.shutdown()

    async def findings(self, envelope: Envelope, spool: Spool) -> Findings | None:
        """Return what is found about a message, None where it is not for us to check.

        A check that cannot begin or end in time is told as that: the mail is taken in all the same.
        """
        if not self._smtp.checks_sender(envelope.peer, trusted=envelope.trusted):
            return None
        try:
            async with asyncio.timeout(self._limits.check_waiting_seconds):
                await self._free.acquire()
                try:
                    await self._memory.acquire(spool.size)
                except BaseException:
                    self._free.release()
                    raise
        except TimeoutError:
            return Findings(Source.EDGE, problem=BUSY)
        size = spool.size
        try:
            # No name for the bytes: they are gone as soon as the check is done.
            checking = asyncio.get_running_loop().run_in_executor(
                self._threads,
                partial(check_sender, sealers=self._smtp.arc_sealers),
                await spool.read(),
                envelope.peer,
                envelope.helo,
                envelope.mail_from,
                self._resolver,
            )
        except BaseException:
            self._done(size)
            raise
        checking.add_done_callback(lambda _done: self._done(size))
        try:
            async with asyncio.timeout(self._limits.check_seconds):
                return await asyncio.shield(checking)
        except TimeoutError:
            return Findings(Source.EDGE, problem=BUSY)

    def _done(self, size: int) -> None:
        self._memory.release(size)
        self._free.release()
