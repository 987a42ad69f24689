"""What is done with a ticket besides writing to it: changes and links; closing by a customer.

Each change is written to the audit log beside it. Staff change tickets in queues that they may
work; whoever saves over somebody else's change gets ``Stale``.
"""

from dataclasses import asdict, dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core import audit
from core.accounts.consequences import hidden_by_move
from core.accounts.permissions import Access
from core.accounts.staff import StaffQueues, staff_queue_ids
from core.audit import Actor
from core.errors import Forbidden, Invalid, NotFound
from core.i18n import gettext as _
from core.models import Staff, Ticket, TicketLink
from core.organisation import Organisation, load_organisation
from core.tickets.changing import (
    account_for_queue,
    locked_ticket,
    record_change,
    set_state,
    workable_ticket,
)
from core.tickets.view import ticket_with_number
from core.words import Flag, Priority, TicketState

# What is said of a sender whom nobody knows; it is settled when staff say whose ticket it is.
_OF_UNKNOWN_SENDERS = frozenset({Flag.STRANGER, Flag.NEW_ADDRESS})


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketValues:
    """What staff may change of a ticket; ``owner_id`` None is nobody."""

    queue_id: int
    state: TicketState
    priority: Priority
    owner_id: int | None


def ticket_values(ticket: Ticket) -> TicketValues:
    """Return what is stored of a ticket."""
    return TicketValues(
        queue_id=ticket.queue_id,
        state=ticket.state,
        priority=ticket.priority,
        owner_id=ticket.owner_id,
    )


def change_ticket(
    session: Session,
    actor: Actor,
    staff: Staff,
    public_id: str,
    wanted: TicketValues,
    version: int,
) -> Ticket:
    """Change queue, state, priority and owner of a ticket where they differ.

    The target queue must be valid and one that the member of staff may work, the owner one who
    may work it. ``version`` is that of the ticket they have read. Raises ``NotFound``,
    ``Forbidden``, ``Stale``, and ``Invalid`` for the field that cannot be.
    """
    organisation = load_organisation(session, lock=True)
    queues = staff_queue_ids(session, organisation, staff)
    ticket = workable_ticket(session, queues, public_id, version)
    before = ticket_values(ticket)
    if wanted == before:
        return ticket
    _check_target(organisation, queues, before, wanted)
    _check_owner(session, organisation, before, wanted)
    ticket.queue_id, ticket.owner_id = wanted.queue_id, wanted.owner_id
    ticket.priority = wanted.priority
    set_state(ticket, wanted.state)
    old, new = audit.differences(
        _with_names(session, organisation, before), _with_names(session, organisation, wanted)
    )
    record_change(session, actor, ticket, "changed", old, new)
    return ticket


def move_hides(session: Session, ticket: Ticket, queue_id: int) -> bool:
    """Whether the ticket's customer sees it now, and would not in this queue: pages warn then."""
    return hidden_by_move(session, load_organisation(session), ticket, queue_id)


def assign_to_account(
    session: Session,
    actor: Actor,
    staff: Staff,
    public_id: str,
    customer_user_id: int,
    version: int,
) -> Ticket:
    """Say which customer user a ticket is from: a stranger's, or one filed for somebody else.

    As with a release of held mail, the account must be valid and may write to the queue. Raises
    ``NotFound``, ``Forbidden``, ``Stale`` and ``Invalid``.
    """
    organisation = load_organisation(session, lock=True)
    queues = staff_queue_ids(session, organisation, staff)
    ticket = workable_ticket(session, queues, public_id, version)
    account = account_for_queue(session, organisation, customer_user_id, ticket.queue_id)
    if ticket.customer_user_id == account.id:
        return ticket
    before = ticket.customer_user.login if ticket.customer_user is not None else None
    ticket.customer_user_id, ticket.customer_id = account.id, account.customer_id
    if ticket.flag in _OF_UNKNOWN_SENDERS:
        ticket.flag = None
    record_change(
        session,
        actor,
        ticket,
        "assigned",
        {"customer_user": before},
        {"customer_user": account.login},
    )
    return ticket


