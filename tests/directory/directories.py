"""Directories as the configuration names them, and servers that are none."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from core.config import DirectorySection
from core.directory.client import Directory
from tests.support.slapd import BASE, Slapd

PATIENCE = 30.0  # seconds for what answers, on a machine however busy; whatever hangs never does


def section_of(slapd: Slapd, **changes: Any) -> DirectorySection:
    """Return the section that reads a directory by StartTLS, with some keys changed."""
    keys = {
        "servers": [slapd.server],
        "ca_file": slapd.ca_file,
        "bind_dn": slapd.bind_dn,
        "password_file": slapd.password_file,
        "base": slapd.base,
    }
    return DirectorySection(**keys | changes)


@contextmanager
def reading(slapd: Slapd, **changes: Any) -> Iterator[Directory]:
    """Give the client of a directory, and close it."""
    directory = Directory(section_of(slapd, **changes), slapd.password, "firm")
    try:
        yield directory
    finally:
        directory.close()


class Connections:
    """How many connections a server has taken since this was made, also those that had to wait."""

    def __init__(self, slapd: Slapd) -> None:
        self._slapd = slapd
        self._before = 0
        before = self.count()
        self._before += before

    def count(self) -> int:
        """Return the number. One more, which is not counted, tells when the log has the others."""
        with reading(self._slapd) as one_more:
            assert one_more.read(BASE, []) is not None
        self._before += 1
        return self._slapd.log.count(" ACCEPT ") - self._before


@contextmanager
def server_that(
    answers: Callable[[bytes], bytes], *, every: float = 0.0
) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that answers each packet with what a function makes of it.

    Where ``every`` is given, it goes on to do so after so many seconds. Gives its address and
    what it receives.
    """
    received: list[bytes] = []

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            while packet := client.recv(65_536):
                received.append(packet)
                client.sendall(answers(packet))
                while every:
                    time.sleep(every)  # the pace at which this server drips
                    client.sendall(answers(packet))

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _address = listener.accept()
                threading.Thread(target=serve, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)
