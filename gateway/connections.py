"""Who may connect: connections counted in all, per address and per minute (threat P8)."""

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.limits import Limits

log = logging.getLogger(__name__)

IPV6_PREFIX = 64  # what one customer of a provider gets at least: counted as one address
MINUTE = 60.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """The other end of a connection: its IP address ("" at a socket file), and who it is to us."""

    address: str
    trusted: bool


LOCAL = Client("", trusted=True)  # by the LMTP socket file: its mode says who may use it


class Connections:
    """The open connections of one gateway."""

    def __init__(
        self, limits: Limits, relays: Sequence[Network], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._relays = tuple(relays)
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._strangers = 0
        self._trusted = 0
        self._recent: Counter[str] = Counter()
        self._warned = False
        self._minute_began = clock()

    def client(self, host: str) -> Client:
        """Return who is at the other end of a TCP connection from ``host``, an IP address."""
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return Client(str(address), trusted=any(address in network for network in self._relays))

    def admit(self, client: Client) -> bool:
        """Count a new connection, unless that is one too many."""
        self._begin_minute()
        admitted = self._admit_relay() if client.trusted else self._admit_stranger(client)
        if not admitted:
            self._warn(client)
        return admitted

    def release(self, client: Client) -> None:
        """Count an admitted connection as closed."""
        if client.trusted:
            self._trusted -= 1
            return
        key = counted_as(client.address)
        self._strangers -= 1
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]

    def _admit_relay(self) -> bool:
        if self._trusted >= self._limits.relay_connections:
            return False
        self._trusted += 1
        return True

    def _admit_stranger(self, client: Client) -> bool:
        key = counted_as(client.address)
        self._recent[key] += 1
        if (
            self._strangers >= self._limits.connections
            or self._recent[key] > self._limits.connections_per_minute
            or self._open[key] >= self._limits.connections_per_address
        ):
            return False
        self._strangers += 1
        self._open[key] += 1
        return True

    def _begin_minute(self) -> None:
        now = self._clock()
        if now - self._minute_began >= MINUTE:
            self._recent.clear()
            self._warned = False
            self._minute_began = now

    def _warn(self, client: Client) -> None:
        """Say once a minute that connections are refused: a flood must not fill the log, too."""
        if not self._warned:
            self._warned = True
            log.warning("too many connections: refused %s and perhaps others", client.address)


def counted_as(address: str) -> str:
    """Return what an IP address is counted as: IPv6 by the network of one customer."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
