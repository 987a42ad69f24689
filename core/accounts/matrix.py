"""Permissions in groups as a table: customer users or customers down, groups across.

(Handbook: *Kunden Benutzer <-> Gruppen*.) A change of a cell carries the value that was shown.
What was not shown is never touched, and what somebody else changed meanwhile is not overwritten.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.accounts.customers import customer_label
from core.accounts.lists import (
    CustomerFilter,
    CustomerUserFilter,
    find_customer_users,
    find_customers,
)
from core.accounts.managed import decided_there, groups_of_source
from core.accounts.permissions import (
    Grant,
    Grants,
    Through,
    group_grants,
    group_permissions,
    strongest,
)
from core.audit import Actor
from core.errors import NotFound, Stale
from core.i18n import gettext as _
from core.models import Customer, CustomerGroup, CustomerUser, CustomerUserGroup, Group
from core.organisation import Organisation
from core.paging import Page
from core.words import Permission

Holder = TypeVar("Holder", Customer, CustomerUser)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one holder has in one group.

    ``direct`` is what this table changes. ``inherited`` are the grants that come by other ways,
    ``effective`` is what all come to; None is no permission. An invalid group grants nothing.
    ``decided_by`` is the customer source that alone decides what is direct, "" for none.
    """

    direct: Permission | None
    inherited: tuple[Grant, ...]
    effective: Permission | None
    decided_by: str = ""


@dataclass(frozen=True, slots=True)
class Row(Generic[Holder]):
    """A customer user or a customer with a cell for each group, by the group's id."""

    holder: Holder
    cells: Mapping[int, Cell]


@dataclass(frozen=True, slots=True)
class Matrix(Generic[Holder]):
    """A page of the table. ``groups`` are its columns by name, invalid ones too."""

    groups: Sequence[Group]
    page: Page[Row[Holder]]


@dataclass(frozen=True, slots=True)
class CellChange:
    """A cell that somebody changed: ``old`` is the value that was shown to them."""

    holder_id: int
    group_id: int
    old: Permission | None
    new: Permission | None


def customer_user_matrix(
    session: Session,
    organisation: Organisation,
    wanted: CustomerUserFilter,
    *,
    cursor: str | None = None,
    limit: int = 25,
) -> Matrix[CustomerUser]:
    """Return a page of the permissions of customer users."""
    found = find_customer_users(session, wanted, cursor=cursor, limit=limit)
    return _matrix(session, organisation, _CUSTOMER_USERS, found)


def customer_matrix(
    session: Session,
    organisation: Organisation,
    wanted: CustomerFilter,
    *,
    cursor: str | None = None,
    limit: int = 25,
) -> Matrix[Customer]:
    """Return a page of the permissions that customers hand on to their customer users."""
    found = find_customers(session, wanted, cursor=cursor, limit=limit)
    return _matrix(session, organisation, _CUSTOMERS, found)


def customer_user_cells(
    session: Session, organisation: Organisation, customer_user: CustomerUser | None
) -> Mapping[int, Cell]:
    """Return the cells of one customer user by group id; with None those of a new account."""
    return _holder_cells(session, organisation, _CUSTOMER_USERS, customer_user)


def customer_cells(
    session: Session, organisation: Organisation, customer: Customer | None
) -> Mapping[int, Cell]:
    """Return the cells of one customer by group id; with None those of a new one."""
    return _holder_cells(session, organisation, _CUSTOMERS, customer)


def save_customer_user_cells(
    session: Session, actor: Actor, changes: Sequence[CellChange], *, from_source: bool = False
) -> Sequence[CellChange]:
    """Store changed permissions of customer users; return those that were news.

    All or nothing: raises ``Stale`` naming the cells that somebody else changed meanwhile, and
    ``NotFound`` for an unknown customer user or group. Only ``from_source`` changes what the
    source of an account decides; else that is ``Invalid``.
    """
    return _save(session, actor, _CUSTOMER_USERS, changes, from_source=from_source)


def save_customer_cells(
    session: Session, actor: Actor, changes: Sequence[CellChange]
) -> Sequence[CellChange]:
    """Store changed permissions of customers, as ``save_customer_user_cells`` does."""
    return _save(session, actor, _CUSTOMERS, changes)


def customer_user_changes(
    session: Session, customer_user: CustomerUser, wanted: Mapping[int, Permission]
) -> Sequence[CellChange]:
    """Return the changes that give an account these direct permissions, by group, and no other."""
    direct, _inherited = group_permissions(session, [customer_user.id], [])
    return _changes(customer_user.id, direct.get(customer_user.id, {}), wanted)


