"""A connection with a clock: what ends it, and when. What is said on it is ``gateway.smtp``'s.

aiosmtpd brings the protocol class and the streams. Its own timer lets NOOP keep a session for
ever, runs while a message is being taken in, and waits for clients that never read (threats.md C
6-8); this one does not.
"""

import asyncio
import logging
import math
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP

from core.intake.incoming import Reply
from gateway import replies
from gateway.connections import Client
from gateway.disk import DiskGuard
from gateway.intake import Intake
from gateway.limits import KIB, Limits
from gateway.sender_rates import SenderRates

log = logging.getLogger(__name__)

_OURS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Service:
    """What all sessions of a gateway share.

    ``disk`` is None when messages are stored on another machine; ``spool_folder`` None means the
    system's folder for temporary files.
    """

    hostname: str
    max_message_bytes: int
    intake: Intake
    limits: Limits = field(default_factory=Limits)
    rates: SenderRates = field(default_factory=SenderRates)
    disk: DiskGuard | None = None
    tls: ssl.SSLContext | None = None
    spool_folder: Path | None = None


class Farewell(Exception):
    """The session ends, after ``reply`` if there is one."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Session(SMTP):
    """A connection. ``on_end`` is called once, when it is gone."""

    line_length_limit = 64 * KIB  # aiosmtpd gives the stream a buffer of twice this size

    def __init__(
        self, service: Service, client: Client, on_end: Callable[["Session"], None]
    ) -> None:
        self.service = service
        self.client = client
        self.limits = service.limits
        self._on_end = on_end
        self._receiving = False  # a message is coming in or being taken in
        self._stopping = False
        self._tls_on = False
        self._closing: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        relay, stranger = self.limits.relay_session_seconds, self.limits.session_seconds
        self._deadline = self._looks_at = math.inf
        self._session_ends = loop.time() + (relay if client.trusted else stranger)
        # A host name is given so that aiosmtpd asks no name server for ours.
        super().__init__(None, hostname=service.hostname, enable_SMTPUTF8=True, loop=loop)

    # The connection

    def connection_lost(self, error: Exception | None) -> None:
        """End the dialogue; a message that was handed over is committed all the same."""
        if self._closing is not None:
            self._closing.cancel()
        super().connection_lost(error)
        self._on_end(self)

    def eof_received(self) -> bool | None:
        """Go on: a client that has said everything may still wait for its replies (threat P14)."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def stop(self) -> None:
        """End the session: now, or after the message that is on its way."""
        self._stopping = True
        if not self._receiving:
            self.cut(replies.SHUTTING_DOWN)

    def cut(self, reply: Reply) -> None:
        """End the session from outside its dialogue, whatever that waits for."""
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        if not self._is_gone():
            self._writer.write(f"{reply}\r\n".encode())
        self._close()

    def _close(self) -> None:
        """Close the connection, and abort it if the client does not read what was said last."""
        self._stop_clock()
        if self.transport is not None and self._closing is None:
            transport = self._writer.transport
            self._closing = self.loop.call_later(self.limits.farewell_seconds, transport.abort)
            transport.close()

    def _is_gone(self) -> bool:
        return self.transport is None or self._writer.transport.is_closing()

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted, as if the connection were new (RFC 3207 4.2).

        What came before the handshake and was not read yet is dropped: a third party may have
        put it there (CVE-2024-34083). Raises ``Farewell`` when the handshake fails.
        """
        self._stop_clock()  # the handshake has its own
        self._unread_input().clear()
        plain = self._writer.transport
        try:
            transport = await self.loop.start_tls(
                plain,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.limits.handshake_seconds,
            )
        except OSError as error:  # ssl.SSLError and a handshake that takes too long are some
            log.info("%s: no TLS: %s", self.client.address, type(error).__name__)
            plain.abort()
            raise Farewell from None
        assert transport is not None
        self.transport = self._transport = transport
        self._reader._transport = transport  # type: ignore[attr-defined]  # nothing public sets it
        self._writer._transport = transport  # type: ignore[attr-defined]  # nothing public sets it
        self._over_ssl = self._tls_on = True

    def _unread_input(self) -> bytearray:
        """Return what was received and not read yet, to be changed in place."""
        buffer = self._reader._buffer  # type: ignore[attr-defined]  # nothing public gives it
        assert isinstance(buffer, bytearray)
        return buffer

    # The clock

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Give the client ``duration`` seconds from now, but never more than its session has.

        The timer is only set anew to go off earlier; when it goes off too early, it looks again.
        Most commands so cost no timer.
        """
        seconds = self.limits.command_seconds if duration is None else duration
        self._deadline = min(self.loop.time() + seconds, self._session_ends)
        if self._deadline < self._looks_at:
            self._look_at(self._deadline)

    def _look_at(self, when: float) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._looks_at = when
        self._timeout_handle = self.loop.call_at(when, self._timeout_cb)

    def _timeout_cb(self) -> None:
        self._looks_at = math.inf
        if self._deadline <= self.loop.time():
            log.info("%s: timeout", self.client.address)
            self.cut(replies.TIMEOUT)
        elif self._deadline < math.inf:
            self._look_at(self._deadline)

    def _stop_clock(self) -> None:
        self._deadline = math.inf

    @contextmanager
    def _our_time(self) -> Iterator[None]:
        """Stop the clock while it is us who need time."""
        self._stop_clock()
        try:
            yield
        finally:
            if not self._is_gone():
                self._reset_timeout()

    # What is said

    async def _say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())
        await self._writer.drain()

    async def _answer(self, *given: Reply) -> None:
        await self._say("\r\n".join(map(str, given)))

    def _note_fault(self, error: Exception) -> None:
        """Log a fault of ours; the reply to any is ``TRY_AGAIN``, and tells nothing of it.

        The text of an error may hold an address with its password, or the mail itself (threats
        P13, O1): the log gets its class and its place.
        """
        log.error("%s: %s at %s", self.client.address, type(error).__name__, _place(error))


def _place(error: Exception) -> str:
    """Return the last line of our own code that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_OURS)]
    return ", ".join(f"{Path(frame.filename).stem}:{frame.lineno}" for frame in ours[-1:])
