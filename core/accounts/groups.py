"""Groups: what permissions are given through (handbook: *Kundengruppen*)."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.accounts.saving import (
    Problems,
    check_version,
    clean_texts,
    holder_of_name,
    store,
)
from core.audit import Actor
from core.errors import Duplicate, NotFound
from core.i18n import gettext as _
from core.mail.text import one_line
from core.models import CustomerGroup, CustomerUserGroup, Group, Queue, StaffGroup
from core.settings import change_settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValues:
    """What can be entered for a group. An invalid group grants nothing, its queues are shut."""

    name: str
    comment: str = ""
    valid: bool = True


def group_values(group: Group) -> GroupValues:
    """Return what is stored of a group."""
    return GroupValues(name=group.name, comment=group.comment, valid=group.valid)


def save_group(
    session: Session,
    actor: Actor,
    values: GroupValues,
    current: Group | None = None,
    version: int | None = None,
) -> Group:
    """Create a group, or change ``current`` where it differs.

    Settings name the always-groups, so a new name is entered there as well. Raises
    ``InvalidFields``, and ``Stale`` when ``version`` is not the stored one.
    """
    check_version(session, current, version)
    problems = Problems()
    values = clean_texts(values, Group, problems, required=("name",), long=("comment",))
    with problems.gathered():
        _check_name(session, values.name, current)
    problems.raise_any()
    before = group_values(current) if current is not None else None
    group = current if current is not None else Group()
    if values == before:
        return group
    group.name, group.comment, group.valid = values.name, values.comment, values.valid
    store(session, actor, "group", group, group.name, before, values)
    if before is not None and before.name != values.name:
        _rename_in_settings(session, actor, before.name, values.name)
    return group


def group_named(session: Session, name: str) -> Group:
    """Return the group with exactly this name. Raises ``NotFound``."""
    group = session.scalars(select(Group).where(Group.name == one_line(name))).one_or_none()
    if group is None:
        raise NotFound(_('There is no group "%(name)s".', name=name))
    return group


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """How many things are tied to a group directly, invalid ones included."""

    queues: int = 0
    customers: int = 0
    customer_users: int = 0
    staff: int = 0


def group_usages(session: Session) -> dict[int, GroupUsage]:
    """Return the usage of every group, by its id."""
    queues = _count_by(session, Queue.group_id)
    customers = _count_by(session, CustomerGroup.group_id)
    customer_users = _count_by(session, CustomerUserGroup.group_id)
    staff = _count_by(session, StaffGroup.group_id)
    return {
        group_id: GroupUsage(
            queues=queues.get(group_id, 0),
            customers=customers.get(group_id, 0),
            customer_users=customer_users.get(group_id, 0),
            staff=staff.get(group_id, 0),
        )
        for group_id in session.scalars(select(Group.id))
    }


def group_usage(session: Session, group_id: int) -> GroupUsage:
    """Return the usage of one group."""
    return group_usages(session).get(group_id, GroupUsage())


def _count_by(session: Session, group_id: InstrumentedAttribute[int]) -> dict[int, int]:
    rows = session.execute(select(group_id, func.count()).group_by(group_id))
    return dict(rows.all())


def _check_name(session: Session, name: str, current: Group | None) -> None:
    holder = holder_of_name(session, Group, name, current)
    if holder is not None:
        text = _('There is already a group "%(name)s".', name=holder.name)
        raise Duplicate("name", text, holder)


def _rename_in_settings(session: Session, actor: Actor, old: str, new: str) -> None:
    always = load_settings(session).customer_group_always_groups
    if old in always:
        renamed = tuple(new if name == old else name for name in always)
        change_settings(session, actor, {"customer_group_always_groups": renamed})
