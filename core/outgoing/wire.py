"""The wire to the relay: lines out, replies in (RFC 5321 4.2), each within a deadline.

What the relay says is a stranger's text: it is bounded, cleaned and kept as one line.
"""

import re
import socket
import time
from dataclasses import dataclass

from core.mail.text import one_line

MAX_REPLY = 500  # characters of a reply that are kept
MAX_LINE = 2000  # octets; RFC 5321 4.5.3.1.5 allows 512, some servers more
MAX_LINES = 100
PIECE = 16 * 1024  # octets that are written at once

_REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


class ConnectionFault(Exception):
    """The connection cannot be used any more; ``str()`` says why, in one line without secrets."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the relay answered: ``status`` is the enhanced code (RFC 3463) or "", ``text`` the rest.

    A reply that we give ourselves, before the relay could refuse for the same reason, looks alike.
    """

    code: int
    status: str
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether the relay does what it was asked."""
        return self.code < 400

    @property
    def is_final(self) -> bool:
        """Whether the same question will get the same answer (5xx)."""
        return self.code >= 500

    @property
    def line(self) -> str:
        """The reply as one line of at most 500 characters."""
        return " ".join(filter(None, (str(self.code), self.status, self.text)))[:MAX_REPLY]


class Wire:
    """A connected socket. A deadline is an instant of ``time.monotonic``."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._received = bytearray()

    @property
    def has_unread(self) -> bool:
        """Whether the relay has said more than it was asked so far."""
        return bool(self._received)

    def ask(self, command: str, deadline: float) -> tuple[Reply, list[str]]:
        """Send a command and return the reply, and its lines without codes."""
        self.write(f"{command}\r\n".encode(), deadline)
        return self.read_reply(deadline)

    def write(self, content: bytes, deadline: float) -> None:
        """Send bytes. Raises ``ConnectionFault``."""
        whole = memoryview(content)
        try:
            for start in range(0, len(whole), PIECE):
                self.socket.settimeout(_remaining(deadline))
                self.socket.sendall(whole[start : start + PIECE])
        except OSError as error:
            raise ConnectionFault(reason_of(error)) from None

    def read_reply(self, deadline: float) -> tuple[Reply, list[str]]:
        """Return the next reply, and its lines without codes. Raises ``ConnectionFault``."""
        lines: list[str] = []
        code = b""
        while len(lines) < MAX_LINES:
            found = _REPLY_LINE.fullmatch(self._read_line(deadline))
            if found is None or (code and found[1] != code):
                raise ConnectionFault("what it answers is no SMTP")
            code = found[1]
            lines.append(one_line((found[3] or b"").decode("utf-8", "replace")))
            if found[2] != b"-":
                return _reply(int(code), lines), lines
        raise ConnectionFault("it answers without end")

    def _read_line(self, deadline: float) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > MAX_LINE:
                raise ConnectionFault("it answers without end")
            try:
                self.socket.settimeout(_remaining(deadline))
                more = self.socket.recv(4096)
            except OSError as error:
                raise ConnectionFault(reason_of(error)) from None
            if not more:
                raise ConnectionFault("it closed the connection")
            self._received += more
        line = bytes(self._received[:end]).rstrip(b"\r")
        del self._received[: end + 1]
        return line


def reason_of(error: OSError) -> str:
    """Return why a connection failed, as one line for people."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = error.strerror or (str(error.args[-1]) if error.args else "") or type(error).__name__
    return one_line(text)[:200].lower()


def _reply(code: int, lines: list[str]) -> Reply:
    """Take the enhanced code off each line; it counts if it agrees with the code."""
    status, texts = "", []
    for line in lines:
        found = _STATUS.match(line)
        if found is not None and found[1][0] == str(code)[0]:
            status = status or found[1]
            line = line[found.end() :]
        texts.append(line)
    return Reply(code, status, one_line(" ".join(texts))[:MAX_REPLY])


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
