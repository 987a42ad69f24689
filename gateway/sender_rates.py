"""How many messages one sender may begin in ten minutes, by address, by domain and by client.

Counted are MAIL commands, for new mail and replies alike; too many get a 4xx, so nothing is lost:
a mail server tries again. Relays of ours pass on the mail of many, so they are counted by sender
only. The null reverse-path, that of reports, belongs to nobody and is counted by client only.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.mail.addresses import address_key, split_subaddress
from gateway.connections import Client, counted_as

WINDOW = 600.0  # seconds
MAX_KEYS = 100_000  # that are remembered at once; then the one that was quiet longest is forgotten


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How many messages in ten minutes; 0 is without a limit."""

    per_address: int = 0
    per_domain: int = 0
    per_client: int = 0


class SenderRates:
    """The messages begun in the last ten minutes at most, in this process."""

    def __init__(
        self, limits: SenderLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or SenderLimits()
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._began = clock()

    def admit(self, client: Client, sender: str) -> bool:
        """Count a message of this reverse-path, unless it is one too many for any limit."""
        if self._clock() - self._began >= WINDOW:
            self._counts.clear()
            self._began = self._clock()
        keys = list(self._keys(client, sender))
        if any(self._counts.get(key, 0) >= limit for key, limit in keys):
            return False
        for key, _limit in keys:
            self._counts[key] = self._counts.pop(key, 0) + 1  # and it is the newest
        while len(self._counts) > MAX_KEYS:
            del self._counts[next(iter(self._counts))]
        return True

    def _keys(self, client: Client, sender: str) -> Iterator[tuple[str, int]]:
        """Yield what the message is counted by, and how many there may be."""
        limits = self._limits
        if limits.per_client and not client.trusted:
            yield f"client {counted_as(client.address)}", limits.per_client
        if not sender:
            return
        address = split_subaddress(address_key(sender) or sender.lower())[0]
        if limits.per_address:
            yield f"address {address}", limits.per_address
        if limits.per_domain:
            yield f"domain {address.rpartition('@')[2]}", limits.per_domain
