"""Tags of tickets: words of staff and of routing rules, which customers never see.

Their form is that of ``core.routing.tag_names``: one line, in lower case.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.models import Staff, Ticket, TicketTag
from core.organisation import load_organisation
from core.routing.tag_names import clean_tags
from core.tickets.changing import record_change, workable_ticket

MAX_CHOICES = 200


def tags_of(session: Session, ticket_ids: Collection[int]) -> Mapping[int, tuple[str, ...]]:
    """Return the tags of each ticket in the order of the alphabet; () for one without."""
    found: dict[int, list[str]] = defaultdict(list)
    rows = session.execute(
        select(TicketTag.ticket_id, TicketTag.tag).where(TicketTag.ticket_id.in_(ticket_ids))
    )
    for ticket_id, tag in rows:
        found[ticket_id].append(tag)
    return {ticket_id: tuple(sorted(found[ticket_id])) for ticket_id in ticket_ids}


def change_tags(
    session: Session,
    actor: Actor,
    staff: Staff,
    public_id: str,
    tags: Iterable[str],
    version: int | None = None,
) -> Ticket:
    """Give a ticket exactly these tags.

    ``version`` is that of the ticket as it was read. Raises ``NotFound``, ``Forbidden``, ``Stale``,
    and ``Invalid`` for what ``clean_tags`` refuses.
    """
    wanted = tuple(sorted(clean_tags(tags)))
    queues = staff_queue_ids(session, load_organisation(session, lock=True), staff)
    ticket = workable_ticket(session, queues, public_id, version)
    before = tags_of(session, [ticket.id])[ticket.id]
    if wanted == before:
        return ticket
    session.execute(
        delete(TicketTag).where(TicketTag.ticket_id == ticket.id, TicketTag.tag.not_in(wanted))
    )
    session.add_all(TicketTag(ticket_id=ticket.id, tag=tag) for tag in wanted if tag not in before)
    record_change(session, actor, ticket, "changed", {"tags": list(before)}, {"tags": list(wanted)})
    return ticket


def all_tags(session: Session, queue_ids: Collection[int]) -> Sequence[str]:
    """Return the tags of tickets in these queues in the order of the alphabet, at most 200."""
    return session.scalars(
        select(TicketTag.tag)
        .join(Ticket, Ticket.id == TicketTag.ticket_id)
        .where(Ticket.queue_id.in_(queue_ids))
        .distinct()
        .order_by(TicketTag.tag)
        .limit(MAX_CHOICES)
    ).all()


def has_tag(tag: str) -> ColumnElement[bool]:
    """Return the condition that a ticket has a tag."""
    return exists().where(TicketTag.ticket_id == Ticket.id, TicketTag.tag == tag)


def unite_tags(session: Session, source_id: int, target_id: int) -> None:
    """Give one ticket the tags of another as well, which then has none."""
    tags = tags_of(session, [source_id, target_id])
    session.execute(delete(TicketTag).where(TicketTag.ticket_id == source_id))
    session.add_all(
        TicketTag(ticket_id=target_id, tag=tag)
        for tag in tags[source_id]
        if tag not in tags[target_id]
    )
