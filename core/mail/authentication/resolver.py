"""Asking the domain name system: with one deadline for a mail, and a cache that all mails share.

Nothing in here raises anything but ``NoAnswer``: whether a name has such records is known, or it is
not, and then the answer is a doubt.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.TXT
import dns.resolver

DEADLINE_SECONDS = 5.0  # for all look-ups of one mail together
MAX_LOOKUPS = 40  # of one mail; SPF has a limit of its own, signatures and DMARC need few
MAX_CACHED = 10_000  # answers
MAX_TTL = 3600.0  # seconds: a change of a domain's records is seen soon
TTL_OF_NOTHING = 60.0  # that a name has no such records
MAX_RECORDS = 100  # of one answer

Record = tuple[bytes, ...]  # the strings of a TXT record; preference and host of MX; else one item


class NoAnswer(Exception):
    """Name servers did not answer, in time or at all."""


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float  # on the monotonic clock
    records: tuple[Record, ...]


class Resolver:
    """The name servers and the cache of a process; any thread may use it.

    ``servers`` are addresses with ports, instead of those that the system names.
    """

    def __init__(self, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._cache: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = Lock()
        self._resolver: dns.resolver.Resolver | None = None
        try:
            self._resolver = dns.resolver.Resolver(configure=not servers)
        except dns.exception.DNSException:
            return  # the system names none, so that every question is a doubt
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in servers
            ]

    def ask(self, name: str, kind: str, seconds: float) -> tuple[Record, ...]:
        """Return the records of a name, none if it has none of that kind. Raises ``NoAnswer``."""
        key = (name.lower().rstrip("."), kind)
        now = time.monotonic()
        with self._lock:
            kept = self._cache.get(key)
            if kept is not None and kept.until > now:
                self._cache.move_to_end(key)
                return kept.records
        records, ttl = self._look_up(*key, seconds)
        if ttl > 0:
            with self._lock:
                self._cache[key] = _Kept(now + min(ttl, MAX_TTL), records)
                self._cache.move_to_end(key)
                if len(self._cache) > MAX_CACHED:
                    self._cache.popitem(last=False)
        return records

    def _look_up(self, name: str, kind: str, seconds: float) -> tuple[tuple[Record, ...], float]:
        if self._resolver is None or seconds <= 0:
            raise NoAnswer
        try:
            found = self._resolver.resolve(
                dns.name.from_text(name),
                kind,
                lifetime=seconds,
                raise_on_no_answer=False,
                search=False,
            )
        except dns.resolver.NXDOMAIN:
            return (), TTL_OF_NOTHING
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return (), 0.0  # no name that could have records
        except (dns.exception.DNSException, OSError, UnicodeError):
            raise NoAnswer from None
        if found.rrset is None:
            return (), TTL_OF_NOTHING
        return tuple(map(_read, list(found.rrset)[:MAX_RECORDS])), float(found.rrset.ttl)


def _read(record: dns.rdata.Rdata) -> Record:
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return record.strings
    if isinstance(record, dns.rdtypes.ANY.MX.MX):
        host = record.exchange.to_text(omit_final_dot=True)
        return str(record.preference).encode(), host.encode()
    if isinstance(record, dns.rdtypes.ANY.PTR.PTR):
        return (record.target.to_text(omit_final_dot=True).encode(),)
    return (record.to_text().encode(),)


class Questions:
    """The look-ups of one mail: they share a deadline and a limit."""

    def __init__(self, resolver: Resolver, seconds: float = DEADLINE_SECONDS) -> None:
        self._resolver = resolver
        self._ends = time.monotonic() + seconds
        self._left = MAX_LOOKUPS

    def ask(self, name: str, kind: str) -> tuple[Record, ...]:
        """Return the records of a name. Raises ``NoAnswer``, also when time or limit is spent."""
        self._left -= 1
        if self._left < 0:
            raise NoAnswer
        return self._resolver.ask(name, kind, self._ends - time.monotonic())

    def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, each in one piece. Raises ``NoAnswer``."""
        return [b"".join(record) for record in self.ask(name, "TXT")]
