"""Addresses of servers, with a deadline: the system's look-up has none, and cannot be called off.

A look-up that takes longer is left behind in its thread, one for each name at most: whoever asks
again meanwhile waits for the same one.
"""

import ipaddress
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock, Thread

_Name = tuple[str, int]
_Addresses = Future[Sequence[str]]

_pending: dict[_Name, _Addresses] = {}
_lock = Lock()


def resolve(host: str, port: int, deadline: float) -> Sequence[str]:
    """Return the addresses of a host, an address as it is; ``deadline`` is one of ``monotonic``.

    Raises ``OSError``, which may be a ``TimeoutError``.
    """
    if _is_address(host):
        return [host]
    with _lock:
        addresses = _pending.get((host, port))
        if addresses is None:
            addresses = _pending[host, port] = Future()
            task = ((host, port), addresses)
            Thread(target=_look_up, args=task, name=f"look-up of {host}", daemon=True).start()
    return addresses.result(max(0.0, deadline - time.monotonic()))


def _look_up(name: _Name, addresses: _Addresses) -> None:
    try:
        found = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
    except UnicodeError:  # no name of DNS
        addresses.set_exception(OSError("is no host name"))
    except OSError as error:
        addresses.set_exception(error)
    else:
        addresses.set_result(list(dict.fromkeys(str(place[0]) for *_kind, place in found)))
    with _lock:
        del _pending[name]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
