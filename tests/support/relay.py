"""A relay for tests that does what its script says: mostly wrong.

It is written on bare sockets, because no library would misbehave for us, and because it must see
every byte that it is sent. It takes a message apart as the strictest server does: a bare CR or LF
is a fault of its own.
"""

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import NamedTuple

STALL_SECONDS = 30.0
DROP = "drop"  # close the connection instead of answering
STALL = "stall"  # say nothing, for longer than anybody waits

Answer = bytes | str  # a reply without its line end, or DROP or STALL
EXTENSIONS = (b"PIPELINING", b"SIZE 10000000", b"8BITMIME")


class Received(NamedTuple):
    """A message as it was handed over; ``content`` without dot stuffing."""

    mail_from: str
    recipient: str
    content: bytes


@dataclass
class Script:
    """What is answered instead of the usual.

    ``answers`` has the stages ``greeting``, ``EHLO``, ``STARTTLS``, ``AUTH``, ``MAIL``, ``RCPT``,
    ``DATA``, ``message`` (the dot) and ``RSET``; a function is asked with the command and how often
    the stage was reached before. ``on_message`` is told each message that was complete, also
    one whose reply never comes.
    """

    answers: Mapping[str, Answer | Callable[[str, int], Answer | None]] = field(
        default_factory=dict
    )
    extensions: tuple[bytes, ...] = EXTENSIONS
    certificate: ssl.SSLContext | None = None
    implicit_tls: bool = False
    injected: bytes = b""  # sent in plain text together with the reply to STARTTLS
    on_message: Callable[[Received], None] = lambda _message: None


@dataclass
class Relay:
    """A running relay, what it took (answered with 2xx), and all that it was told."""

    port: int
    script: Script
    messages: list[Received] = field(default_factory=list)
    unanswered: list[Received] = field(default_factory=list)  # complete, but not accepted
    commands: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    connections: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def answer(self, stage: str, command: str, usual: bytes) -> Answer:
        """Return what a stage is answered with."""
        with self.lock:
            before = self.reached[stage]
            self.reached[stage] += 1
        wanted = self.script.answers.get(stage)
        found = wanted(command, before) if callable(wanted) else wanted
        return usual if found is None else found


@contextmanager
def run_relay(script: Script | None = None, port: int = 0) -> Iterator[Relay]:
    """Run a relay on loopback while the block lasts; ``port`` 0 takes a free one."""
    with socket.create_server(("127.0.0.1", port)) as server:
        relay = Relay(server.getsockname()[1], script or Script())
        open_sockets: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _peer = server.accept()
                except OSError:
                    return
                relay.connections += 1
                open_sockets.append(connection)
                Thread(target=_serve, args=(relay, connection), daemon=True).start()

        thread = Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            for connection in open_sockets:
                with suppress(OSError):
                    connection.close()
            thread.join(5)


class _Ended(Exception):
    """The conversation is over."""


class _Session:
    def __init__(self, relay: Relay, connection: socket.socket) -> None:
        self.relay = relay
        self.connection = connection
        self.received = b""
        self.mail_from = self.recipient = ""
        self.encrypted = False

    def run(self) -> None:
        script = self.relay.script
        if script.implicit_tls:
            self.encrypt()
        self.reply("greeting", "", b"220 relay.example ESMTP")
        while True:
            line = self.line()
            self.relay.commands.append(line)
            verb = line.partition(" ")[0].upper()
            if verb in {"MAIL", "RCPT"}:
                path = line.partition("<")[2].partition(">")[0]
                if verb == "MAIL":
                    self.mail_from = path
                else:
                    self.recipient = path
                self.reply(verb, line, b"250 2.1.0 Ok")
            elif verb == "DATA":
                if self.reply(verb, line, b"354 go ahead"):
                    self.message()
            elif verb == "EHLO":
                offers_tls = script.certificate is not None and not self.encrypted
                more = (b"STARTTLS",) if offers_tls and not script.implicit_tls else ()
                lines = (b"relay.example", *script.extensions, *more)
                usual = b"".join(b"250-" + each + b"\r\n" for each in lines[:-1])
                self.reply(verb, line, usual + b"250 " + lines[-1])
            elif verb == "STARTTLS":
                if self.reply(verb, line, b"220 go", script.injected):
                    self.encrypt()
            elif verb == "AUTH":
                self.auth(line)
            elif verb == "QUIT":
                self.send(b"221 2.0.0 Bye\r\n")
                raise _Ended
            else:
                self.reply(verb, line, b"250 2.0.0 Ok")

    def auth(self, line: str) -> None:
        if line == "AUTH LOGIN":
            for prompt in (b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"):
                self.send(b"334 " + prompt + b"\r\n")
                line += " " + self.line()
            self.relay.commands[-1] = line
        self.reply("AUTH", line, b"235 2.7.0 Welcome")

    def encrypt(self) -> None:
        assert self.relay.script.certificate is not None
        self.connection.settimeout(10)
        self.connection = self.relay.script.certificate.wrap_socket(
            self.connection, server_side=True
        )
        self.encrypted, self.received = True, b""

    def message(self) -> None:
        lines = []
        while (line := self.raw_line()) != b".\r\n":
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                self.relay.faults.append(f"bare line end: {line[:80]!r}")
            if len(line) > 1000:
                self.relay.faults.append("a line is too long")
            lines.append(line.removeprefix(b"."))
        found = Received(self.mail_from, self.recipient, b"".join(lines))
        self.relay.script.on_message(found)
        self.relay.unanswered.append(found)
        if self.reply("message", self.recipient, b"250 2.0.0 Ok: queued"):
            self.relay.unanswered.remove(found)
            self.relay.messages.append(found)

    def reply(self, stage: str, command: str, usual: bytes, extra: bytes = b"") -> bool:
        """Answer a stage; return whether with 2xx or 3xx."""
        answer = self.relay.answer(stage, command, usual)
        if answer == DROP:
            raise _Ended
        if answer == STALL:
            time.sleep(STALL_SECONDS)
            raise _Ended
        assert isinstance(answer, bytes)
        self.send(answer + b"\r\n" + extra)
        return answer[:1] in b"23"

    def send(self, content: bytes) -> None:
        self.connection.sendall(content)

    def line(self) -> str:
        return self.raw_line().decode().rstrip("\r\n")

    def raw_line(self) -> bytes:
        while b"\n" not in self.received:
            more = self.connection.recv(65_536)
            if not more:
                raise _Ended
            self.received += more
        line, _lf, self.received = self.received.partition(b"\n")
        return line + b"\n"


def _serve(relay: Relay, connection: socket.socket) -> None:
    session = _Session(relay, connection)
    with suppress(_Ended, OSError):
        session.run()
    with suppress(OSError):
        session.connection.close()
