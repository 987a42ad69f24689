"""The tickets that mails name, by a token of ours or by a number, and what the sender is to them.

Merged tickets are followed to where they went.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Date, Row, bindparam, select
from sqlalchemy.orm import Session, aliased

from core.accounts.addresses import main_address
from core.accounts.permissions import Access, Subject, guest_may_reply, valid_account
from core.intake.facts import FollowUpFacts, Reader, Relation, TicketFacts
from core.intake.identify import Match, MatchKind
from core.mail.addresses import address_key
from core.mail.threads import Thread
from core.mail.tokens import Token
from core.models import (
    MAX_ID,
    Customer,
    CustomerUser,
    Ticket,
    now,
    ticket_id_of,
    ticket_number,
)
from core.organisation import Organisation

Tickets = Mapping[int, TicketFacts]  # by the id that was asked for

_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_TODAY: ColumnElement[date] = bindparam("today", type_=Date)
_OWNER = aliased(Customer)
_TICKETS = (
    select(
        Ticket.id,
        Ticket.public_id,
        Ticket.queue_id,
        Ticket.customer_user_id,
        Ticket.customer_id,
        Ticket.state,
        Ticket.requester,
        Ticket.merged_into_id,
        _OWNER.valid.label("customer_valid"),
        valid_account(_TODAY).label("has_reader"),
        main_address().label("address"),
        CustomerUser.language,
        CustomerUser.notices,
    )
    .outerjoin(CustomerUser, CustomerUser.id == Ticket.customer_user_id)
    .outerjoin(Customer, Customer.id == CustomerUser.customer_id)
    .outerjoin(_OWNER, _OWNER.id == Ticket.customer_id)
    .where(Ticket.id.in_(_KEYS))
    .order_by(Ticket.id)  # the order in which they are locked
)
_LOCKED_TICKETS = _TICKETS.with_for_update(of=Ticket)


def find_tickets(session: Session, ids: Collection[int]) -> Tickets:
    """Return tickets by the ids asked for, a merged one as that which it was merged into.

    On PostgreSQL they are locked: nobody closes, moves or merges them meanwhile.
    """
    rows = _rows(session, ids)
    found = dict(rows)
    merged = {row.merged_into_id for row in found.values()} - {None} - found.keys()
    while merged:  # once: only a merge at this very moment makes it twice
        found |= _rows(session, merged)
        merged = {row.merged_into_id for row in found.values()} - {None} - found.keys()
    return {asked: _ticket(_target(found, rows[asked])) for asked in rows}


def _rows(session: Session, ids: Collection[int | None]) -> dict[int, Row[Any]]:
    if not ids:
        return {}
    postgresql = session.get_bind().dialect.name == "postgresql"
    statement = _LOCKED_TICKETS if postgresql else _TICKETS
    values = {"keys": list(ids), "today": now().date()}
    found: Iterable[Row[Any]] = session.connection().execute(statement, values)
    return {row.id: row for row in found}


def _target(found: Mapping[int, Row[Any]], row: Row[Any]) -> Row[Any]:
    while row.merged_into_id is not None:
        row = found[row.merged_into_id]
    return row


def _ticket(row: Row[Any]) -> TicketFacts:
    has_reader = row.has_reader and row.address is not None
    return TicketFacts(
        id=row.id,
        public_id=row.public_id,
        queue_id=row.queue_id,
        customer_user_id=row.customer_user_id,
        customer_id=row.customer_id,
        state=row.state,
        requester=row.requester,
        reader=Reader(row.address, row.language, row.notices) if has_reader else None,
        customer_valid=bool(row.customer_valid),
        number=ticket_number(row.id),
    )


def ids_named(thread: Thread) -> set[int]:
    """Return the ids of all tickets that a mail names, whether there are such tickets or not."""
    tokens = (*thread.tokens, *thread.tags.values())
    named = {token.ticket_id for token in tokens} | {ticket_id_of(each) for each in thread.numbers}
    return {ticket_id for ticket_id in named if 0 < ticket_id <= MAX_ID}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a mail is from, as its relation to tickets needs it; ``address`` is a key or "".

    ``access`` is that of every customer in question and of the sender.
    """

    address: str
    match: Match
    access: Mapping[Subject, Access]

    @property
    def own_access(self) -> Access | None:
        """What the account may do, or its customer; None for somebody unknown."""
        return self.access.get(subject_of_match(self.match))

    def relation(self, ticket: TicketFacts) -> Relation:
        """Return what the sender is to a ticket."""
        account = self.match.account
        if ticket.customer_user_id is None:
            if self.address and self.address == address_key(ticket.requester):
                return Relation.PARTICIPANT
        elif account is not None and account.customer_user_id == ticket.customer_user_id:
            return Relation.PARTICIPANT
        # A number alone proves nothing (row M4), so it makes nobody a colleague either.
        known = self.match.kind is not MatchKind.NUMBER_ONLY and self.match.customer_id is not None
        if known and self.match.customer_id == ticket.customer_id:
            return Relation.COLLEAGUE
        return Relation.FOREIGN

    def is_allowed(
        self, organisation: Organisation, ticket: TicketFacts, relation: Relation
    ) -> bool:
        """Whether the sender may (still) write to the ticket's queue."""
        if relation is Relation.FOREIGN:
            return False
        access = self.own_access
        if access is None and ticket.customer_id is not None:  # a new address of its customer
            access = self.access.get(Subject(None, ticket.customer_id))
        if access is not None:
            return access.may_write(ticket.queue_id)
        return guest_may_reply(organisation, ticket)


