"""The SMTP dialogue, as in RFC 5321, with limits of our own (threat model A1; ``Limits``).

Extensions: SIZE (RFC 1870), PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207). Known deviations: no quoted local parts and
no source routes in the envelope; VRFY and HELP answer the same to everybody.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from core.intake.incoming import Envelope, Receipt, Reply
from core.intake.replies import NO_SPACE, TRY_AGAIN, UNKNOWN_RECIPIENT
from core.mail.addresses import address_key
from core.sources.source import SourceAway
from core.words import Protocol
from gateway import arguments, replies
from gateway.arguments import Refused
from gateway.body import Body
from gateway.session import Farewell, Session
from gateway.spool import Spool

log = logging.getLogger(__name__)

# First words of protocols that somebody may be tricked into speaking to us (threats P17, P19).
FOREIGN_WORDS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PROXY", "PUT", "TRACE")
)


@dataclass(slots=True)
class Transaction:
    """What MAIL and RCPT said (RFC 5321 3.3).

    ``recipients`` are addresses by their comparison key, each once; ``accepted`` are the keys of
    all RCPT commands that were accepted, repeated ones too.
    """

    sender: arguments.Sender
    recipients: dict[str, str] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)


class SmtpSession(Session):
    """A connection on which SMTP is spoken."""

    spoken: ClassVar[Protocol] = Protocol.SMTP
    greeting: ClassVar[str] = "ESMTP"
    hello_first: ClassVar[Reply] = replies.HELO_FIRST

    _helo = ""
    _extended = False
    _started = False  # the first command has come
    _transaction: Transaction | None = None
    _idle_commands = 0
    _bad_commands = 0
    _refused_recipients = 0

    async def _handle_client(self) -> None:
        """Greet, then obey one command after the other until the session ends."""
        try:
            await self._say(f"220 {self.hostname} {self.greeting}")
            while not self._stopping:
                await self._obey_next()
            await self._answer(replies.SHUTTING_DOWN)
        except Farewell as farewell:
            if farewell.reply is not None and not self._is_gone():
                await self._answer(farewell.reply)
        except ConnectionError:
            log.info("%s: connection lost", self.client.address)
        self._close()

    async def _obey_next(self) -> None:
        try:
            await self._obey(await self._next_line())
        except Farewell:
            raise
        except Refused as refusal:
            await self._answer(refusal.reply)
            self._bad_commands += 1
            if self._bad_commands >= self.limits.bad_commands:
                raise Farewell(replies.TOO_MANY_ERRORS) from None
        except Exception as error:  # noqa: BLE001 - any doubt is a 4xx (promise 1)
            if self._is_gone():
                raise Farewell from None
            self._note_fault(error)
            if self._receiving:  # nobody knows where the next command begins
                raise Farewell(TRY_AGAIN) from None
            await self._answer(TRY_AGAIN)

    async def _next_line(self) -> bytes:
        self._reset_timeout()
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise Farewell from None
        except asyncio.LimitOverrunError:
            raise Farewell(replies.COMMAND_TOO_LONG) from None

    async def _obey(self, line: bytes) -> None:
        word, _space, rest = line.rstrip(b"\r\n").partition(b" ")
        command = word.decode("ascii", "replace").upper()
        if not self._started and command in FOREIGN_WORDS:
            raise Farewell
        self._started = True
        if len(line) > self.limits.command_bytes:
            raise Refused(replies.COMMAND_TOO_LONG)
        if not line.endswith(b"\r\n"):
            raise Refused(replies.COMMAND_LINE_END)
        method = self._smtp_methods.get(command)
        if method is None:
            raise Refused(replies.UNKNOWN_COMMAND)
        await method(rest.strip(b" ").decode("utf-8", "surrogateescape") or None)

    # Commands. aiosmtpd finds them by their names.

    async def smtp_HELO(self, hostname: str | None) -> None:
        """Greet a client without extensions."""
        self._meet(hostname, extended=False)
        await self._say(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Greet a client and list the extensions."""
        self._meet(hostname, extended=True)
        extensions = [
            "PIPELINING",
            f"SIZE {self.service.max_message_bytes}",
            "8BITMIME",
            "SMTPUTF8",
            *(["STARTTLS"] if self.service.tls and not self._tls_on else []),
        ]
        lines = [self.hostname, *extensions]
        await self._say("".join(f"250-{line}\r\n" for line in lines) + "250 ENHANCEDSTATUSCODES")

    def _meet(self, hostname: str | None, *, extended: bool) -> None:
        self._spend_idle_command()
        self._helo = arguments.host_name(hostname)
        self._extended = extended
        self._transaction = None

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Encrypt the rest of the session and forget what was said before."""
        if self.service.tls is None:
            raise Refused(replies.UNKNOWN_COMMAND)
        if self._tls_on:
            raise Refused(replies.TLS_ALREADY)
        _expect_none(arg)
        await self._answer(replies.START_TLS)
        await self._start_tls(self.service.tls)
        self._helo = ""
        self._extended = False
        self._transaction = None

    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a message: its sender, if there is room for it."""
        if not self._helo:
            raise Refused(self.hello_first)
        if self._transaction is not None:
            raise Refused(replies.MAIL_AGAIN)
        sender = arguments.sender(
            arg, extended=self._extended, max_bytes=self.service.max_message_bytes
        )
        if self.service.disk is not None and await self.service.disk.is_full():
            await self._answer(NO_SPACE)
            return
        if not self.service.rates.admit(self.client, sender.address):
            log.info("%s: too many messages of %s", self.client.address, sender.address)
            await self._answer(replies.TOO_MANY_MESSAGES)
            return
        self._transaction = Transaction(sender)
        await self._answer(replies.SENDER_OK)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient. The answer depends on the address alone (threat P20)."""
        transaction = self._transaction
        if transaction is None:
            raise Refused(replies.MAIL_FIRST)
        address = arguments.recipient(arg, smtputf8=transaction.sender.smtputf8)
        key = address_key(address) or address.lower()
        reply = await self._check_recipient(transaction, address, key)
        if reply is replies.RECIPIENT_OK:
            transaction.recipients.setdefault(key, address)
            transaction.accepted.append(key)
        await self._answer(reply)
        if reply is not replies.RECIPIENT_OK:
            self._count_refused_recipient()

    async def _check_recipient(self, transaction: Transaction, address: str, key: str) -> Reply:
        if len(transaction.accepted) >= self.limits.recipients:
            return replies.TOO_MANY_RECIPIENTS
        with self._our_time():
            known = key in transaction.recipients or await self.service.intake.knows(address)
        if known:
            return replies.RECIPIENT_OK
        log.info("%s: no such recipient: %s", self.client.address, address)
        return UNKNOWN_RECIPIENT

    def _count_refused_recipient(self) -> None:
        """A relay passes on what others guess; only strangers are cut off for it."""
        self._refused_recipients += 1
        if self._refused_recipients >= self.limits.refused_recipients and not self.client.trusted:
            raise Farewell(replies.TOO_MANY_ERRORS)

    async def smtp_RSET(self, arg: str | None) -> None:
        """Forget the message that was begun."""
        _expect_none(arg)
        self._spend_idle_command()
        self._transaction = None
        await self._answer(replies.OK)

    async def smtp_NOOP(self, arg: str | None) -> None:
        """Do nothing, a limited number of times."""
        self._spend_idle_command()
        await self._answer(replies.OK)

    async def smtp_HELP(self, arg: str | None) -> None:
        """Point to the standard."""
        self._spend_idle_command()
        await self._answer(replies.HELP)

    async def smtp_VRFY(self, arg: str | None) -> None:
        """Tell nothing: the same reply for every address (threat P20)."""
        self._spend_idle_command()
        await self._answer(replies.CANNOT_VERIFY)

    async def smtp_EXPN(self, arg: str | None) -> None:
        """Tell nothing."""
        raise Refused(replies.NOT_IMPLEMENTED)

    async def smtp_AUTH(self, arg: str | None) -> None:
        """Refuse; it is not offered either, so nobody sends a password here (threat P16)."""
        raise Refused(replies.NOT_IMPLEMENTED)

    async def smtp_QUIT(self, arg: str | None) -> None:
        """End the session."""
        _expect_none(arg)
        raise Farewell(replies.GOODBYE)

    def _spend_idle_command(self) -> None:
        self._idle_commands += 1
        if self._idle_commands > self.limits.idle_commands:
            raise Farewell(replies.TOO_MANY_COMMANDS)

    # The message

    async def smtp_DATA(self, arg: str | None) -> None:
        """Receive a message and take it in."""
        _expect_none(arg)
        transaction = self._transaction
        if transaction is None:
            raise Refused(replies.MAIL_FIRST)
        if not transaction.recipients:
            raise Refused(replies.RECIPIENT_FIRST)
        self._receiving = True
        body = Body(self.service.max_message_bytes, self.limits, normalise=self.client.trusted)
        with Spool(self.service.spool_folder, self.limits.spool_bytes) as spool:
            await self._say(replies.START_DATA)
            await self._receive(body, spool)
            outcome = body.problem or await self._take_in(transaction, spool)
        self._transaction = None
        await self._answer(*self._final_replies(outcome, transaction))
        self._receiving = False

    async def _receive(self, body: Body, spool: Spool) -> None:
        """Read until the message is complete; its end may be followed by the next command."""
        began = self.loop.time()
        while not body.complete:
            self._reset_timeout(self._time_for_data(began, body.received))
            chunk = await self._reader.read(self.limits.line_bytes)
            if not chunk:
                raise Farewell
            body.feed(chunk)
            if body.overrun:
                await self._refuse_flood()
            try:
                await spool.take(body.content)
            except OSError as error:
                log.error("no room for a message that is coming in: %s", error.strerror)
                body.give_up(NO_SPACE)
        spool.finish(body.content)
        self._unread_input()[:0] = body.rest

    def _time_for_data(self, began: float, received: int) -> float:
        """Return how long the client may take for its next bytes (threat P7)."""
        earned = self.limits.data_grace_seconds + received / self.limits.data_bytes_per_second
        ends = began + min(earned, self.limits.data_seconds)
        return min(self.limits.command_seconds, ends - self.loop.time())

    async def _refuse_flood(self) -> None:
        """Answer and cut.

        A little of what still comes is read first: a client that is busy sending sees the reply
        only after its last byte, and never if the connection breaks before.
        """
        await self._answer(replies.TOO_BIG)
        still_read = self.service.max_message_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.farewell_seconds):
                while still_read > 0 and (chunk := await self._reader.read(self.limits.line_bytes)):
                    still_read -= len(chunk)
        self._writer.transport.abort()
        raise Farewell

    async def _take_in(self, transaction: Transaction, spool: Spool) -> Receipt | Reply:
        """Hand the message over; any doubt about it is a 4xx (promise 1)."""
        envelope = Envelope(
            mail_from=transaction.sender.address,
            recipients=tuple(transaction.recipients.values()),
            protocol=self.spoken,
            peer=self.client.address,
            helo=self._helo,
            tls=self._tls_on,
            trusted=self.client.trusted,
        )
        try:
            with self._our_time():
                receipt = await self.service.intake.take_in(envelope, spool)
        except SourceAway:  # told in the log by intake, and no fault of ours
            return TRY_AGAIN
        except Exception as error:  # noqa: BLE001 - the sender keeps the message and tries again
            self._note_fault(error)
            return TRY_AGAIN
        self._idle_commands = 0
        if receipt.reply.code >= 400:  # what was accepted is in the mail log that staff read
            log.info("%s: refused: %s", self.client.address, receipt.reply)
        return receipt

    def _final_replies(self, outcome: Receipt | Reply, transaction: Transaction) -> list[Reply]:
        """Return what is answered to a message: one reply for all its recipients."""
        return [outcome.reply if isinstance(outcome, Receipt) else outcome]


def _expect_none(argument: str | None) -> None:
    if argument:
        raise Refused(replies.NO_ARGUMENT)
