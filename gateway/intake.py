"""The way from the event loop to core and back. Nothing in here blocks the loop.

Parsing and the database run in threads; what the sessions hand over at once is bounded.
"""

import asyncio
from asyncio import Future

from core.config import Config
from core.db import Database
from core.intake.incoming import Envelope, Incoming, Receipt
from core.intake.recipients import RecipientDirectory
from core.intake.writer import IntakeWriter
from core.models import now
from gateway.budget import ByteBudget
from gateway.content_checks import ContentChecks
from gateway.limits import Limits
from gateway.sender_checks import SenderChecks
from gateway.spool import Spool


class Intake:
    """What a session asks core: is this an address of ours, and please take this message in.

    Both raise when there is any doubt; the session answers that with 451.
    """

    def __init__(
        self, database: Database, writer: IntakeWriter, limits: Limits, config: Config
    ) -> None:
        self._directory = RecipientDirectory(database)
        self._writer = writer
        self._limits = limits
        self._authserv_id = config.smtp.authserv_id
        self._sender_checks = SenderChecks(config.smtp, limits)
        self._content_checks = ContentChecks(config.content_checks, limits)
        self._in_hand = ByteBudget(limits.in_hand_bytes)
        self._refreshing: Future[None] | None = None

    async def knows(self, address: str) -> bool:
        """Whether a message to this address can be taken in.

        A no is checked against the database; everybody who waits for that shares one check.
        """
        if self._directory.knows(address):
            return True
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(asyncio.to_thread(self._directory.refresh))
        async with asyncio.timeout(self._limits.look_up_seconds):
            await asyncio.shield(self._refreshing)
        return self._directory.knows(address)

    def stop(self) -> None:
        """End what checks messages; blocks until the last check is done."""
        self._sender_checks.stop()
        self._content_checks.stop()

    async def take_in(self, envelope: Envelope, spool: Spool) -> Receipt:
        """Hand a message to the writer and wait until it is committed.

        The wait is bounded, the commit is not called off: if it still succeeds after a 451, the
        sender's next try is recognised as a redelivery. The same holds when the session is
        cancelled meanwhile (threat P14), so the writer's future is shielded.
        """
        findings = await self._sender_checks.findings(envelope, spool)
        content = await self._content_checks.verdict(envelope, spool)
        size = spool.size
        async with asyncio.timeout(self._limits.waiting_seconds):
            await self._in_hand.acquire(size)
        try:
            # No name for the bytes: they are the writer's, and gone as soon as it has stored them.
            submitted = self._writer.submit(
                Incoming(
                    envelope,
                    await spool.read(),
                    now(),
                    authserv_id=self._authserv_id,
                    findings=findings,
                    content=content,
                )
            )
        except BaseException:
            self._in_hand.release(size)
            raise
        committed = asyncio.wrap_future(submitted)
        committed.add_done_callback(lambda _done: self._in_hand.release(size))
        async with asyncio.timeout(self._limits.take_in_seconds):
            return await asyncio.shield(committed)
