"""Staff: agents, who work the queues of their groups, and admins, who work all and configure.

Some are kept in a directory (``core.accounts.directory_staff``), which then decides who they are
and what they may do; only it changes them here. One admin always remains who needs none.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.accounts.copies import kept_in_directory
from core.accounts.logins import check_login, login_key, person_with_key
from core.accounts.managed import groups_of_directory
from core.accounts.saving import Problems, check_version, clean_texts, flush, store
from core.accounts.sessions import end_sessions
from core.audit import Actor
from core.errors import Invalid, NotFound
from core.i18n import gettext as _
from core.mail.addresses import address_key, check_new_address
from core.models import Group, Staff, StaffGroup, now
from core.organisation import Organisation
from core.words import Permission, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffValues:
    """What can be entered for a member of staff; ``groups`` are permissions by group name."""

    login: str
    email: str
    role: Role
    first_name: str = ""
    last_name: str = ""
    valid: bool = True
    groups: Mapping[str, Permission] = field(default_factory=dict)


_PLAIN_FIELDS = ("login", "email", "role", "first_name", "last_name", "valid")


def staff_values(staff: Staff) -> StaffValues:
    """Return what is stored of a member of staff."""
    return StaffValues(
        **{field: getattr(staff, field) for field in _PLAIN_FIELDS},
        groups=dict(sorted((row.group.name, row.permission) for row in staff.permissions)),
    )


def save_staff(
    session: Session,
    actor: Actor,
    values: StaffValues,
    current: Staff | None = None,
    version: int | None = None,
    *,
    directory_key: str | None = None,
) -> Staff:
    """Create a member of staff, or change ``current`` where it differs.

    One valid admin always remains who has a password here. A change of role or validity ends the
    web sessions. ``directory_key`` is given by whoever brings in what the directory says of that
    entry; without it only those groups of staff from a directory can be changed that it does not
    decide. Raises ``InvalidFields``, and ``Stale`` when ``version`` is not the stored one.
    """
    admins = _locked_admins(session)
    check_version(session, current, version)
    problems = Problems()
    values, known = _checked(session, values, current, admins, problems)
    before = staff_values(current) if current is not None else None
    if current is not None and before is not None and current.directory_key != directory_key:
        _check_kept_there(before, values, groups_of_directory(session, current), problems)
    problems.raise_any()
    staff = current if current is not None else Staff(directory_key=directory_key)
    if values == before:
        return staff
    for name in _PLAIN_FIELDS:
        setattr(staff, name, getattr(values, name))
    staff.login_key = login_key(values.login)
    if before is None or values.groups != before.groups:
        _set_groups(staff, values.groups, known)
    staff.changed_at = now()
    store(session, actor, "staff", staff, staff.login, before, values)
    if before is not None and (before.role, before.valid) != (values.role, values.valid):
        end_sessions(session, staff)
    return staff


def keep_here(session: Session, actor: Actor, staff: Staff) -> None:
    """Make a member of staff from a directory one that is kept here, without a password yet."""
    if staff.directory_key is None:
        return
    staff.directory_key = None
    staff.directory_seen_at = None
    staff.changed_at = now()
    flush(session)
    audit.record(session, actor, "kept-here", "staff", staff.id, staff.login)


def is_kept_here(session: Session, login: str, address: str | None) -> bool:
    """Whether a login's key is somebody's who is in no directory, or an address a valid one's."""
    here = session.scalars(select(Staff).where(Staff.directory_key.is_(None)))
    return any(
        staff.login_key == login
        or (address is not None and staff.valid and address_key(staff.email) == address)
        for staff in here  # tens, not thousands
    )


def signs_in_here() -> ColumnElement[bool]:
    """Return the condition that a member of staff is valid and needs no directory."""
    return and_(Staff.valid, Staff.directory_key.is_(None), Staff.password_hash.is_not(None))


def staff_with_login(session: Session, login: str) -> Staff:
    """Return the member of staff with this login, whatever its case. Raises ``NotFound``."""
    staff = session.scalars(select(Staff).where(Staff.login_key == login_key(login))).one_or_none()
    if staff is None:
        raise NotFound(_('There is no member of staff with the login "%(login)s".', login=login))
    return staff


