"""Which groups of a directory somebody is in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.directory.client import Directory, DirectoryAway
from core.directory.entries import Entry
from core.directory.names import DnKey, dn_key
from core.i18n import gettext as _

_MEMBERS = ("member", "uniqueMember")  # of a group, by DN
_MEMBER_UID = "memberUid"  # of a posixGroup
_UID = "uid"  # which that names


@dataclass(frozen=True, slots=True)
class _Members:
    dns: frozenset[DnKey]
    uids: frozenset[str]


class Groups:
    """The groups with the DNs ``names``, as they are now: make one for each look-up or pass.

    ``member_of`` is the attribute of a person that names their groups; where it is "" the groups
    are read instead, once and not before somebody is asked about.
    """

    def __init__(self, directory: Directory, member_of: str, names: Collection[str]) -> None:
        self._directory = directory
        self._member_of = member_of
        self._names = [(name, dn_key(name)) for name in names]
        self._members: Mapping[str, _Members] | None = None

    @property
    def attributes(self) -> Sequence[str]:
        """What has to be read of somebody who is asked about."""
        return [self._member_of or _UID] if self._names else []

    def of(self, entry: Entry) -> frozenset[str]:
        """Return those of ``names`` that are groups of somebody, as they are written there.

        Raises ``DirectoryAway``, also for a group that is not there or may not be read: nobody
        shall lose what it gives because of that.
        """
        if self._member_of:
            keys = {dn_key(name) for name in entry.all(self._member_of)}
            return frozenset(name for name, key in self._names if key in keys)
        if self._members is None:
            self._members = {name: self._read(name) for name, _key in self._names}
        key = dn_key(entry.dn)
        uids = {uid.casefold() for uid in entry.all(_UID)}
        return frozenset(
            name
            for name, members in self._members.items()
            if key in members.dns or not uids.isdisjoint(members.uids)
        )

    def _read(self, name: str) -> _Members:
        group = self._directory.read(name, [*_MEMBERS, _MEMBER_UID])
        if group is None:
            raise DirectoryAway(_("the group %(dn)s is not there, or may not be read", dn=name))
        return _Members(
            frozenset(dn_key(dn) for attribute in _MEMBERS for dn in group.all(attribute)),
            frozenset(uid.casefold() for uid in group.all(_MEMBER_UID)),
        )
