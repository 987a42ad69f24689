r"""Transcripts as in the RFCs, played against a listener.

``C:`` is what the client sends, ``S:`` what it must receive; both sides' lines end with CRLF.
Client lines in a row go out in one segment, so pipelining is written as it looks. Indentation and
empty lines do not matter.

- In ``C:`` lines ``\r``, ``\n``, ``\0``, ``\xNN`` and ``\\`` mean what they mean in Python; a
  line that ends with ``\`` is sent without CRLF.
- In ``S:`` lines ``*`` stands for anything. ``S: (closed)`` is the end of the connection,
  ``S: (silence)`` that nothing comes for a moment.
- ``C: (half-close)`` says that the client will send nothing more.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Self

SECONDS = 30.0  # for a reply, on a machine however busy
SILENCE_SECONDS = 0.3
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[rn0\\])")
_ESCAPED = {"r": b"\r", "n": b"\n", "0": b"\0", "\\": b"\\"}

Address = tuple[str, int] | Path


class Conversation:
    """One connection, with what was said on it so far."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._received = b""
        self._said: list[str] = []

    def play(self, transcript: str) -> Self:
        """Say and expect what the transcript says; raise ``AssertionError`` where it differs."""
        pending = b""
        for line in filter(None, (line.strip() for line in transcript.splitlines())):
            side, _colon, text = line.partition(":")
            text = text.removeprefix(" ")
            if side == "C" and text == "(half-close)":
                self.socket.sendall(pending)
                self.socket.shutdown(socket.SHUT_WR)
                pending = b""
            elif side == "C":
                pending += unescape(text)
                self._said.append(line)
            elif side == "S":
                self.send(pending)
                pending = b""
                self._expect(text)
            else:
                raise ValueError(f"neither C: nor S: {line!r}")
        self.send(pending)
        return self

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if data:
            self.socket.sendall(data)

    def line(self) -> str | None:
        """Return the next line of the server, None when it has closed the connection."""
        while b"\n" not in self._received:
            try:
                chunk = self.socket.recv(65_536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self._received += chunk
        line, _end, self._received = self._received.partition(b"\n")
        return line.removesuffix(b"\r").decode()

    def line_after(self, data: bytes) -> str | None:
        """Send bytes and return the next line of the server."""
        self.send(data)
        return self.line()

    def _expect(self, wanted: str) -> None:
        if wanted == "(silence)":
            got = self._line_within(SILENCE_SECONDS)
            assert got is None, self._difference(wanted, got)
            return
        try:
            got = self.line()
        except TimeoutError:
            got = "(silence)"
        self._said.append(f"S: {got}")
        shown = "(closed)" if got is None else got
        pattern = ".*".join(map(re.escape, wanted.split("*")))
        assert re.fullmatch(pattern, shown), self._difference(wanted, shown)

    def _line_within(self, seconds: float) -> str | None:
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            return self.line() or "(closed)"
        except TimeoutError:
            return None
        finally:
            self.socket.settimeout(before)

    def _difference(self, wanted: str, got: str | None) -> str:
        said = indent("\n".join(self._said), "  ")
        return f"expected {wanted!r}, got {got!r} after\n{said}"


@contextmanager
def conversation(address: Address) -> Iterator[Conversation]:
    """Connect while the block lasts."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(address) if isinstance(address, Path) else address)
        yield Conversation(connection)


def unescape(text: str) -> bytes:
    """Return the bytes of a client line."""
    no_end = text.endswith("\\") and not text.endswith("\\\\")
    text = text.removesuffix("\\") if no_end else text
    parts = _ESCAPE.split(text)
    raw = b"".join(
        part.encode() if index % 2 == 0 else _escaped(part) for index, part in enumerate(parts)
    )
    return raw if no_end else raw + b"\r\n"


def _escaped(name: str) -> bytes:
    return bytes.fromhex(name[1:]) if name.startswith("x") else _ESCAPED[name]