@dataclass(frozen=True, slots=True)
class StaffQueues:
    """The ids of the queues whose tickets somebody may read, and those they may work.

    ``everything`` is an admin's: also what is for no queue, as mail to postmaster.
    """

    readable: frozenset[int]
    writable: frozenset[int]
    everything: bool = False

    def may_work(self, queue_id: int | None) -> bool:
        """Whether what is for this queue, or for none, may be worked on."""
        return self.everything if queue_id is None else queue_id in self.writable

    def reads(self, queue_id: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """Return the condition that what is for a queue may be read."""
        return true() if self.everything else queue_id.in_(sorted(self.readable))

    def works(self, queue_id: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """Return ``may_work`` as a condition."""
        return true() if self.everything else queue_id.in_(sorted(self.writable))


def staff_queue_ids(session: Session, organisation: Organisation, staff: Staff) -> StaffQueues:
    """Return the queues of a member of staff: an admin's are all, invalid ones too.

    An invalid group or queue can still be read by agents of its group, so that no ticket gets
    out of sight; nothing can be written to it. Invalid staff have none.
    """
    if not staff.valid:
        return StaffQueues(frozenset(), frozenset())
    if staff.role is Role.ADMIN:
        everything = frozenset(organisation.queues)
        return StaffQueues(everything, everything, everything=True)
    rows = session.execute(
        select(StaffGroup.group_id, StaffGroup.permission).where(StaffGroup.staff_id == staff.id)
    )
    by_group: dict[int, Permission] = dict(rows.all())
    queues = [queue for queue in organisation.queues.values() if queue.group_id in by_group]
    return StaffQueues(
        readable=frozenset(queue.id for queue in queues),
        writable=frozenset(
            queue.id
            for queue in queues
            if queue.valid and by_group[queue.group_id] is Permission.RW
        ),
    )


def _locked_admins(session: Session) -> frozenset[int]:
    """Return the admins who need no directory, in whom nobody else changes anything until the end.

    Two who demote each other at the same moment would leave nobody.
    """
    statement = select(Staff.id).where(Staff.role == Role.ADMIN, signs_in_here())
    statement = statement.order_by(Staff.id)
    return frozenset(session.scalars(statement.with_for_update(key_share=True)))


def _checked(
    session: Session,
    values: StaffValues,
    current: Staff | None,
    admins: frozenset[int],
    problems: Problems,
) -> tuple[StaffValues, dict[str, Group]]:
    values = clean_texts(values, Staff, problems, required=("login", "email"))
    if values.login:
        with problems.gathered():
            check_login(values.login, current, lambda key: person_with_key(session, Staff, key))
    if values.email:
        with problems.gathered():
            values = replace(values, email=check_new_address(values.email))
    with problems.gathered():
        _check_admin_remains(values, current, admins)
    known = {group.name: group for group in session.scalars(select(Group))}
    for name in values.groups:
        if name not in known:
            problems.add(Invalid("groups", _('There is no group "%(name)s".', name=name)))
    groups = {name: Permission(word) for name, word in sorted(values.groups.items())}
    return replace(values, groups=groups), known


def _check_admin_remains(
    values: StaffValues, current: Staff | None, admins: frozenset[int]
) -> None:
    """Refuse what would leave nobody who can give permissions, whatever the directory does."""
    stays = values.role is Role.ADMIN and values.valid
    if current is None or stays or current.directory_key is not None:
        return
    if current.role is Role.ADMIN and current.valid and not admins - {current.id}:
        raise Invalid("role", _("This is the last admin. Make somebody else an admin first."))


def _check_kept_there(
    before: StaffValues, values: StaffValues, groups: Collection[str], problems: Problems
) -> None:
    """Gather a problem for each field, and one for the ``groups``, that the directory decides."""
    for name in _PLAIN_FIELDS:
        if getattr(before, name) != getattr(values, name):
            problems.add(kept_in_directory(name))
    if any(before.groups.get(name) != values.groups.get(name) for name in groups):
        problems.add(kept_in_directory("groups"))


def _set_groups(staff: Staff, wanted: Mapping[str, Permission], known: Mapping[str, Group]) -> None:
    rows = {row.group.name: row for row in staff.permissions}
    permissions = []
    for name, permission in wanted.items():
        row = rows.get(name) or StaffGroup(group=known[name])
        row.permission = permission
        permissions.append(row)
    staff.permissions = permissions
