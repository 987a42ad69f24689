"""The blocklist as intake asks it: one immutable value, no query for a mail."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.words import BlockedKind

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_Prefix = tuple[int, int]  # IP version and length of the network's prefix in bits


@dataclass(frozen=True, slots=True)
class BlockedEntry:
    """One entry of the blocklist; ``value`` as stored: an address key, a domain or a network."""

    id: int
    kind: BlockedKind
    value: str


@dataclass(frozen=True, slots=True)
class Blocklist:
    """Whose mail is refused.

    Networks are kept by the length of their prefix: asking costs one look-up for each length in
    use (at most 33 for IPv4, 129 for IPv6), however many networks there are.
    """

    addresses: Mapping[str, BlockedEntry] = field(default_factory=dict)
    domains: Mapping[str, BlockedEntry] = field(default_factory=dict)
    networks: Mapping[_Prefix, Mapping[IPNetwork, BlockedEntry]] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[BlockedEntry]) -> "Blocklist":
        """Return these entries as a list that can be asked."""
        addresses: dict[str, BlockedEntry] = {}
        domains: dict[str, BlockedEntry] = {}
        networks: dict[_Prefix, dict[IPNetwork, BlockedEntry]] = {}
        for entry in entries:
            match entry.kind:
                case BlockedKind.ADDRESS:
                    addresses[entry.value] = entry
                case BlockedKind.DOMAIN:
                    domains[entry.value] = entry
                case BlockedKind.PEER:
                    network = ipaddress.ip_network(entry.value)
                    prefix = (network.version, network.prefixlen)
                    networks.setdefault(prefix, {})[network] = entry
        return cls(addresses, domains, networks)

    def find(self, senders: Iterable[str], peer: str = "") -> BlockedEntry | None:
        """Return the first entry that names one of these senders, or the client.

        ``senders`` are address keys, "" for none. ``peer`` is the client's IP address; anything
        else, as "" for a relay of ours, is on no list.
        """
        if self.addresses or self.domains:
            for sender in senders:
                if found := self.addresses.get(sender) or self._domain_of(sender):
                    return found
        return self._network_of(peer) if self.networks and peer else None

    def _domain_of(self, sender: str) -> BlockedEntry | None:
        """An entry matches its domain and all domains below it."""
        domain = sender.rpartition("@")[2]
        while domain:
            if found := self.domains.get(domain):
                return found
            domain = domain.partition(".")[2]
        return None

    def _network_of(self, peer: str) -> BlockedEntry | None:
        try:
            address = plain_address(ipaddress.ip_address(peer))
        except ValueError:
            return None
        for (version, length), networks in self.networks.items():
            if version == address.version:
                network = ipaddress.ip_network((address, length), strict=False)
                if found := networks.get(network):
                    return found
        return None


NOBODY = Blocklist()


def plain_address(address: IPAddress) -> IPAddress:
    """Return an IPv4 address that is written as IPv6 (``::ffff:192.0.2.1``) as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
