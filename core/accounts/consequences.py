"""What a change of permissions does to the open tickets of customers, asked before it is made.

An admin who moves a queue to another group may hide tickets from those who wrote them. Pages ask
here first, and warn. Who sees what is decided in ``core.accounts.permissions``: once for how
things are, once for how they would be.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from core.accounts.matrix import CellChange
from core.accounts.permissions import (
    Access,
    Grants,
    effective,
    group_permissions,
    valid_account,
)
from core.models import Customer, CustomerUser, Ticket
from core.organisation import Organisation, always_groups
from core.portions import in_portions
from core.settings import Settings
from core.words import TicketState

AT_A_TIME = 1000  # owners whose permissions are read with one query


@dataclass(frozen=True, slots=True)
class Consequences:
    """How many open tickets their customer would not see any more, or see only then.

    A ticket counts for the customer user who wrote it; one without, for its customer.
    """

    hidden: int = 0
    shown: int = 0


def consequences_of_customer_user_cells(
    session: Session, organisation: Organisation, changes: Sequence[CellChange]
) -> Consequences:
    """Return what changed permissions of customer users come to."""
    holders = {change.holder_id for change in changes}
    tickets = _open_tickets(session, Ticket.customer_user_id.in_(holders))
    return _compare(session, tickets, organisation, organisation, direct=_by_holder(changes))


def consequences_of_customer_cells(
    session: Session, organisation: Organisation, changes: Sequence[CellChange]
) -> Consequences:
    """Return what changed permissions of customers come to, for all their customer users."""
    holders = {change.holder_id for change in changes}
    tickets = _open_tickets(session, Customer.id.in_(holders))
    return _compare(session, tickets, organisation, organisation, inherited=_by_holder(changes))


def consequences_of_queue_group(
    session: Session, organisation: Organisation, queue_id: int, group_id: int
) -> Consequences:
    """Return what it comes to when a queue is given to another group."""
    queue = replace(organisation.queues[queue_id], group_id=group_id)
    after = replace(organisation, queues={**organisation.queues, queue_id: queue})
    tickets = _open_tickets(session, Ticket.queue_id == queue_id)
    return _compare(session, tickets, organisation, after)


def consequences_of_group_validity(
    session: Session, organisation: Organisation, group_id: int, name: str, *, valid: bool
) -> Consequences:
    """Return what it comes to when a group becomes valid or invalid."""
    groups = {**organisation.groups, group_id: name}
    if not valid:
        del groups[group_id]
    after = replace(organisation, groups=groups)
    queue_ids = [q.id for q in organisation.queues.values() if q.group_id == group_id]
    tickets = _open_tickets(session, Ticket.queue_id.in_(queue_ids))
    return _compare(session, tickets, organisation, _with(after, organisation.settings))


def consequences_of_settings(
    session: Session, organisation: Organisation, settings: Settings
) -> Consequences:
    """Return what it comes to when these settings are put in force."""
    after = _with(organisation, settings)
    return _compare(session, _open_tickets(session), organisation, after)


def hidden_by_move(
    session: Session, organisation: Organisation, ticket: Ticket, queue_id: int
) -> bool:
    """Whether its customer sees the ticket, open or closed, and would not in another queue."""
    tickets = _tickets(session, Ticket.id == ticket.id)
    moved = _compare(session, tickets, organisation, organisation, moved_to=queue_id)
    return moved.hidden > 0


Changes = Mapping[int, Mapping[int, CellChange]]  # by holder, then by group
NO_CHANGES: Changes = {}


class _Owned(NamedTuple):
    """So many tickets of one owner in one queue: an ``OwnedTicket`` for all of them."""

    customer_user_id: int | None
    customer_id: int
    queue_id: int
    tickets: int


def _open_tickets(session: Session, *conditions: ColumnElement[bool]) -> Sequence[_Owned]:
    return _tickets(session, Ticket.state != TicketState.CLOSED, *conditions)


def _tickets(session: Session, *conditions: ColumnElement[bool]) -> Sequence[_Owned]:
    """Count tickets by owner and queue; those of invalid accounts are seen by nobody."""
    customer_id = func.coalesce(CustomerUser.customer_id, Ticket.customer_id)
    without_account = and_(Ticket.customer_user_id.is_(None), Customer.valid)
    rows = session.execute(
        select(Ticket.customer_user_id, Customer.id, Ticket.queue_id, func.count())
        .select_from(Ticket)
        .outerjoin(CustomerUser, CustomerUser.id == Ticket.customer_user_id)
        .join(Customer, Customer.id == customer_id)
        .where(or_(without_account, valid_account()), *conditions)
        .group_by(Ticket.customer_user_id, Customer.id, Ticket.queue_id)
    )
    return [_Owned(*row) for row in rows]


def _compare(
    session: Session,
    tickets: Sequence[_Owned],
    before: Organisation,
    after: Organisation,
    *,
    direct: Changes = NO_CHANGES,
    inherited: Changes = NO_CHANGES,
    moved_to: int | None = None,
) -> Consequences:
    hidden = shown = 0
    for part in in_portions(tickets, AT_A_TIME):
        own, through_customer = group_permissions(
            session,
            {each.customer_user_id for each in part if each.customer_user_id is not None},
            {each.customer_id for each in part},
        )
        for each in part:
            grants = own.get(each.customer_user_id or 0, {})
            handed_on = through_customer.get(each.customer_id, {})
            sees = _sees(before, each, grants, handed_on)
            would_see = _sees(
                after,
                each if moved_to is None else each._replace(queue_id=moved_to),
                _changed(grants, direct.get(each.customer_user_id or 0, {})),
                _changed(handed_on, inherited.get(each.customer_id, {})),
            )
            hidden += each.tickets if sees and not would_see else 0
            shown += each.tickets if would_see and not sees else 0
    return Consequences(hidden, shown)


def _sees(organisation: Organisation, owned: _Owned, direct: Grants, inherited: Grants) -> bool:
    queues = effective(organisation, direct, inherited)
    whole_firm = owned.customer_user_id is None  # seen by those who see the customer's tickets
    access = Access(owned.customer_user_id, owned.customer_id, whole_firm, queues)
    return access.may_see_ticket(owned)


def _by_holder(changes: Sequence[CellChange]) -> Changes:
    by_holder: dict[int, dict[int, CellChange]] = defaultdict(dict)
    for change in changes:
        by_holder[change.holder_id][change.group_id] = change
    return by_holder


def _changed(grants: Grants, changes: Mapping[int, CellChange]) -> Grants:
    wanted = {**grants, **{group_id: change.new for group_id, change in changes.items()}}
    return {group_id: permission for group_id, permission in wanted.items() if permission}


def _with(organisation: Organisation, settings: Settings) -> Organisation:
    """Return the organisation with other settings, and the always-groups that they name."""
    always = always_groups(settings, organisation.groups)
    return replace(organisation, settings=settings, always_groups=always)
