"""A clamd and an rspamd on loopback that answer what the test says, rightly or wrongly."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
FOUND = b"stream: Eicar-Test-Signature FOUND\n"
MAX_BYTES = 200_000  # that this clamd takes
STALL = b"stall"  # say nothing until the test is over
TRICKLE = b"trickle"  # say something that counts for nothing, again and again


@dataclass
class Checker:
    """A running checker: ``answer`` replaces the right one, ``mails`` are those that it got."""

    place: str
    answer: bytes | None = None
    mails: list[bytes] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    over: Event = field(default_factory=Event)


Serve = Callable[[Checker, BinaryIO], bytes]


@contextmanager
def clamd(path: Path | None = None) -> Iterator[Checker]:
    """Run a clamd on TCP, or on a socket file: it finds EICAR's test pattern."""
    if path is None:
        listener = socket.create_server(("127.0.0.1", 0))
        place = f"127.0.0.1:{listener.getsockname()[1]}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        place = f"unix:{path}"
    with _running(listener, Checker(place), _clamd) as checker:
        yield checker


@contextmanager
def rspamd() -> Iterator[Checker]:
    """Run an rspamd: every mail is clean unless ``answer`` says something else."""
    listener = socket.create_server(("127.0.0.1", 0))
    place = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with _running(listener, Checker(place), _rspamd) as checker:
        yield checker


def http(body: bytes, status: str = "200 OK") -> bytes:
    """Return an HTTP response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _clamd(checker: Checker, lines: BinaryIO) -> bytes:
    command = lines.readline()
    if command == b"nPING\n":
        return b"PONG\n"
    assert command == b"nINSTREAM\n", command
    mail = b""
    while size := int.from_bytes(lines.read(4)):
        mail += lines.read(size)
        if len(mail) > MAX_BYTES:
            return b"INSTREAM size limit exceeded. ERROR\n"
    checker.mails.append(mail)
    return FOUND if EICAR in mail else b"stream: OK\n"


def _rspamd(checker: Checker, lines: BinaryIO) -> bytes:
    request = lines.readline().split()
    headers = list(iter(lambda: lines.readline().decode().rstrip("\r\n"), ""))
    named = [(name, value) for name, _colon, value in (line.partition(": ") for line in headers)]
    if request[:2] == [b"GET", b"/ping"]:
        return http(b"pong\r\n")
    assert request[:2] == [b"POST", b"/checkv2"], request
    checker.headers = named
    checker.mails.append(lines.read(int(dict(named)["Content-Length"])))
    return http(b'{"action": "no action", "score": 1}')


@contextmanager
def _running(listener: socket.socket, checker: Checker, serve: Serve) -> Iterator[Checker]:
    with closing(listener):
        thread = Thread(target=_accept, args=(listener, checker, serve))
        thread.start()
        try:
            yield checker
        finally:
            checker.over.set()
            with suppress(OSError):  # wakes the one who waits in accept()
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, checker: Checker, serve: Serve) -> None:
    clients: list[Thread] = []
    with suppress(OSError):
        while True:
            client, _address = listener.accept()
            checker.connections += 1
            clients.append(Thread(target=_talk, args=(client, checker, serve)))
            clients[-1].start()
    for thread in clients:
        thread.join()


def _talk(client: socket.socket, checker: Checker, serve: Serve) -> None:
    with client, client.makefile("rb") as lines, suppress(OSError):
        right = serve(checker, lines)
        answer = right if checker.answer is None else checker.answer
        if answer is STALL:
            checker.over.wait(60)
        elif answer is TRICKLE:
            while not checker.over.wait(0.02):
                client.sendall(b"x")
        else:
            client.sendall(answer)