def customer_changes(
    session: Session, customer: Customer, wanted: Mapping[int, Permission]
) -> Sequence[CellChange]:
    """Return the changes that give a customer these permissions, by group, and no other."""
    _direct, stored = group_permissions(session, [], [customer.id])
    return _changes(customer.id, stored.get(customer.id, {}), wanted)


def all_groups(session: Session) -> Sequence[Group]:
    """Return all groups in the order of their names, invalid ones too."""
    return session.scalars(select(Group).order_by(Group.name)).all()


def _cells(
    session: Session,
    organisation: Organisation,
    groups: Sequence[Group],
    own: Through,
    holder: Customer | CustomerUser | None,
    grants_of_holder: tuple[Grants, Grants],
) -> Mapping[int, Cell]:
    """Return a holder's cells; grants ``own`` to the table are those that it changes."""
    direct, through_customer = grants_of_holder
    locked = groups_of_source(session, holder)
    source = holder.source or "" if holder is not None else ""
    stored = direct if own is Through.DIRECT else through_customer
    by_group = group_grants(organisation, direct, through_customer)
    cells = {}
    for group in groups:
        grants = by_group.get(group.id, ())
        cells[group.id] = Cell(
            direct=stored.get(group.id),
            inherited=tuple(grant for grant in grants if grant.through is not own),
            effective=strongest(grants) if grants else None,
            decided_by=source if group.name in locked else "",
        )
    return cells


@dataclass(frozen=True, slots=True)
class _Table(Generic[Holder]):
    """Where the permissions of one kind of holder are stored, and by which way they come."""

    holders: type[Holder]
    permissions: type[CustomerGroup] | type[CustomerUserGroup]
    holder_id: InstrumentedAttribute[int]
    object_kind: str
    own: Through


_CUSTOMER_USERS = _Table(
    CustomerUser,
    CustomerUserGroup,
    CustomerUserGroup.customer_user_id,
    "customer-user",
    Through.DIRECT,
)
_CUSTOMERS = _Table(
    Customer, CustomerGroup, CustomerGroup.customer_id, "customer", Through.CUSTOMER
)


def _matrix(
    session: Session, organisation: Organisation, table: _Table[Holder], found: Page[Holder]
) -> Matrix[Holder]:
    groups = all_groups(session)
    rows = tuple(
        Row(holder, _cells(session, organisation, groups, table.own, holder, grants))
        for holder, grants in zip(found.items, _grants(session, found.items), strict=True)
    )
    return Matrix(groups, Page(rows, found.previous, found.next, found.count))


def _holder_cells(
    session: Session, organisation: Organisation, table: _Table[Holder], holder: Holder | None
) -> Mapping[int, Cell]:
    grants = _grants(session, [holder])[0] if holder is not None else ({}, {})
    return _cells(session, organisation, all_groups(session), table.own, holder, grants)


def _grants(
    session: Session, holders: Sequence[Customer] | Sequence[CustomerUser]
) -> Sequence[tuple[Grants, Grants]]:
    """Return what each holder has directly and through its customer; a customer, only this."""
    user_ids = [holder.id for holder in holders if isinstance(holder, CustomerUser)]
    customer_ids = [_customer_id(holder) for holder in holders]
    direct, inherited = group_permissions(session, user_ids, set(customer_ids))
    return [
        (
            direct.get(holder.id, {}) if isinstance(holder, CustomerUser) else {},
            inherited.get(customer_id, {}),
        )
        for holder, customer_id in zip(holders, customer_ids, strict=True)
    ]


def _customer_id(holder: Customer | CustomerUser) -> int:
    return holder.customer_id if isinstance(holder, CustomerUser) else holder.id


def _save(
    session: Session,
    actor: Actor,
    table: _Table[Holder],
    changes: Sequence[CellChange],
    *,
    from_source: bool = False,
) -> Sequence[CellChange]:
    by_cell = {(c.holder_id, c.group_id): c for c in changes if c.old is not c.new}
    if not by_cell:
        return []
    holders = _locked(session, table, {holder_id for holder_id, _group in by_cell})
    names = _group_names(session, {group_id for _holder, group_id in by_cell})
    stored = _stored(session, table, list(holders))
    if not from_source:
        _check_kept_here(session, by_cell.values(), holders, names)
    _check_shown(by_cell, stored, holders, names)
    news = [c for cell, c in by_cell.items() if stored.get(cell) is not c.new]
    _store(session, table, news)
    for holder in holders.values():
        session.expire(holder, ["permissions"])
    _record(session, actor, table, news, holders, names)
    return news


