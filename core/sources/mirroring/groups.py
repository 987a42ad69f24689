"""Groups that a source gives: for these its word is exact, all others are kept here.

A source gives groups by name (``SourceRecord.groups``). Which ones it decides stands in the
configuration; for them a copy has just what its record says, also where that is nothing.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.managed import managed_groups
from core.accounts.matrix import CellChange, save_customer_user_cells
from core.accounts.permissions import group_permissions
from core.audit import Actor
from core.i18n import gettext as _
from core.models import Group
from core.sources.mirroring.conflicts import Conflict
from core.sources.records import SourceRecord
from core.words import Permission, SourceConflict

_KEY = "group:"  # before the name, where a conflict is about a group and not about a record


class SourceGroups:
    """Gives the copies of one source their groups; make one with each ``Mirror``."""

    def __init__(self, source: str, actor: Actor) -> None:
        self._source = source
        self._actor = actor
        self._ids: Mapping[str, int] | None = None  # by name, of those that it decides
        self._conflict_keys: frozenset[str] = frozenset()

    @property
    def conflict_keys(self) -> frozenset[str]:
        """The keys under which groups that mean nothing are listed."""
        return self._conflict_keys

    def prepare(self, session: Session) -> Sequence[Conflict]:
        """Read once what the names mean; return those that mean nothing, as conflicts."""
        if self._ids is not None:
            return []
        names = managed_groups(session).get(self._source, frozenset())
        self._conflict_keys = frozenset(_KEY + name for name in names)
        rows = session.execute(select(Group.name, Group.id).where(Group.name.in_(names)))
        self._ids = dict(rows.all()) if names else {}
        return [_unknown(name) for name in sorted(names - self._ids.keys())]

    def changes(
        self, session: Session, records: Mapping[int, SourceRecord]
    ) -> Sequence[CellChange]:
        """Return what has to change for accounts, by their ids, to have what records say."""
        known = {
            account_id: record.groups
            for account_id, record in records.items()
            if record.groups is not None
        }
        if not known or not self._ids:
            return []
        stored, _inherited = group_permissions(session, list(known), [])
        return [
            change
            for account_id, wanted in known.items()
            for change in self._changes(account_id, stored.get(account_id, {}), wanted)
        ]

    def give(self, session: Session, records: Mapping[int, SourceRecord]) -> set[int]:
        """Give accounts, by their ids, what their records say; return those that changed."""
        changes = self.changes(session, records)
        save_customer_user_cells(session, self._actor, changes, from_source=True)
        return {change.holder_id for change in changes}

    def _changes(
        self, account_id: int, stored: Mapping[int, Permission], wanted: Mapping[str, Permission]
    ) -> Sequence[CellChange]:
        return [
            CellChange(account_id, group_id, stored.get(group_id), wanted.get(name))
            for name, group_id in (self._ids or {}).items()
            if stored.get(group_id) is not wanted.get(name)
        ]


def _unknown(name: str) -> Conflict:
    detail = _('The source gives the group "%(name)s", which does not exist.', name=name)
    return Conflict(_KEY + name, "", SourceConflict.FAULTY, detail)
