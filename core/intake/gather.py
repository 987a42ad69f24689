"""Gathering the facts of a batch of messages: one query per question, whatever the batch size."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Date, bindparam, select
from sqlalchemy.orm import Session

from core.accounts.addresses import main_address
from core.accounts.permissions import Access, Subject, access_of, valid_account
from core.errors import Invalid
from core.i18n import N_
from core.i18n import gettext as _
from core.intake.blocklist import BlockedEntry
from core.intake.bursts import Recent, is_busy, recent_tickets
from core.intake.facts import (
    Facts,
    PortalFacts,
    RecentTickets,
    ReleaseFacts,
    SenderFacts,
    TicketFacts,
)
from core.intake.identify import AccountFacts, CustomerFacts, Match, MatchKind, identify
from core.intake.named_tickets import (
    Sender,
    Tickets,
    find_tickets,
    follow_up_of,
    follow_up_to,
    ids_named,
    subject_of_match,
    subjects_of_tickets,
)
from core.intake.prepare import Prepared
from core.mail.addresses import address_key
from core.mail.authentication.findings import Findings, Source
from core.mail.content_check import CLEAN
from core.mail.customer_numbers import Claim, find_claims
from core.mail.message import FROM_DEFECTS
from core.mail.tokens import Token, TokenKind, looks_like_token
from core.models import (
    Customer,
    CustomerDomain,
    CustomerUser,
    CustomerUserAddress,
    now,
)
from core.organisation import Organisation, Route
from core.routing.content import Content
from core.words import Evidence

_NEUTRAL = N_("Nothing proves or disproves the sender.")
_OWN_ADDRESS = N_("The sender uses an address of ours from outside.")
_VOUCHED = N_("A relay of ours handed it over, and the settings say that it knows this domain.")
_PORTAL = N_("Signed in to the portal.")
_STAFF = N_("Staff have decided whom the mail is from.")


@dataclass(frozen=True, slots=True)
class StaffChoice:
    """What staff chose for a held mail: the queue, and the account if they named one.

    ``ticket_id`` is a ticket of that queue which the mail is to be added to.
    """

    queue_id: int
    customer_user_id: int | None
    ticket_id: int | None = None


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
    recent = Recent.of(organisation.settings, batch)
    accounts = _accounts_by_address(
        session, {item.sender.address for item in mailed} - {""}, recent
    )
    customers = _customers_by_number(
        session, {claim.number for item in mailed for claim in item.claims}
    )
    tickets = find_tickets(session, set().union(*(ids_named(each.thread) for each in batch)))
    portal = _portal_facts(session, organisation, batch)
    matches = {
        id(item): portal[id(item.prepared)][0]
        if item.prepared.incoming.portal
        else _match(item, accounts, customers)
        for item in flat
    }
    found = _Found(
        organisation,
        _access(session, organisation, matches.values(), tickets.values()),
        tickets,
        recent_tickets(session, recent, {_busy(match) for match in matches.values()} - {0}),
    )
    return [
        [_facts(found, item, matches[id(item)], portal.get(id(item.prepared))) for item in group]
        for group in sought
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found for a whole batch."""

    organisation: Organisation
    access: Mapping[Subject, Access]
    tickets: Tickets
    recent: Mapping[int, Mapping[int, RecentTickets]]  # by account, then by queue


def _busy(match: Match) -> int:
    return match.account.customer_user_id if match.account and match.account.busy else 0


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
        accounts = _accounts_by_address(
            session, {item.sender.address} - {""}, Recent.of(organisation.settings, [prepared])
        )
        customers = _customers_by_number(session, {claim.number for claim in item.claims})
        match = _match(item, accounts, customers)
        if match.kind is MatchKind.NUMBER_ONLY:  # a number selects, it never proves
            match = Match(MatchKind.UNKNOWN, numbers=match.numbers)
    tickets = find_tickets(session, {choice.ticket_id} if choice.ticket_id is not None else ())
    access = _access(session, organisation, [match], tickets.values())
    ticket = tickets.get(choice.ticket_id or 0)
    sender = SenderFacts(item.sender.address, Evidence.VERIFIED, _STAFF)
    return Facts(
        organisation=organisation,
        recipient=item.recipient,
        known_recipient=True,
        queue=organisation.queues[choice.queue_id],
        sender=sender,
        match=match,
        access=access.get(subject_of_match(match)),
        unreadable=prepared.message.parse_error is not None,
        follow_up=follow_up_to(organisation, ticket, Sender(sender.address, match, access))
        if ticket is not None
        else None,
        release=ReleaseFacts(
            organisation.queues[choice.queue_id],
            choice.customer_user_id is not None,
            choice.ticket_id is not None,
        ),
    )


