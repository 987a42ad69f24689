"""The sockets that the gateway listens on, and who is let in."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

from core.config import UNIX, split_host_port
from core.errors import ConfigError
from gateway.connections import LOCAL, Client, Connections
from gateway.replies import TOO_MANY_CONNECTIONS
from gateway.session import Session

BACKLOG = 512
SOCKET_MODE = 0o660  # the mail server's group may connect

MakeSession = Callable[[Client], Session]


class Doorman(asyncio.Protocol):
    """Meets a new connection: hands it to a session, or refuses it before it costs anything."""

    def __init__(self, connections: Connections, make_session: MakeSession, *, local: bool) -> None:
        self._connections = connections
        self._make_session = make_session
        self._local = local

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or not."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        peername = transport.get_extra_info("peername")
        if not self._local and not peername:
            transport.abort()  # gone already: nobody knows who it was
            return
        client = LOCAL if self._local else self._connections.client(peername[0])
        if not self._connections.admit(client):
            transport.write(f"{TOO_MANY_CONNECTIONS}\r\n".encode())
            transport.close()
            return
        session = self._make_session(client)
        transport.set_protocol(session)
        session.connection_made(transport)


async def listen(
    key: str, address: str, connections: Connections, make_session: MakeSession
) -> asyncio.Server:
    """Listen on ``host:port`` or ``unix:PATH``; ``key`` is the configuration key that says so.

    Raises ``ConfigError`` naming key, address and reason when that is not possible.
    """
    loop = asyncio.get_running_loop()
    local = address.startswith(UNIX)

    def doorman() -> Doorman:
        return Doorman(connections, make_session, local=local)

    try:
        if local:
            bound = _bind(Path(address.removeprefix(UNIX)))
            return await loop.create_unix_server(doorman, sock=bound, backlog=BACKLOG)
        host, port = split_host_port(address)
        return await loop.create_server(doorman, host, port, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"{key} {address}: cannot listen: {_reason(error)}") from None


def _bind(path: Path) -> socket.socket:
    """Make a socket file; one that a crash left behind is replaced."""
    if _is_stale(path):
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~SOCKET_MODE)  # from the first instant, not a moment later
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


def _is_stale(path: Path) -> bool:
    """Whether this is a socket file that nobody listens on; never any other file."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use"
    return (error.strerror or str(error)).lower()
