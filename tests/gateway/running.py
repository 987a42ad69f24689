"""A gateway in a thread of the test, with limits of its own, and what it has stored."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import uvloop
from sqlalchemy import func, select

from core.config import AnySourceSection, Config, ContentChecksSection, SmtpSection
from core.db import Database
from core.models import Delivery, RawMail, Ticket
from core.secret_key import ensure_secret_key
from gateway.limits import Limits
from gateway.server import Gateway
from tests.gateway.transcripts import Address, Conversation, conversation
from tests.support.processes import free_port

HOSTNAME = "mail.example.org"
T = TypeVar("T")

# What is answered to EHLO and LHLO.
EXTENSIONS = f"""
    S: 250-{HOSTNAME}
    S: 250-PIPELINING
    S: 250-SIZE *
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250 ENHANCEDSTATUSCODES
"""
# The beginning of nearly every transcript.
HELLO = f"""
    S: 220 {HOSTNAME} ESMTP
    C: EHLO client.example
    {EXTENSIONS}
"""
ENVELOPE = """
    C: MAIL FROM:<anna@muster.example>
    S: 250 2.1.0 OK
    C: RCPT TO:<vertrieb@example.org>
    S: 250 2.1.5 OK
"""
DATA = """
    C: DATA
    S: 354 End data with <CR><LF>.<CR><LF>
"""
MESSAGE = """
    C: From: anna@muster.example
    C: Subject: Frage
    C:
    C: Guten Tag
    C: .
"""
ACCEPTED = "S: 250 2.0.0 Accepted as *"


@dataclass(frozen=True)
class Running:
    """A running gateway."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    address: Address
    lmtp: Address
    database: Database

    @property
    def port(self) -> int:
        """The SMTP port."""
        assert isinstance(self.address, tuple)
        return self.address[1]

    def play(self, transcript: str) -> None:
        """Play a whole transcript on a connection of its own."""
        with conversation(self.address) as client:
            client.play(transcript)

    @contextmanager
    def client(self) -> Iterator[Conversation]:
        """Give a connection that has said EHLO."""
        with conversation(self.address) as client:
            yield client.play(HELLO)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the gateway's loop."""
        return self.begin(work).result(60)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine on the gateway's loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stored(self) -> list[bytes]:
        """Return the bytes of all messages taken in, in order."""
        with self.database.read() as session:
            return list(session.scalars(select(RawMail.content).order_by(RawMail.id)))

    def tickets(self) -> int:
        """Return how many tickets there are."""
        with self.database.read() as session:
            return session.scalars(select(func.count(Ticket.id))).one()

    def deliveries(self) -> list[Delivery]:
        """Return what became of each message for each recipient."""
        with self.database.read() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))


@contextmanager
def running_gateway(
    database: Database,
    folder: Path,
    limits: Limits | None = None,
    free_space: Callable[[Path], int] | None = None,
    content_checks: ContentChecksSection | None = None,
    customer_sources: Sequence[AnySourceSection] = (),
    **smtp: Any,
) -> Iterator[Running]:
    """Run a gateway while the block lasts, and stop it as SIGTERM does.

    All test mail is from a few senders, so they are not counted unless a test asks for it.
    """
    port, lmtp_port = free_port(), free_port()
    section: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "lmtp_listen": f"127.0.0.1:{lmtp_port}",
        "hostname": HOSTNAME,
        **dict.fromkeys(("mails_per_sender", "mails_per_domain", "mails_per_client"), 0),
        **smtp,
    }
    key = str(folder / "secret.key")
    ensure_secret_key(key)
    config = Config(
        smtp=SmtpSection(**section),
        content_checks=content_checks or ContentChecksSection(),
        customer_sources=list(customer_sources),
        secret_key_file=key,
    )
    space = {} if free_space is None else {"free_space": free_space}
    loop = uvloop.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    running: Running | None = None

    async def begin() -> Gateway:
        gateway = Gateway(config, database, limits, **space)
        await gateway.start()
        return gateway

    lmtp: Address = ("127.0.0.1", lmtp_port)
    if section["lmtp_listen"].startswith("unix:"):
        lmtp = Path(section["lmtp_listen"].removeprefix("unix:"))
    try:
        gateway = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
        running = Running(gateway, loop, ("127.0.0.1", port), lmtp, database)
        yield running
    finally:
        if running is not None:
            running.run(running.gateway.stop())
            running.run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