def _chosen_account(session: Session, customer_user_id: int) -> AccountFacts:
    account = _accounts_by_id(session, {customer_user_id}).get(customer_user_id)
    if account is None:
        raise Invalid("customer_user", _("There is no such account."))
    return account


def claims_of(
    organisation: Organisation, prepared: Prepared, route: Route | None
) -> tuple[Claim, ...]:
    """Return the Kunden# that a mail names to a recipient; what is written in the portal: none."""
    if prepared.incoming.portal is not None:
        return ()
    tag = route.tag if route else None
    return find_claims(
        prepared.message,
        None if tag and looks_like_token(tag) else tag,
        organisation.settings.number_headers,
        organisation.settings.number_labels,
    )


def _seek(organisation: Organisation, prepared: Prepared) -> list[_Sought]:
    sender = _sender(organisation, prepared)
    sought = []
    for recipient in prepared.incoming.envelope.recipients:
        route = organisation.route(recipient)
        claims = claims_of(organisation, prepared, route)
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
    if _relay_vouches(organisation, prepared, domain):
        return SenderFacts(prepared.from_key, Evidence.VERIFIED, _VOUCHED)
    if (verdict := prepared.verdict) is None:
        return SenderFacts(prepared.from_key, Evidence.NEUTRAL, _NEUTRAL)
    return SenderFacts(
        prepared.from_key,
        verdict.evidence,
        verdict.why,
        policy=verdict.policy,
        doubt=verdict.doubt,
    )


def _relay_vouches(organisation: Organisation, prepared: Prepared, domain: str) -> bool:
    """Whether an admin has said that our relays authenticate a domain (threat model, D).

    What a relay says about the mail itself, good or bad, counts for more.
    """
    says_nothing = prepared.findings in {None, Findings(Source.RELAY)}
    return (
        says_nothing
        and prepared.incoming.envelope.trusted
        and domain in organisation.settings.relay_authenticates
    )


def _match(
    item: _Sought,
    accounts: Mapping[str, Sequence[AccountFacts]],
    customers: Mapping[str, CustomerFacts],
) -> Match:
    address = item.sender.address
    return identify(accounts.get(address, ()), item.claims, customers, address.rpartition("@")[2])


def _facts(
    found: _Found, item: _Sought, match: Match, portal: tuple[Match, PortalFacts] | None
) -> Facts:
    prepared, route = item.prepared, item.route
    message, thread = prepared.message, prepared.thread
    tokens = thread.tokens_for(item.recipient, route.tag if route else None)
    sender = Sender(item.sender.address, match, found.access)
    account_id = match.account.customer_user_id if match.account else 0
    is_mail = portal is None
    return Facts(
        organisation=found.organisation,
        recipient=item.recipient,
        known_recipient=route is not None,
        queue=route.queue if route else None,
        sender=item.sender,
        match=match,
        access=sender.own_access,
        hops=message.received_count,
        automatic=is_mail and (not prepared.incoming.envelope.mail_from or message.is_automatic),
        wants_no_answer=is_mail and message.wants_no_answer,
        delivery_report=_is_report(prepared, tokens),
        unreadable=message.parse_error is not None,
        own_mail=thread.is_ours,
        blocked=_blocked(found.organisation, prepared) if is_mail else None,
        checked=prepared.incoming.content or CLEAN,
        outgoing_id=tokens[0].outgoing_id if tokens else None,
        follow_up=follow_up_of(found.organisation, thread, tokens, found.tickets, sender)
        if found.tickets and is_mail
        else None,
        recent=found.recent.get(account_id, {}) if is_mail else {},
        portal=portal[1] if portal else None,
        content=_content(item, match) if found.organisation.routing and is_mail else None,
        asked=prepared.asked,
        source_away=prepared.away,
    )