def _locked(session: Session, table: _Table[Holder], ids: set[int]) -> Mapping[int, Holder]:
    """Return the holders, which nobody else gives permissions to until this is over."""
    model = table.holders
    statement = select(model).where(model.id.in_(ids)).order_by(model.id)
    statement = statement.with_for_update(key_share=True)  # mail may still refer to them
    found = {holder.id: holder for holder in session.scalars(statement)}
    if len(found) < len(ids):
        raise NotFound(_("There is no such account."))
    return found


def _group_names(session: Session, ids: set[int]) -> Mapping[int, str]:
    rows = session.execute(select(Group.id, Group.name).where(Group.id.in_(ids)))
    names: dict[int, str] = dict(rows.all())
    if len(names) < len(ids):
        raise NotFound(_("There is no such group."))
    return names


def _stored(
    session: Session, table: _Table[Holder], holder_ids: Sequence[int]
) -> Mapping[tuple[int, int], Permission]:
    rows = session.execute(
        select(table.holder_id, table.permissions.group_id, table.permissions.permission).where(
            table.holder_id.in_(holder_ids)
        )
    )
    return {(holder_id, group_id): permission for holder_id, group_id, permission in rows}


def _check_kept_here(
    session: Session,
    changes: Iterable[CellChange],
    holders: Mapping[int, Customer | CustomerUser],
    names: Mapping[int, str],
) -> None:
    """Raise ``Invalid`` for a permission that the source of an account decides."""
    for change in changes:
        holder, group = holders[change.holder_id], names[change.group_id]
        if isinstance(holder, CustomerUser) and group in groups_of_source(session, holder):
            raise decided_there(holder, group)


def _check_shown(
    changes: Mapping[tuple[int, int], CellChange],
    stored: Mapping[tuple[int, int], Permission],
    holders: Mapping[int, Holder],
    names: Mapping[int, str],
) -> None:
    """Raise ``Stale`` where a cell has neither the value that was shown nor the wanted one."""
    other = [
        f"{_shown(holders[change.holder_id])} – {names[change.group_id]}"
        for cell, change in changes.items()
        if stored.get(cell) not in (change.old, change.new)
    ]
    if other:
        raise Stale(
            _(
                "Somebody else has changed this in the meantime: %(cells)s. Nothing was saved.",
                cells=", ".join(other),
            )
        )


def _store(session: Session, table: _Table[Holder], changes: Sequence[CellChange]) -> None:
    link, holder_id = table.permissions, table.holder_id
    new = [
        {holder_id.key: c.holder_id, "group_id": c.group_id, "permission": c.new}
        for c in changes
        if c.old is None
    ]
    if new:
        session.execute(insert(link), new)
    for change in changes:
        cell = (holder_id == change.holder_id, link.group_id == change.group_id)
        if change.new is None:
            session.execute(delete(link).where(*cell))
        elif change.old is not None:
            session.execute(update(link).where(*cell).values(permission=change.new))


def _record(
    session: Session,
    actor: Actor,
    table: _Table[Holder],
    changes: Sequence[CellChange],
    holders: Mapping[int, Holder],
    names: Mapping[int, str],
) -> None:
    """Write one audit event per holder."""
    by_holder: dict[int, list[CellChange]] = defaultdict(list)
    for change in changes:
        by_holder[change.holder_id].append(change)
    for holder_id, cells in by_holder.items():
        audit.record(
            session,
            actor,
            "permissions-changed",
            table.object_kind,
            holder_id,
            _shown(holders[holder_id]),
            {"groups": {names[cell.group_id]: cell.old for cell in cells}},
            {"groups": {names[cell.group_id]: cell.new for cell in cells}},
        )


def _changes(
    holder_id: int, stored: Grants, wanted: Mapping[int, Permission]
) -> Sequence[CellChange]:
    return [
        CellChange(holder_id, group_id, stored.get(group_id), wanted.get(group_id))
        for group_id in sorted({*stored, *wanted})
        if stored.get(group_id) is not wanted.get(group_id)
    ]


def _shown(holder: Customer | CustomerUser) -> str:
    return holder.login if isinstance(holder, CustomerUser) else customer_label(holder)
