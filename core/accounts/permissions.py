"""Which queues a customer user may use: the one place where it is decided.

Effective permission = direct ∪ through the customer ∪ always-groups, and ``rw`` contains ``ro``.
Mail, portal, staff actions and releases all ask here, in the transaction that files the article.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from sqlalchemy import ColumnElement, and_, bindparam, false, or_, select, true, union_all
from sqlalchemy.orm import Session

from core.models import Customer, CustomerGroup, CustomerUser, CustomerUserGroup, Ticket, now
from core.organisation import Organisation
from core.words import Permission, Validity


class Through(StrEnum):
    """By which way a permission reaches a customer user."""

    DIRECT = "direct"
    CUSTOMER = "customer"
    ALWAYS = "always"
    NO_GROUP_SUPPORT = "no-group-support"


@dataclass(frozen=True, slots=True)
class Grant:
    """One reason for a permission; ``group_id`` is None without group support."""

    permission: Permission
    through: Through
    group_id: int | None


@dataclass(frozen=True, slots=True)
class QueueAccess:
    """What an account may do in a queue, and by which grants."""

    queue_id: int
    permission: Permission
    grants: tuple[Grant, ...]


class OwnedTicket(Protocol):
    """What a permission depends on of a ticket."""

    @property
    def queue_id(self) -> int: ...
    @property
    def customer_user_id(self) -> int | None: ...
    @property
    def customer_id(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and what they may do in each queue they may see at all.

    ``customer_user_id`` is None for mail of a customer whose sender has no account of its own.
    """

    customer_user_id: int | None
    customer_id: int
    sees_customer_tickets: bool
    queues: Mapping[int, QueueAccess]

    def may_see(self, queue_id: int) -> bool:
        """Whether tickets of the queue may be seen (``ro``)."""
        return queue_id in self.queues

    def may_write(self, queue_id: int) -> bool:
        """Whether the queue may be written to: reply, create, file, release (``rw``)."""
        access = self.queues.get(queue_id)
        return access is not None and access.permission is Permission.RW

    @property
    def writable_queues(self) -> tuple[int, ...]:
        """Ids of the queues that may be written to, in the order of their names."""
        return tuple(queue_id for queue_id in self.queues if self.may_write(queue_id))

    def may_see_ticket(self, ticket: OwnedTicket) -> bool:
        """Whether this ticket may be seen: queue allowed, and own or the customer's."""
        if not self.may_see(ticket.queue_id):
            return False
        if self.customer_user_id is not None and ticket.customer_user_id == self.customer_user_id:
            return True
        return self.sees_customer_tickets and ticket.customer_id == self.customer_id

    def may_reply(self, ticket: OwnedTicket) -> bool:
        """Whether the ticket may be written to: it may be seen and its queue written to."""
        return self.may_see_ticket(ticket) and self.may_write(ticket.queue_id)

    def visible_tickets(self) -> ColumnElement[bool]:
        """Return ``may_see_ticket`` as a condition on the ticket table."""
        if not self.queues:
            return false()
        own: list[ColumnElement[bool]] = []
        if self.customer_user_id is not None:
            own.append(Ticket.customer_user_id == self.customer_user_id)
        if self.sees_customer_tickets:
            own.append(Ticket.customer_id == self.customer_id)
        if not own:
            return false()
        return and_(Ticket.queue_id.in_(self.queues), or_(*own))


def guest_may_reply(organisation: Organisation, ticket: OwnedTicket) -> bool:
    """Whether who opened a ticket without being a customer may write to it again.

    Staff took the ticket on, so it stays open to them as long as its queue is valid.
    """
    return ticket.customer_id is None and organisation.queues[ticket.queue_id].valid


Grants = Mapping[int, Permission]  # by group id


def effective(
    organisation: Organisation, direct: Grants, inherited: Grants
) -> Mapping[int, QueueAccess]:
    """Return the queues that these group permissions open, in the order of the queues' names.

    An invalid group grants nothing. An invalid queue can be read, not written to. Without group
    support every valid queue may be used (handbook: *CustomerGroupSupport*).
    """
    by_group = group_grants(organisation, direct, inherited)
    everybody = Grant(Permission.RW, Through.NO_GROUP_SUPPORT, None)
    opened: dict[int, QueueAccess] = {}
    for queue in organisation.queues.values():
        grants = by_group.get(queue.group_id, ())
        if not organisation.settings.customer_group_support:
            grants = (everybody,)
        if grants:
            permission = strongest(grants) if queue.valid else Permission.RO
            opened[queue.id] = QueueAccess(queue.id, permission, tuple(grants))
    return opened


def strongest(grants: Sequence[Grant]) -> Permission:
    """Return what grants come to together: ``rw`` contains ``ro``."""
    writes = any(grant.permission is Permission.RW for grant in grants)
    return Permission.RW if writes else Permission.RO


