"""Gathering the facts of a batch of messages: one query per question, whatever the batch size."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Date, bindparam, select
from sqlalchemy.orm import Session

from core.accounts.permissions import Access, Subject, access_of, valid_account
from core.errors import Invalid
from core.i18n import N_
from core.i18n import gettext as _
from core.intake.facts import Facts, PortalFacts, ReleaseFacts, SenderFacts, TicketFacts
from core.intake.identify import AccountFacts, CustomerFacts, Match, MatchKind, identify
from core.intake.prepare import Prepared
from core.mail.customer_numbers import Claim, find_claims
from core.mail.message import FROM_DEFECTS
from core.models import (
    Customer,
    CustomerDomain,
    CustomerUser,
    CustomerUserAddress,
    Ticket,
    now,
)
from core.organisation import Organisation, Route
from core.words import Evidence

_NEUTRAL = N_("Nothing proves or disproves the sender.")
_OWN_ADDRESS = N_("The sender uses an address of ours from outside.")
_PORTAL = N_("Signed in to the portal.")
_STAFF = N_("Staff have decided whom the mail is from.")


@dataclass(frozen=True, slots=True)
class StaffChoice:
    """What staff chose for a held mail: the queue, and the account if they named one."""

    queue_id: int
    customer_user_id: int | None


@dataclass(frozen=True, slots=True)
class _Sought:
    """One recipient of one message on the way to its facts."""

    prepared: Prepared
    recipient: str
    route: Route | None
    sender: SenderFacts
    claims: tuple[Claim, ...]


def gather(
    session: Session, organisation: Organisation, batch: Sequence[Prepared]
) -> list[list[Facts]]:
    """Return the facts of each message of a batch, one per envelope recipient."""
    sought = [_seek(organisation, prepared) for prepared in batch]
    flat = [item for group in sought for item in group]
    mailed = [item for item in flat if item.prepared.incoming.portal is None]
    accounts = _accounts_by_address(session, {item.sender.address for item in mailed} - {""})
    customers = _customers_by_number(
        session, {claim.number for item in mailed for claim in item.claims}
    )
    portal = _portal_facts(session, organisation, batch)
    matches = {
        id(item): portal[id(item.prepared)][0]
        if item.prepared.incoming.portal
        else _match(item, accounts, customers)
        for item in flat
    }
    access = _access(session, organisation, matches.values())
    return [
        [
            _facts(organisation, item, matches[id(item)], access, portal.get(id(item.prepared)))
            for item in group
        ]
        for group in sought
    ]


def gather_release(
    session: Session, organisation: Organisation, prepared: Prepared, choice: StaffChoice
) -> Facts:
    """Return the facts of a held mail that staff release (its envelope has one recipient).

    Raises ``Invalid`` when the account they chose does not exist.
    """
    item = _seek(organisation, prepared)[0]
    if choice.customer_user_id is not None:
        account = _chosen_account(session, choice.customer_user_id)
        kind = MatchKind.ADDRESS if account.valid else MatchKind.INVALID_ACCOUNT
        match = Match(kind, account, candidates=(account,))
    else:
        accounts = _accounts_by_address(session, {item.sender.address} - {""})
        customers = _customers_by_number(session, {claim.number for claim in item.claims})
        match = _match(item, accounts, customers)
        if match.kind is MatchKind.NUMBER_ONLY:  # a number selects, it never proves
            match = Match(MatchKind.UNKNOWN, numbers=match.numbers)
    access = _access(session, organisation, [match])
    sender = SenderFacts(item.sender.address, Evidence.VERIFIED, _STAFF)
    return Facts(
        organisation=organisation,
        recipient=item.recipient,
        known_recipient=True,
        queue=organisation.queues[choice.queue_id],
        sender=sender,
        match=match,
        access=access.get(_subject(match)),
        unreadable=prepared.message.parse_error is not None,
        release=ReleaseFacts(
            organisation.queues[choice.queue_id], choice.customer_user_id is not None
        ),
    )


def _chosen_account(session: Session, customer_user_id: int) -> AccountFacts:
    account = _accounts_by_id(session, {customer_user_id}).get(customer_user_id)
    if account is None:
        raise Invalid("customer_user", _("There is no such account."))
    return account


def _seek(organisation: Organisation, prepared: Prepared) -> list[_Sought]:
    settings = organisation.settings
    sender = _sender(organisation, prepared)
    sought = []
    for recipient in prepared.incoming.envelope.recipients:
        route = organisation.route(recipient)
        claims: tuple[Claim, ...] = ()
        if prepared.incoming.portal is None:
            claims = find_claims(
                prepared.message,
                route.tag if route else None,
                settings.number_headers,
                settings.number_labels,
            )
        sought.append(_Sought(prepared, recipient, route, sender, claims))
    return sought


def _sender(organisation: Organisation, prepared: Prepared) -> SenderFacts:
    if prepared.incoming.portal is not None:
        return SenderFacts(prepared.from_key, Evidence.PORTAL, _PORTAL)
    problem = prepared.message.from_.problem
    if problem is not None or not prepared.from_key:
        why = FROM_DEFECTS[problem or "malformed"]
        return SenderFacts("", Evidence.FAILED, why)
    domain = prepared.from_key.rpartition("@")[2]
    inside = prepared.incoming.envelope.trusted and (
        prepared.from_key not in organisation.queue_by_address
    )
    if domain in organisation.own_domains and not inside:
        return SenderFacts(prepared.from_key, Evidence.FAILED, _OWN_ADDRESS, own_address=True)
    return SenderFacts(prepared.from_key, Evidence.NEUTRAL, _NEUTRAL)


def _match(
    item: _Sought,
    accounts: Mapping[str, Sequence[AccountFacts]],
    customers: Mapping[str, CustomerFacts],
) -> Match:
    address = item.sender.address
    return identify(accounts.get(address, ()), item.claims, customers, address.rpartition("@")[2])


def _facts(
    organisation: Organisation,
    item: _Sought,
    match: Match,
    access: Mapping[Subject, Access],
    portal: tuple[Match, PortalFacts] | None,
) -> Facts:
    message = item.prepared.message
    queue = item.route.queue if item.route else None
    return Facts(
        organisation=organisation,
        recipient=item.recipient,
        known_recipient=item.route is not None,
        queue=queue,
        sender=item.sender,
        match=match,
        access=access.get(_subject(match)),
        hops=message.received_count,
        delivery_report=message.is_delivery_report,
        unreadable=message.parse_error is not None,
        portal=portal[1] if portal else None,
    )


def _subject(match: Match) -> Subject:
    if match.account is not None:
        account = match.account
        return Subject(account.customer_user_id, account.customer_id, account.sees_customer_tickets)
    return Subject(None, match.customer_id or 0)


def _access(
    session: Session, organisation: Organisation, matches: Iterable[Match]
) -> dict[Subject, Access]:
    """Return the access of everybody who was matched; an invalid account has none."""
    subjects = {
        _subject(match)
        for match in matches
        if match.customer_id is not None and match.kind is not MatchKind.INVALID_ACCOUNT
    }
    return access_of(session, organisation, subjects) if subjects else {}


_ACCOUNT = (
    CustomerUser.id,
    CustomerUser.login,
    CustomerUser.customer_id,
    Customer.number,
    CustomerUser.sees_customer_tickets,
)

# Statements are built once: building them costs as much as running them.
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_TODAY: ColumnElement[date] = bindparam("today", type_=Date)
_BY_ADDRESS = (
    select(CustomerUserAddress.address_key, *_ACCOUNT, valid_account(_TODAY))
    .select_from(CustomerUserAddress)
    .join(CustomerUser, CustomerUser.id == CustomerUserAddress.customer_user_id)
    .join(Customer, Customer.id == CustomerUser.customer_id)
    .where(CustomerUserAddress.address_key.in_(_KEYS))
    .order_by(CustomerUser.id)
)
_BY_ID = (
    select(*_ACCOUNT, valid_account(_TODAY))
    .join(Customer, Customer.id == CustomerUser.customer_id)
    .where(CustomerUser.id.in_(_KEYS))
)
_BY_NUMBER = (
    select(Customer.id, Customer.number, Customer.valid, CustomerDomain.domain)
    .outerjoin(CustomerDomain, CustomerDomain.customer_id == Customer.id)
    .where(Customer.number.in_(_KEYS))
)


def _accounts_by_address(session: Session, keys: set[str]) -> dict[str, list[AccountFacts]]:
    found: dict[str, list[AccountFacts]] = defaultdict(list)
    if keys:
        values = {"keys": list(keys), "today": now().date()}
        for row in session.connection().execute(_BY_ADDRESS, values):
            found[row[0]].append(AccountFacts(*row[1:]))
    return found


def _accounts_by_id(session: Session, ids: set[int]) -> dict[int, AccountFacts]:
    if not ids:
        return {}
    values = {"keys": list(ids), "today": now().date()}
    return {row[0]: AccountFacts(*row) for row in session.connection().execute(_BY_ID, values)}


def _customers_by_number(session: Session, numbers: set[str]) -> dict[str, CustomerFacts]:
    if not numbers:
        return {}
    rows = session.connection().execute(_BY_NUMBER, {"keys": list(numbers)}).all()
    domains: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        domains[row.number].add(row.domain or "")
    return {
        row.number: CustomerFacts(
            row.id, row.number, row.valid, frozenset(domains[row.number] - {""})
        )
        for row in rows
    }


def _portal_facts(
    session: Session, organisation: Organisation, batch: Sequence[Prepared]
) -> dict[int, tuple[Match, PortalFacts]]:
    """Return, by the identity of the prepared message, who wrote it and what was asked for."""
    submissions = [
        (prepared, prepared.incoming.portal) for prepared in batch if prepared.incoming.portal
    ]
    if not submissions:
        return {}
    accounts = _accounts_by_id(session, {asked.customer_user_id for _, asked in submissions})
    tickets = _tickets(session, {asked.ticket_id for _, asked in submissions if asked.ticket_id})
    return {
        id(prepared): (
            _portal_match(accounts.get(asked.customer_user_id)),
            PortalFacts(
                queue=organisation.queues.get(asked.queue_id or 0),
                ticket=tickets.get(asked.ticket_id or 0),
                close=asked.close_ticket,
            ),
        )
        for prepared, asked in submissions
    }


def _portal_match(account: AccountFacts | None) -> Match:
    if account is None:
        return Match(MatchKind.UNKNOWN)
    kind = MatchKind.ADDRESS if account.valid else MatchKind.INVALID_ACCOUNT
    return Match(kind, account, candidates=(account,))


def _tickets(session: Session, ids: set[int]) -> dict[int, TicketFacts]:
    if not ids:
        return {}
    statement = select(
        Ticket.id,
        Ticket.public_id,
        Ticket.queue_id,
        Ticket.customer_user_id,
        Ticket.customer_id,
        Ticket.state,
    ).where(Ticket.id.in_(ids))
    if session.get_bind().dialect.name == "postgresql":
        statement = statement.with_for_update()  # nobody closes or moves it meanwhile
    return {row[0]: TicketFacts(*row) for row in session.execute(statement)}