def subject_of_match(match: Match) -> Subject:
    """Return whose access counts for a mail: the account's, or that of its customer alone."""
    if match.account is not None:
        account = match.account
        return Subject(account.customer_user_id, account.customer_id, account.sees_customer_tickets)
    return Subject(None, match.customer_id or 0)


def subjects_of_tickets(tickets: Iterable[TicketFacts]) -> set[Subject]:
    """Return the customers of tickets without an account: a new address may answer for them."""
    return {
        Subject(None, ticket.customer_id)
        for ticket in tickets
        if ticket.customer_user_id is None
        and ticket.customer_id is not None
        and ticket.customer_valid
    }


def follow_up_of(
    organisation: Organisation,
    thread: Thread,
    tokens: Iterable[Token],
    tickets: Tickets,
    sender: Sender,
) -> FollowUpFacts | None:
    """Return the ticket that a mail belongs to by its own account, None if it names none.

    A token goes before a number. Of several numbers the one counts that is nearest to the sender.
    """
    hinted = [tickets[each] for each in map(ticket_id_of, thread.numbers) if each in tickets]
    for token in tokens:
        if (ticket := tickets.get(token.ticket_id)) is not None:
            agrees = not thread.numbers or ticket in hinted
            contradicted_by = () if agrees else thread.numbers
            return _facts(organisation, sender, ticket, proven=True, numbers=contradicted_by)
    if not hinted:
        return None
    nearest = min(hinted, key=lambda ticket: _ORDER.index(sender.relation(ticket)))
    return _facts(organisation, sender, nearest, proven=False)


def follow_up_to(organisation: Organisation, ticket: TicketFacts, sender: Sender) -> FollowUpFacts:
    """Return a ticket as the one that a mail belongs to because staff say so."""
    return _facts(organisation, sender, ticket, proven=True)


_ORDER = tuple(Relation)


def _facts(
    organisation: Organisation,
    sender: Sender,
    ticket: TicketFacts,
    *,
    proven: bool,
    numbers: tuple[int, ...] = (),
) -> FollowUpFacts:
    relation, access = sender.relation(ticket), sender.own_access
    return FollowUpFacts(
        ticket=ticket,
        proven=proven,
        relation=relation,
        allowed=sender.is_allowed(organisation, ticket, relation),
        may_reply=access is not None and access.may_reply(ticket),
        contradicted_by=numbers,
    )