def group_grants(
    organisation: Organisation, direct: Grants, inherited: Grants
) -> Mapping[int, Sequence[Grant]]:
    """Return the grants in each valid group that has any, the group support being in force."""
    by_group: dict[int, list[Grant]] = defaultdict(list)
    for through, grants in ((Through.DIRECT, direct), (Through.CUSTOMER, inherited)):
        for group_id, permission in grants.items():
            if group_id in organisation.groups:
                by_group[group_id].append(Grant(permission, through, group_id))
    for group_id in organisation.always_groups:
        by_group[group_id].append(Grant(Permission.RW, Through.ALWAYS, group_id))
    return by_group


def valid_account(on: date | ColumnElement[date] | None = None) -> ColumnElement[bool]:
    """Return the condition that a customer user (joined with its customer) is valid on a day.

    ``invalid-temporarily`` with an end date ends after that day (UTC).
    """
    day = now().date() if on is None else on
    returned = and_(
        CustomerUser.valid == Validity.INVALID_TEMPORARILY,
        CustomerUser.invalid_until.is_not(None),
        CustomerUser.invalid_until < day,
    )
    return and_(Customer.valid, or_(CustomerUser.valid == Validity.VALID, returned))


def is_valid_account(customer_user: CustomerUser, on: date | None = None) -> bool:
    """Return ``valid_account`` for one account at hand."""
    if not customer_user.customer.valid:
        return False
    if customer_user.valid is Validity.VALID:
        return True
    until = customer_user.invalid_until
    return (
        customer_user.valid is Validity.INVALID_TEMPORARILY
        and until is not None
        and until < (on or now().date())
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose access is asked for: an account (None: only its customer) and its customer."""

    customer_user_id: int | None
    customer_id: int
    sees_customer_tickets: bool = False


def subject_of(customer_user: CustomerUser) -> Subject:
    """Return an account as one whose access is asked for."""
    return Subject(customer_user.id, customer_user.customer_id, customer_user.sees_customer_tickets)


def access_of(
    session: Session, organisation: Organisation, subjects: Collection[Subject]
) -> dict[Subject, Access]:
    """Return the access of each subject, with one query for all of them.

    Whether an account is valid is asked before (``valid_account``): an invalid one has no
    session and its mail is held.
    """
    direct, inherited = _permissions_that_count(session, organisation, subjects)
    return {
        subject: Access(
            subject.customer_user_id,
            subject.customer_id,
            subject.sees_customer_tickets,
            effective(
                organisation,
                direct.get(subject.customer_user_id or 0, {}),
                inherited.get(subject.customer_id, {}),
            ),
        )
        for subject in subjects
    }


def customer_user_access(
    session: Session, organisation: Organisation, customer_user: CustomerUser
) -> Access:
    """Return the access of one customer user; of an invalid one: to nothing."""
    subject = subject_of(customer_user)
    if not is_valid_account(customer_user):
        return Access(subject.customer_user_id, subject.customer_id, False, {})
    return access_of(session, organisation, [subject])[subject]


_GRANTS = union_all(  # built once: building it costs as much as running it
    select(
        true().label("own"),
        CustomerUserGroup.customer_user_id.label("holder"),
        CustomerUserGroup.group_id,
        CustomerUserGroup.permission,
    ).where(CustomerUserGroup.customer_user_id.in_(bindparam("users", expanding=True))),
    select(
        false().label("own"),
        CustomerGroup.customer_id.label("holder"),
        CustomerGroup.group_id,
        CustomerGroup.permission,
    ).where(CustomerGroup.customer_id.in_(bindparam("customers", expanding=True))),
)


Stored = Mapping[int, Grants]  # group permissions by the id of their holder


def group_permissions(
    session: Session, customer_user_ids: Collection[int], customer_ids: Collection[int]
) -> tuple[Stored, Stored]:
    """Return the stored permissions of accounts and those of customers, whatever they count."""
    direct: dict[int, dict[int, Permission]] = defaultdict(dict)
    inherited: dict[int, dict[int, Permission]] = defaultdict(dict)
    values = {"users": list(customer_user_ids), "customers": list(customer_ids)}
    for own, holder, group_id, permission in session.connection().execute(_GRANTS, values):
        (direct if own else inherited)[holder][group_id] = permission
    return direct, inherited


def _permissions_that_count(
    session: Session, organisation: Organisation, subjects: Iterable[Subject]
) -> tuple[Stored, Stored]:
    if not organisation.settings.customer_group_support:
        return {}, {}
    users = [s.customer_user_id for s in subjects if s.customer_user_id is not None]
    return group_permissions(session, users, [s.customer_id for s in subjects])
