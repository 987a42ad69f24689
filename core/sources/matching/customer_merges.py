"""Customers whose accounts have all moved to another Kunden#: are the two one firm?

Where everybody moves at once to a Kunden# that was unknown, nobody has to ask (``customer_moves``).
Here is what is left: firms that were merged, or that moved little by little.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.accounts.customers import customer_label, customer_values, save_customer
from core.accounts.matrix import customer_changes, save_customer_cells
from core.accounts.permissions import group_permissions
from core.audit import Actor
from core.errors import Invalid, Stale
from core.i18n import gettext as _
from core.models import (
    AuditEvent,
    Customer,
    CustomerDomain,
    CustomerGroup,
    CustomerUser,
    Delivery,
    NumberClaim,
    Ticket,
)
from core.words import Permission, Validity

MAX_LEFT = 200  # customers that are looked at

# Every reference to a customer, and what becomes of it.
GOES_OVER = (Ticket.customer_id, Delivery.customer_id, NumberClaim.customer_id)
IS_GIVEN = (CustomerDomain.customer_id, CustomerGroup.customer_id)
STAYS = (CustomerUser.customer_id,)  # they are gone; one that is matched up takes its new customer


@dataclass(frozen=True, slots=True)
class Left:
    """A customer without accounts, and where so many of them have gone, most first."""

    customer: Customer
    tickets: int
    moved: Sequence[tuple[Customer, int]]


def left_customers(session: Session) -> Sequence[Left]:
    """Return customers of sources whose accounts are all with others now.

    One that is set invalid is not meant: that says that the two are not one.
    """
    remains = exists().where(
        CustomerUser.customer_id == Customer.id,
        CustomerUser.source_gone_at.is_(None),
        or_(CustomerUser.source.is_not(None), CustomerUser.valid != Validity.INVALID),
    )
    empty = session.scalars(
        select(Customer)
        .where(
            Customer.source.is_not(None), Customer.valid, ~remains, Customer.number.in_(_numbers())
        )
        .order_by(Customer.sort_key, Customer.id)
        .limit(MAX_LEFT)
    ).all()
    moved = _moved(session, {customer.number: customer.id for customer in empty})
    return [
        Left(customer, _count(session, customer), moved[customer.id])
        for customer in empty
        if customer.id in moved
    ]


def merge_customers(session: Session, actor: Actor, left_id: int, into_id: int) -> Customer:
    """Give one customer what another one has, which then is invalid; return the one that stays.

    Tickets and mails go over, and so do groups and mail domains. Raises ``Invalid`` where the
    accounts of the one have not moved to the other, ``Stale`` where that is so no more.
    """
    rows = session.scalars(
        select(Customer)
        .where(Customer.id.in_([left_id, into_id]))
        .order_by(Customer.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    found = {customer.id: customer for customer in rows}
    if len(found) < 2:
        raise Stale(_("There is no such customer any more. Nothing was saved."))
    left, into = found[left_id], found[into_id]
    if into_id not in _where_to(session, left_id):
        raise Invalid(
            "into",
            _(
                'The accounts of "%(left)s" have not all moved to "%(into)s".',
                left=customer_label(left),
                into=customer_label(into),
            ),
        )
    tickets = _count(session, left)
    _hand_over(session, left_id, into_id)
    _give(session, actor, left, into)
    audit.record(
        session, actor, "matched-up", "customer", into.id, customer_label(into),
        None, {"number": left.number, "tickets": tickets},
    )  # fmt: skip
    audit.record(
        session, actor, "dissolved", "customer", left.id, customer_label(left),
        None, {"number": into.number},
    )  # fmt: skip
    session.flush()
    session.expire_all()
    return into


def _where_to(session: Session, left_id: int) -> set[int]:
    """Return the ids of the customers to which the accounts of one have moved."""
    return {
        there.id
        for each in left_customers(session)
        if each.customer.id == left_id
        for there, _count in each.moved
    }


def _numbers() -> Select[str]:
    """Select each Kunden# that an account has had before another one."""
    return select(AuditEvent.before["customer_number"].as_string()).where(
        AuditEvent.object_kind == "customer-user",
        AuditEvent.action == "changed",
        AuditEvent.before["customer_number"].as_string().is_not(None),
    )


def _moved(
    session: Session, numbers: Mapping[str, int]
) -> Mapping[int, Sequence[tuple[Customer, int]]]:
    """Return where accounts have gone, by the id of the customer that they were of.

    The audit log tells: nothing else knows which Kunden# somebody had before.
    """
    number = AuditEvent.before["customer_number"].as_string()
    rows = session.execute(
        select(number, CustomerUser.customer_id, func.count(CustomerUser.id.distinct()))
        .join(CustomerUser, CustomerUser.id == AuditEvent.object_id)
        .where(
            AuditEvent.object_kind == "customer-user",
            AuditEvent.action == "changed",
            number.in_(numbers),
            CustomerUser.source_gone_at.is_(None),
        )
        .group_by(number, CustomerUser.customer_id)
    ).all()
    ids = {customer_id for _number, customer_id, _count in rows}
    customers = {
        customer.id: customer
        for customer in session.scalars(select(Customer).where(Customer.id.in_(ids)))
    }
    found: dict[int, list[tuple[Customer, int]]] = defaultdict(list)
    for before, customer_id, count in sorted(rows, key=lambda row: (-row[2], row[1])):
        if customer_id != numbers[before]:
            found[numbers[before]].append((customers[customer_id], count))
    return found


def _count(session: Session, customer: Customer) -> int:
    counted = select(func.count(Ticket.id)).where(Ticket.customer_id == customer.id)
    return session.scalars(counted).one()


def _hand_over(session: Session, giver: int, taker: int) -> None:
    session.flush()
    column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]
    for column in GOES_OVER:
        statement = update(column.class_).where(column == giver).values({column.key: taker})
        session.execute(statement.execution_options(synchronize_session=False))


def _give(session: Session, actor: Actor, left: Customer, into: Customer) -> None:
    """Give groups and domains, and make invalid who has given them."""
    _direct, stored = group_permissions(session, [], [left.id, into.id])
    wanted = dict(stored.get(into.id, {}))
    for group_id, permission in stored.get(left.id, {}).items():
        if wanted.get(group_id) is not Permission.RW:
            wanted[group_id] = permission
    save_customer_cells(session, actor, customer_changes(session, into, wanted))
    before, after = customer_values(left), customer_values(into)
    domains = tuple(sorted({*before.domains, *after.domains}))
    emptied = replace(before, valid=False, domains=())
    save_customer(session, actor, emptied, left, from_source=True)
    save_customer(session, actor, replace(after, domains=domains), into, from_source=True)
