"""The directory that staff are kept in: who is in it, what they may do here, whose password it is.

Nothing here touches the database; ``core.accounts.directory_staff`` brings in what is found.
"""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from core.accounts.passwords import MAX_BYTES
from core.config import Config, StaffDirectorySection
from core.directory.client import Directory, DirectoryAway, Entry, escape
from core.directory.entries import OBJECT_GUID, guid_octets
from core.directory.groups import Groups
from core.mail.text import one_line
from core.portions import in_portions
from core.sources.asking.breaker import Breaker, Permit
from core.sources.configured import read_password
from core.words import Permission, Role

__all__ = ["Checked", "DirectoryAway", "DirectoryMember", "StaffDirectory", "staff_directory_of"]

NAME = "staff directory"  # in the log
AT_ONCE = 3  # sign-ins that wait for it; a portal has eight threads, and others sign in as well
PATIENCE_SECONDS = 1.0  # how long a further one waits for its turn
KEYS_AT_ONCE = 50  # in one filter
MAX_NAME = 100  # characters that are kept of a name
MAX_COUNTED = 1000  # people of a role
_MEMBERS = ("member", "uniqueMember", "memberUid")


@dataclass(frozen=True, slots=True)
class DirectoryMember:
    """Somebody in the directory. ``role`` None: no member of staff (any more)."""

    key: str
    dn: str
    login: str
    email: str
    first_name: str
    last_name: str
    role: Role | None
    groups: Mapping[str, Permission]


@dataclass(frozen=True, slots=True)
class Checked:
    """Whom a name means, None for nobody or more than one, and whether it is their password."""

    member: DirectoryMember | None
    is_password: bool


class StaffDirectory:
    """The directory of ``[staff_directory]``, for as long as a program runs; for many threads.

    A method takes some seconds at most. All but ``close`` may raise ``DirectoryAway``: at once
    where the directory has not answered lately.
    """

    def __init__(self, section: StaffDirectorySection, password: str | None) -> None:
        """Connect to nothing yet. Raises ``ConfigError`` for what cannot be used."""
        self._section = section
        self._directory = Directory(section, password, NAME)
        self._breaker = Breaker()
        self._turns = BoundedSemaphore(AT_ONCE)

    def check(self, name: str, password: str) -> Checked:
        """Look somebody up by login or mail address, and try their password.

        Where there is nobody, somebody who does not exist is tried, so that it takes as long. A
        password of more than 1024 bytes is never right.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            password = secrets.token_hex()
        value = escape(name)
        attributes = self._section.attributes
        wanted = f"(|({attributes.login}={value})({attributes.email}={value}))"
        with self._asking():
            found = self._find(wanted, limit=2)
            if len(found) == 1:
                return Checked(found[0], self._directory.bind_as(found[0].dn, password))
            self._directory.bind_as(self._nobody(), secrets.token_hex())
            return Checked(None, False)

    def pretend(self) -> None:
        """Do what ``check`` does, for nobody."""
        self.check(secrets.token_hex(8), secrets.token_hex())

    def read(self, keys: Iterable[str]) -> Mapping[str, DirectoryMember]:
        """Return those of the entries that are still there, by their keys."""
        found: dict[str, DirectoryMember] = {}
        with self._asking():
            for some in in_portions(keys, KEYS_AT_ONCE):
                conditions = "".join(map(self._has_key, some))
                members = self._find(f"(|{conditions})", limit=len(some))
                found.update((member.key, member) for member in members)
        return found

    def count(self) -> Mapping[str, int | None]:
        """Return how many people are in each group that gives something, by its DN as configured.

        None for a group that is not there; 1,000 at most are counted.
        """
        return {dn: self._count(dn) for dn in {**self._section.roles, **self._section.groups}}

    def close(self) -> None:
        """Give up the connections that are kept open."""
        self._directory.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Ask while the block lasts, when it is our turn; not at all while nobody answers."""
        permit = self._breaker.permit()
        if permit is Permit.LEAVE:
            away = self._breaker.away
            raise DirectoryAway(away.reason if away else "it was away a moment ago")
        if not self._turns.acquire(timeout=PATIENCE_SECONDS):
            raise DirectoryAway("too many are asking at once")
        try:
            yield
        except DirectoryAway as error:
            self._breaker.failed(permit, error.reason)
            raise
        finally:
            self._turns.release()
        self._breaker.answered()

    def _find(self, condition: str, limit: int) -> Sequence[DirectoryMember]:
        """Return whom a condition means; who has no key is nobody that could be known again."""
        names = self._section.attributes
        groups = Groups(
            self._directory,
            self._section.member_of,
            {*self._section.roles, *self._section.groups},
        )
        wanted = {*names.model_dump().values(), *groups.attributes} - {""}
        search = self._directory.search(
            f"(&{self._section.filter}{condition})", sorted(wanted), limit=limit
        )
        entries = [entry for entry in search if entry.first(names.key)]
        return [self._member(entry, groups.of(entry)) for entry in entries]

    def _member(self, entry: Entry, groups: Collection[str]) -> DirectoryMember:
        names = self._section.attributes
        roles = {role for dn, role in self._section.roles.items() if dn in groups}
        return DirectoryMember(
            key=entry.first(names.key),
            dn=entry.dn,
            login=one_line(entry.first(names.login)),
            email=one_line(entry.first(names.email)),
            first_name=one_line(entry.first(names.first_name))[:MAX_NAME].strip(),
            last_name=one_line(entry.first(names.last_name))[:MAX_NAME].strip(),
            role=next((role for role in (Role.ADMIN, Role.AGENT) if role in roles), None),
            groups=_together(given for dn, given in self._section.groups.items() if dn in groups),
        )

    def _count(self, dn: str) -> int | None:
        with self._asking():
            group = self._directory.read(dn, _MEMBERS)
            if group is None:
                return None
            if not self._section.member_of:
                return sum(len(group.all(name)) for name in _MEMBERS)
            wanted = f"(&{self._section.filter}({self._section.member_of}={escape(dn)}))"
            return sum(1 for _ in self._directory.search(wanted, ["1.1"], limit=MAX_COUNTED))

    def _has_key(self, key: str) -> str:
        """Return the condition for an entry with this key."""
        name = self._section.attributes.key
        octets = guid_octets(key) if name.lower() == OBJECT_GUID else None
        return f"({name}={escape(key if octets is None else octets)})"

    def _nobody(self) -> str:
        return f"cn={secrets.token_hex(8)},{self._section.base}"


def staff_directory_of(config: Config) -> StaffDirectory | None:
    """Return the directory of the configuration, None where there is none.

    Raises ``ConfigError`` for what cannot be used, such as a password file that cannot be read.
    """
    section = config.staff_directory
    if section is None:
        return None
    return StaffDirectory(section, read_password(section.password_file, "staff_directory"))


def _together(given: Iterable[Mapping[str, Permission]]) -> Mapping[str, Permission]:
    """Return what several groups give together: ``rw`` contains ``ro``."""
    together: dict[str, Permission] = {}
    for groups in given:
        for name, permission in groups.items():
            if together.get(name) is not Permission.RW:
                together[name] = permission
    return together