def link(session: Session, actor: Actor, staff: Staff, public_id: str, number: int) -> Ticket:
    """Tie a ticket to another one by its number; return the other one.

    Raises ``NotFound``, ``Forbidden``, and ``Invalid`` for a number that staff cannot read.
    """
    queues = _queues_of(session, staff)
    ticket = workable_ticket(session, queues, public_id)
    other = ticket_with_number(session, queues, number)
    if other is None or other.id == ticket.id:
        raise Invalid("number", _("There is no other ticket with this number."))
    key = (min(ticket.id, other.id), max(ticket.id, other.id))
    if session.get(TicketLink, key) is None:
        session.add(TicketLink(ticket_id=key[0], other_id=key[1]))
        after = {"ticket": other.number}
        audit.record(session, actor, "linked", "ticket", ticket.id, ticket.subject, None, after)
    return other


def unlink(session: Session, actor: Actor, staff: Staff, public_id: str, number: int) -> None:
    """Untie two tickets; tickets that are not tied stay so. Raises ``NotFound``, ``Forbidden``."""
    queues = _queues_of(session, staff)
    ticket = workable_ticket(session, queues, public_id)
    other = ticket_with_number(session, queues, number)
    if other is None:
        raise NotFound(_("There is no such ticket."))
    untied = session.execute(
        delete(TicketLink)
        .where(
            TicketLink.ticket_id == min(ticket.id, other.id),
            TicketLink.other_id == max(ticket.id, other.id),
        )
        .returning(TicketLink.ticket_id)
    ).all()
    if untied:
        before = {"ticket": other.number}
        audit.record(session, actor, "unlinked", "ticket", ticket.id, ticket.subject, before, None)


def close_by_customer(session: Session, actor: Actor, access: Access, public_id: str) -> Ticket:
    """Close a ticket for a customer user, without a word; a closed one stays as it is.

    Raises ``NotFound`` for what they may not see, ``Forbidden`` where they may only read.
    """
    load_organisation(session, lock=True)  # no permission changes until this is committed
    ticket = locked_ticket(session, access, public_id)
    if not access.may_reply(ticket):
        raise Forbidden(_("You may read this ticket, but not change it."))
    if ticket.state is TicketState.CLOSED:
        return ticket
    before = {"state": ticket.state}
    set_state(ticket, TicketState.CLOSED)
    record_change(session, actor, ticket, "changed", before, {"state": ticket.state})
    return ticket


def _queues_of(session: Session, staff: Staff) -> StaffQueues:
    return staff_queue_ids(session, load_organisation(session), staff)


def _check_target(
    organisation: Organisation, queues: StaffQueues, before: TicketValues, wanted: TicketValues
) -> None:
    if wanted.queue_id == before.queue_id:
        return
    queue = organisation.queues.get(wanted.queue_id)
    if queue is None or queue.id not in queues.writable:
        raise Invalid("queue_id", _("You may not move tickets to this queue."))
    if not queue.valid:
        raise Invalid("queue_id", _("This queue is invalid."))


def _check_owner(
    session: Session, organisation: Organisation, before: TicketValues, wanted: TicketValues
) -> None:
    """Refuse an owner who could not work the ticket, also one who could before it is moved."""
    unchanged = (wanted.queue_id, wanted.owner_id) == (before.queue_id, before.owner_id)
    if wanted.owner_id is None or unchanged:
        return
    owner = session.get(Staff, wanted.owner_id)
    if owner is None or not owner.valid:
        raise Invalid("owner_id", _("Choose somebody who works here."))
    if wanted.queue_id not in staff_queue_ids(session, organisation, owner).writable:
        raise Invalid(
            "owner_id",
            _(
                "%(name)s does not work the queue %(queue)s: choose another owner, or nobody.",
                name=owner.name,
                queue=organisation.queues[wanted.queue_id].name,
            ),
        )


def _with_names(
    session: Session, organisation: Organisation, values: TicketValues
) -> dict[str, object]:
    """Return values for the audit log, where names say more than ids."""
    owner = session.get(Staff, values.owner_id) if values.owner_id is not None else None
    return {
        **asdict(values),
        "queue_id": organisation.queues[values.queue_id].name,
        "owner_id": owner.login if owner is not None else None,
    }
