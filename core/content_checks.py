"""Asking checkers outside about a mail: clamd over its socket, rspamd over HTTP.

Both are the firm's own; still each exchange has one deadline for all of it and a limit to what is
read. What goes wrong is an ``OSError`` here, and a failed check in what is told of the mail.
"""

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from core.config import UNIX, ContentChecksSection, split_host_port
from core.intake.incoming import Envelope
from core.mail.content_check import ContentVerdict, clamd_verdict, rspamd_verdict

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAX_ANSWER = 64 * 1024  # bytes
_PIECE = 256 * 1024  # bytes of a mail that are sent to clamd at once


def check_content(
    section: ContentChecksSection, envelope: Envelope, raw: bytes
) -> ContentVerdict | None:
    """Return what the configured checkers say about a mail, None without any.

    Blocks for at most ``timeout_seconds``, but for a look-up of a host's name.
    """
    deadline = time.monotonic() + section.timeout_seconds
    verdict = None
    if section.clamd:
        verdict = _verdict("clamd", lambda: _ask_clamd(section.clamd, deadline, raw))
    if section.rspamd:
        spam = _verdict("rspamd", lambda: _ask_rspamd(section.rspamd, deadline, envelope, raw))
        verdict = verdict + spam if verdict else spam
    return verdict


def ping_clamd(place: str, seconds: float) -> None:
    """See whether clamd answers. Raises ``OSError``."""
    with _connect(place, time.monotonic() + seconds) as connection:
        connection.sendall(b"nPING\n")
        with connection.makefile("rb") as answers:
            answer = answers.readline(MAX_ANSWER)
    if answer != b"PONG\n":
        raise OSError("it does not answer PING as clamd does")


def ping_rspamd(url: str, seconds: float) -> None:
    """See whether rspamd answers. Raises ``OSError``."""
    status, answer = _http(url, time.monotonic() + seconds, "GET", "/ping")
    if status != 200 or answer.strip() != b"pong":
        raise OSError("it does not answer /ping as rspamd does")


def _verdict(checker: str, ask: Callable[[], ContentVerdict]) -> ContentVerdict:
    try:
        return ask()
    except OSError as error:
        return ContentVerdict.of_failure(checker, (error.strerror or str(error)).lower())


def _ask_clamd(place: str, deadline: float, raw: bytes) -> ContentVerdict:
    """Send a mail as chunks, each behind its length in four bytes; an empty one ends it."""
    with _connect(place, deadline) as connection, connection.makefile("rb") as answers:
        # It says that a mail is too big for it and hangs up before it has read all of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"nINSTREAM\n")
            whole = memoryview(raw)
            for start in range(0, len(raw), _PIECE):
                piece = whole[start : start + _PIECE]
                connection.sendall(len(piece).to_bytes(4))
                connection.sendall(piece)
            connection.sendall(bytes(4))
        return clamd_verdict(answers.readline(MAX_ANSWER))


def _ask_rspamd(url: str, deadline: float, envelope: Envelope, raw: bytes) -> ContentVerdict:
    known = (("IP", envelope.peer), ("Helo", envelope.helo))
    headers = [
        ("From", f"<{envelope.mail_from}>"),
        *(("Rcpt", f"<{recipient}>") for recipient in envelope.recipients),
        *((name, value) for name, value in known if value),
        ("Content-Length", str(len(raw))),
    ]
    return rspamd_verdict(*_http(url, deadline, "POST", "/checkv2", headers, raw))


def _http(
    url: str,
    deadline: float,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> tuple[int, bytes]:
    """Return the status and the answer to a request. Raises ``OSError``."""
    place = url.removeprefix("http://")
    with closing(HTTPConnection(*split_host_port(place))) as client:
        client.sock = _connect(place, deadline)
        try:
            client.putrequest(method, path, skip_accept_encoding=True)
            client.putheader("Connection", "close")
            for name, value in headers:
                client.putheader(name, value.encode())  # addresses need not be ASCII
            client.endheaders(body)
            with client.getresponse() as response:
                answer = response.read(MAX_ANSWER + 1)
        except HTTPException as error:
            raise OSError(f"no HTTP: {error}") from None
    if len(answer) > MAX_ANSWER:
        raise OSError("its answer is too long")
    return response.status, answer


class _Connection(socket.socket):
    """A connection with one deadline (of ``time.monotonic``) for all that is sent and read.

    The timeout of a socket begins anew with every byte that comes.
    """

    deadline = 0.0

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Send all of it in time, or raise ``TimeoutError``."""
        self.settimeout(_left(self.deadline))
        super().sendall(data, flags)

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Read something in time, or raise ``TimeoutError``; all files over a socket read so."""
        self.settimeout(_left(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


def _connect(place: str, deadline: float) -> _Connection:
    if place.startswith(UNIX):
        plain = socket.socket(socket.AF_UNIX)
        try:
            plain.settimeout(_left(deadline))
            plain.connect(place.removeprefix(UNIX))
        except OSError:
            plain.close()
            raise
    else:
        try:
            plain = socket.create_connection(split_host_port(place), _left(deadline))
        except UnicodeError:  # what the codec for host names raises
            raise OSError("no host name") from None
    connection = _Connection(fileno=plain.detach())
    connection.deadline = deadline
    return connection


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