# What is known of the sender by more than a number, which anybody can write into a mail.
_KNOWN = frozenset({MatchKind.ADDRESS, MatchKind.ADDRESS_AND_NUMBER, MatchKind.KNOWN_DOMAIN})


def _content(item: _Sought, match: Match) -> Content:
    incoming = item.prepared.incoming
    known = match if match.kind in _KNOWN else Match(MatchKind.UNKNOWN)
    return Content(
        message=item.prepared.message,
        recipient=item.recipient,
        mail_from=incoming.envelope.mail_from,
        peer=incoming.envelope.peer,
        size=len(incoming.raw),
        sender=item.sender.address,
        evidence=item.sender.evidence,
        customer_number=known.customer_number or "",
        login=known.account.login if known.account else "",
    )


def _blocked(organisation: Organisation, prepared: Prepared) -> BlockedEntry | None:
    """Return what the blocklist has against a mail; a relay of ours is no client to block."""
    envelope = prepared.incoming.envelope
    senders = (prepared.from_key, address_key(envelope.mail_from) or "")
    return organisation.blocklist.find(senders, "" if envelope.trusted else envelope.peer)


def _is_report(prepared: Prepared, tokens: Sequence[Token]) -> bool:
    """Whether a mail reports what became of another one.

    Some servers do so in words only: then the null reverse-path (RFC 5321 4.5.5) and the address
    that we made for reports tell, unless somebody's answering machine says that it is one.
    """
    if prepared.message.is_delivery_report:
        return True
    if prepared.incoming.envelope.mail_from or not tokens:
        return False
    is_to_bounce_address = tokens[0].kind is TokenKind.BOUNCE
    return is_to_bounce_address and (
        prepared.report is not None or not prepared.message.is_automatic
    )


def _access(
    session: Session,
    organisation: Organisation,
    matches: Iterable[Match],
    tickets: Iterable[TicketFacts] = (),
) -> dict[Subject, Access]:
    """Return the access of everybody who was matched; an invalid account has none.

    And that of the customers of tickets which have no account.
    """
    subjects = subjects_of_tickets(tickets) | {
        subject_of_match(match)
        for match in matches
        if match.customer_id is not None and match.kind is not MatchKind.INVALID_ACCOUNT
    }
    return access_of(session, organisation, subjects) if subjects else {}


# Statements are built once: building them costs as much as running them.
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_TODAY: ColumnElement[date] = bindparam("today", type_=Date)
_ACCOUNT = (
    CustomerUser.id,
    CustomerUser.login,
    CustomerUser.customer_id,
    Customer.number,
    CustomerUser.sees_customer_tickets,
    valid_account(_TODAY),
    main_address(),
    CustomerUser.language,
    CustomerUser.notices,
)
_BY_ADDRESS = (
    select(CustomerUserAddress.address_key, *_ACCOUNT, is_busy())
    .select_from(CustomerUserAddress)
    .join(CustomerUser, CustomerUser.id == CustomerUserAddress.customer_user_id)
    .join(Customer, Customer.id == CustomerUser.customer_id)
    .where(CustomerUserAddress.address_key.in_(_KEYS))
    .order_by(CustomerUser.id)
)
_BY_ID = (
    select(*_ACCOUNT)
    .join(Customer, Customer.id == CustomerUser.customer_id)
    .where(CustomerUser.id.in_(_KEYS))
)
_BY_NUMBER = (
    select(Customer.id, Customer.number, Customer.valid, CustomerDomain.domain)
    .outerjoin(CustomerDomain, CustomerDomain.customer_id == Customer.id)
    .where(Customer.number.in_(_KEYS))
)


def _accounts_by_address(
    session: Session, keys: set[str], recent: Recent
) -> dict[str, list[AccountFacts]]:
    found: dict[str, list[AccountFacts]] = defaultdict(list)
    if keys:
        values = {"keys": list(keys), "today": now().date(), **recent.values}
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
    tickets = find_tickets(
        session, {asked.ticket_id for _, asked in submissions if asked.ticket_id}
    )
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
