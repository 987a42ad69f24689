"""Customer data in an LDAP directory, which is only read."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

from core.config import LdapSourceSection
from core.directory.client import Directory, DirectoryAway, Entry, escape
from core.directory.entries import OBJECT_GUID, guid_octets
from core.directory.groups import Groups
from core.sources.records import Found, SourceRecord
from core.sources.secrets import shown
from core.sources.source import By, SourceAway
from core.words import Permission

VALUES_AT_ONCE = 100  # of a look-up that stand in one filter
MAX_SHOWN = 200  # characters of a value that people look at: an entry may hold pictures

# Active Directory's addresses of any kind, each after its scheme: "SMTP:" the main one of mail,
# "smtp:" a further one, "X400:" and others none of mail.
_PROXY_ADDRESSES = "proxyaddresses"
_SMTP = "smtp:"
_SECRET = {"krbprincipalkey"}  # beside what is called like a password


class LdapSource:
    """A source by its section of the configuration; making one opens no connection.

    Whether upper and lower case matter to a search is up to the attribute; not to those that
    usually hold logins, addresses and numbers. Raises ``ConfigError`` like ``Directory``.
    """

    keeps_passwords = False

    def __init__(self, section: LdapSourceSection, password: str | None) -> None:
        self.name = section.name
        self.managed_groups = section.given_groups
        self._section = section
        self._directory = Directory(section, password, f"customer source {section.name}")
        names = section.attributes.model_dump(exclude={"more_addresses", "email", "valid"})
        self._texts: Mapping[str, str] = {field: name for field, name in names.items() if name}
        self._addresses = [section.attributes.email, *section.attributes.more_addresses]
        self._valid_values = {value.casefold() for value in section.valid_values}
        wanted = [*self._texts.values(), *self._addresses, section.attributes.valid]
        self._attributes = list(dict.fromkeys([*filter(None, wanted), *self._groups().attributes]))

    def count(self) -> int:
        """Return how many entries there are."""
        with self._asked():
            return sum(1 for _entry in self._directory.search(self._section.filter, []))

    def all_records(self) -> Iterator[SourceRecord]:
        """Yield every entry as a record, 500 in memory at once."""
        groups = self._groups()
        with self._asked():
            for entry in self._directory.search(self._section.filter, self._attributes):
                yield self._record(entry, groups)

    def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
        """Return the entries with one of these values as records."""
        groups = self._groups()
        filters = self._filters(by, values)
        with self._asked():
            return [
                self._record(entry, groups)
                for entry in self._search(filters, self._attributes, limit)
            ]

    def look_at(self, by: By, value: str, limit: int) -> Sequence[Found]:
        """Return the entries with this value, all of their attributes beside the record."""
        return self._found(self._filters(by, [value]), limit)

    def samples(self, limit: int) -> Sequence[Found]:
        """Return some entries with all of their attributes beside the record."""
        return self._found([self._section.filter], limit)

    def check_password(self, key: str, password: str) -> bool:
        """Whether the one entry with this key is valid and may bind with this password."""
        filters = self._filters(By.KEY, [key])
        with self._asked():
            found = list(self._search(filters, self._attributes, 2))
            if len(found) != 1 or not self._is_valid(found[0]):
                return False
            return self._directory.bind_as(found[0].dn, password)

    def close(self) -> None:
        """Close the connections."""
        self._directory.close()

    def _found(self, filters: Iterable[str], limit: int) -> Sequence[Found]:
        groups = self._groups()
        with self._asked():
            return [
                Found(_raw(entry), self._record(entry, groups))
                for entry in self._search(filters, ["*", *self._attributes], limit)
            ]

    def _search(
        self, filters: Iterable[str], attributes: Sequence[str], limit: int
    ) -> Iterator[Entry]:
        """Yield the entries that one of the filters matches, each once."""
        seen: set[str] = set()
        for wanted in filters:
            for entry in list(self._directory.search(wanted, attributes, limit=limit)):
                if entry.dn not in seen and len(seen) < limit:
                    seen.add(entry.dn)
                    yield entry

    def _filters(self, by: By, values: Collection[str]) -> Iterator[str]:
        """Yield filters that match the entries with one of the values."""
        if by is By.NUMBER and self._section.customer_number:
            number = self._section.customer_number.casefold()
            if number in {value.casefold() for value in values}:
                yield self._section.filter
            return
        conditions = (condition for value in values for condition in self._conditions(by, value))
        while some := "".join(islice(conditions, VALUES_AT_ONCE)):
            yield f"(&{self._section.filter}(|{some}))"

    def _conditions(self, by: By, value: str) -> Iterator[str]:
        """Yield filters that match the entries with a value, one for each attribute."""
        names = {
            By.KEY: [self._texts["key"]],
            By.LOGIN: [self._texts["login"]],
            By.ADDRESS: self._addresses,
            By.NUMBER: [self._texts.get("customer_number", "")],
        }[by]
        for name in names:
            octets = _octets(name, value)
            if octets:
                yield f"({name}={escape(octets)})"

    def _record(self, entry: Entry, groups: Groups) -> SourceRecord:
        texts = {field: entry.first(name).strip() for field, name in self._texts.items()}
        addresses = list(self._addresses_of(entry))
        return SourceRecord(
            **{"customer_number": self._section.customer_number, **texts},
            email=next(iter(addresses), ""),
            more_addresses=tuple(addresses[1:]),
            valid=self._is_valid(entry),
            groups=self._permissions(groups.of(entry)) if self._section.groups else None,
        )

    def _addresses_of(self, entry: Entry) -> Iterable[str]:
        """Return the addresses of mail, the main one first, each once whatever its case."""
        found: dict[str, str] = {}
        for name in self._addresses:
            for address in _mail_addresses(name, entry.all(name)):
                found.setdefault(address.casefold(), address)
        return found.values()

    def _is_valid(self, entry: Entry) -> bool:
        name = self._section.attributes.valid
        return not name or entry.first(name).casefold() in self._valid_values

    def _groups(self) -> Groups:
        return Groups(self._directory, self._section.member_of, self._section.groups)

    def _permissions(self, names: Iterable[str]) -> Mapping[str, Permission]:
        """Return what groups there give here; of two permissions for one group the stronger."""
        given: dict[str, Permission] = {}
        for name in names:
            for group, permission in self._section.groups[name].items():
                if given.get(group) is not Permission.RW:
                    given[group] = permission
        return given

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except DirectoryAway as error:
            raise SourceAway(self.name, error.reason) from None


def _octets(name: str, value: str) -> str | bytes | None:
    """Return a value as an attribute holds it, None where it can hold no such value."""
    if name.lower() == OBJECT_GUID:
        return guid_octets(value)
    if name.lower() == _PROXY_ADDRESSES:
        return _SMTP + value
    return value


def _mail_addresses(name: str, values: Iterable[str]) -> Iterator[str]:
    """Yield the addresses of mail among the values of an attribute, the main one first."""
    if name.lower() != _PROXY_ADDRESSES:
        yield from filter(None, (value.strip() for value in values))
        return
    for value in sorted(values, key=lambda value: not value.startswith(_SMTP.upper())):
        if value.lower().startswith(_SMTP):
            yield value[len(_SMTP) :].strip()


def _raw(entry: Entry) -> Mapping[str, tuple[str, ...]]:
    return {
        name: shown(name.lower(), tuple(_clipped(value) for value in values), _SECRET)
        for name, values in sorted(entry.attributes.items())
    }


def _clipped(value: str) -> str:
    return value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
