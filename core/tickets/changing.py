"""What every change of a ticket has in common: locking it, asking who may, and recording it."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.permissions import customer_user_access, is_valid_account
from core.accounts.staff import StaffQueues
from core.audit import Actor
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.i18n import gettext as _
from core.models import CustomerUser, Ticket, now, ticket_number
from core.organisation import Organisation
from core.tickets.view import Reader, readable_tickets
from core.words import TicketState


def locked_ticket(session: Session, reader: Reader, public_id: str) -> Ticket:
    """Return a ticket that nobody else changes until this transaction ends.

    Raises ``NotFound`` for what the asker may not read.
    """
    ticket = session.scalars(
        select(Ticket)
        .where(Ticket.public_id == public_id, readable_tickets(reader))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if ticket is None:
        raise NotFound(_("There is no such ticket."))
    return ticket


def workable_ticket(
    session: Session, queues: StaffQueues, public_id: str, version: int | None = None
) -> Ticket:
    """Return a ticket that staff may change, locked.

    Raises ``NotFound``, ``Forbidden`` where they only read and for a ticket that was merged, and
    ``Stale`` when ``version`` is not the stored one.
    """
    ticket = locked_ticket(session, queues, public_id)
    if ticket.queue_id not in queues.writable:
        raise Forbidden(_("You may read this ticket, but not change it."))
    if ticket.merged_into_id is not None:
        raise Forbidden(
            _(
                "This ticket was merged into %(number)s: go on there.",
                number=f"#{ticket_number(ticket.merged_into_id)}",
            )
        )
    if version is not None and ticket.version != version:
        raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
    return ticket


def account_for_queue(
    session: Session, organisation: Organisation, customer_user_id: int, queue_id: int
) -> CustomerUser:
    """Return a valid account that may write to a queue, so that it can have a ticket there.

    Raises ``Invalid`` for an account that is none or invalid, ``Forbidden`` without the right.
    """
    account = session.get(
        CustomerUser, customer_user_id, options=[joinedload(CustomerUser.customer)]
    )
    if account is None or not is_valid_account(account):
        raise Invalid("customer_user", _("This account does not exist or is invalid."))
    if not customer_user_access(session, organisation, account).may_write(queue_id):
        raise Forbidden(
            _(
                "The account may not write to %(queue)s: give it the right, or move the ticket.",
                queue=organisation.queues[queue_id].name,
            )
        )
    return account


def set_state(ticket: Ticket, state: TicketState) -> None:
    """Set the state, and with it since when the ticket is closed and its customer waits.

    A ticket that waits for its customer has been answered, by telephone perhaps; one that staff
    open again has nobody waiting until its customer writes.
    """
    if ticket.state is state:
        return
    ticket.state = state
    ticket.closed_at = now() if state is TicketState.CLOSED else None
    if state in {TicketState.CLOSED, TicketState.WAITING}:
        ticket.waiting_since = None


def record_change(
    session: Session,
    actor: Actor,
    ticket: Ticket,
    action: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    """Count a change of a ticket and write it to the audit log."""
    ticket.changed_at = now()
    ticket.version += 1
    session.flush()  # a page that shows the ticket next reads the new names
    session.expire(ticket, ["queue", "owner", "customer", "customer_user"])
    audit.record(
        session, actor, action, "ticket", ticket.id, ticket.subject, dict(before), dict(after)
    )
