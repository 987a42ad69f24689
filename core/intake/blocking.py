"""The blocklist as admins keep it: whose mail is refused, and since when."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from core import audit
from core.accounts.permissions import valid_account
from core.audit import Actor
from core.errors import Invalid, NotFound
from core.i18n import gettext as _
from core.intake.blocklist import IPNetwork, plain_address
from core.mail.addresses import address_key, check_new_address, domain_key
from core.mail.text import one_line
from core.models import (
    BlockedSender,
    Customer,
    CustomerDomain,
    CustomerUser,
    CustomerUserAddress,
    OrganisationVersion,
    now,
)
from core.organisation import Organisation, load_organisation
from core.paging import Page, read_page
from core.text import exact
from core.words import ActorKind, BlockedKind

KIND = "blocked-sender"  # in the audit log

MAX_ENTRIES = 10_000  # each process keeps them in memory
MAX_COMMENT = 300
MAX_DOMAIN = 253  # RFC 1035 2.3.4, without the root
MAX_PAGE = 200
# The widest networks: what is wider blocks more than anybody oversees.
WIDEST = {4: 8, 6: 16}
NAMED = 5  # customers and accounts that a warning names

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class Concerned:
    """Customers and valid accounts that a new entry would shut out; the first few by name."""

    accounts: int = 0
    customers: int = 0
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.accounts or self.customers)


def block(
    session: Session,
    actor: Actor,
    kind: BlockedKind,
    value: str,
    comment: str = "",
    relays: Sequence[IPNetwork] = (),
) -> BlockedSender:
    """Refuse mail of this address, domain or client from now on.

    ``relays`` are the networks of the relays that we trust, which cannot be blocked. Raises
    ``Invalid`` for what cannot be blocked, or is already.
    """
    session.execute(select(OrganisationVersion.version).with_for_update())  # one at a time
    entered = checked_value(load_organisation(session), kind, value, relays)
    noted = exact(one_line(comment))
    if len(noted) > MAX_COMMENT:
        raise Invalid("comment", _("Please enter at most %(limit)d characters.", limit=MAX_COMMENT))
    there = select(BlockedSender.id).where(
        BlockedSender.kind == kind, BlockedSender.value == entered
    )
    if session.scalars(there).first() is not None:
        raise Invalid("value", _("%(value)s is on the blocklist already.", value=entered))
    if session.scalars(select(func.count(BlockedSender.id))).one() >= MAX_ENTRIES:
        raise Invalid(
            "value", _("The blocklist is full: it has %(limit)d entries.", limit=MAX_ENTRIES)
        )
    staff_id = actor.id if actor.kind is ActorKind.STAFF else None
    entry = BlockedSender(
        kind=kind, value=entered, comment=noted, staff_id=staff_id, created_at=now()
    )
    session.add(entry)
    session.flush()  # the audit event names its id
    audit.record(session, actor, "blocked", KIND, entry.id, entered, None, _described(entry))
    return entry


def unblock(session: Session, actor: Actor, entry_id: int) -> str:
    """Take an entry off the list and return its value. Raises ``NotFound``."""
    session.execute(select(OrganisationVersion.version).with_for_update())  # before its row
    entry = blocked_sender(session, entry_id)
    audit.record(session, actor, "unblocked", KIND, entry.id, entry.value, _described(entry), None)
    session.delete(entry)
    session.flush()  # whoever reads the list in this transaction no longer finds it
    return entry.value


def blocked_sender(session: Session, entry_id: int) -> BlockedSender:
    """Return one entry. Raises ``NotFound``."""
    entry = session.get(BlockedSender, entry_id)
    if entry is None:
        raise NotFound(_("This entry is not on the blocklist (any more)."))
    return entry


def blocked_senders(
    session: Session,
    *,
    query: str = "",
    kind: BlockedKind | None = None,
    cursor: str | None = None,
    limit: int = 25,
) -> Page[BlockedSender]:
    """Return a page of the list, the newest entry first; ``query`` looks at value and comment."""
    statement = (
        select(BlockedSender).where(_matches(query, kind)).options(joinedload(BlockedSender.staff))
    )
    return read_page(
        session,
        statement,
        (BlockedSender.id,),
        descending=True,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )


def count_blocked(session: Session, *, query: str = "", kind: BlockedKind | None = None) -> int:
    """Return how many entries a list has in all its pages."""
    return session.scalars(select(func.count(BlockedSender.id)).where(_matches(query, kind))).one()


def checked_value(
    organisation: Organisation, kind: BlockedKind, value: str, relays: Sequence[IPNetwork] = ()
) -> str:
    """Return a value as it is stored and compared. Raises ``Invalid`` for one not to block."""
    entered = one_line(value).strip()
    match kind:
        case BlockedKind.ADDRESS:
            return _checked_address(organisation, entered)
        case BlockedKind.DOMAIN:
            return _checked_domain(organisation, entered)
        case BlockedKind.PEER:
            return _checked_network(entered, relays)


def concerned(session: Session, kind: BlockedKind, value: str) -> Concerned:
    """Return which customers an entry with this checked value would shut out.

    None for a client: nobody can tell who sends through it.
    """
    if kind is BlockedKind.PEER:
        return Concerned()
    accounts = (
        select(CustomerUser.login)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .join(CustomerUserAddress, CustomerUserAddress.customer_user_id == CustomerUser.id)
        .where(valid_account(now().date()), _address_within(kind, value))
        .distinct()
    )
    logins = session.scalars(accounts.order_by(CustomerUser.login)).all()
    names: Sequence[str] = ()
    if kind is BlockedKind.DOMAIN:
        names = session.scalars(
            select(Customer.name)
            .join(CustomerDomain, CustomerDomain.customer_id == Customer.id)
            .where(Customer.valid, _within(CustomerDomain.domain, value))
            .distinct()
            .order_by(Customer.name)
        ).all()
    return Concerned(len(logins), len(names), tuple([*names, *logins][:NAMED]))


def _checked_address(organisation: Organisation, entered: str) -> str:
    key = address_key(check_new_address(entered, "value"))
    assert key is not None  # check_new_address has seen to that
    if key.rpartition("@")[2] in organisation.own_domains:
        raise Invalid("value", _("This is an address of ours, which cannot be blocked."))
    return key


def _checked_domain(organisation: Organisation, entered: str) -> str:
    domain = domain_key(entered.removeprefix("@").removeprefix("*."))
    if domain is None or domain.replace(".", "").isdigit() or len(domain) > MAX_DOMAIN:
        raise Invalid("value", _("This is not a domain, as in example.org."))
    if any(own == domain or own.endswith(f".{domain}") for own in organisation.own_domains):
        raise Invalid("value", _("A domain of ours lies in it, which cannot be blocked."))
    return domain


def _checked_network(entered: str, relays: Sequence[IPNetwork]) -> str:
    try:
        network = _plain_network(entered)
    except ValueError:
        text = _("This is not an IP address or network, as in 192.0.2.1 or 2001:db8::/32.")
        raise Invalid("value", text) from None
    if network.prefixlen < WIDEST[network.version]:
        raise Invalid(
            "value",
            _("This network is too wide: at most /%(length)d.", length=WIDEST[network.version]),
        )
    if any(_overlap(network, each) for each in (*_LOOPBACK, *relays)):
        raise Invalid(
            "value",
            _("A relay of ours, or this machine itself, lies in it: that cannot be blocked."),
        )
    return str(network)


def _plain_network(entered: str) -> IPNetwork:
    """Return an address or network; host bits are cut off, as in 192.0.2.7/24."""
    if "/" in entered:
        return ipaddress.ip_network(entered, strict=False)
    return ipaddress.ip_network(plain_address(ipaddress.ip_address(entered)))


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def _matches(query: str, kind: BlockedKind | None) -> ColumnElement[bool]:
    words = one_line(query).lower()
    found = or_(
        *(
            func.lower(column).contains(words, autoescape=True)
            for column in (BlockedSender.value, BlockedSender.comment)
        )
    )
    return and_(
        true(),
        *([found] if words else []),
        *([BlockedSender.kind == kind] if kind is not None else []),
    )


def _address_within(kind: BlockedKind, value: str) -> ColumnElement[bool]:
    key = CustomerUserAddress.address_key
    if kind is BlockedKind.ADDRESS:
        return key == value
    return or_(key.endswith(f"@{value}", autoescape=True), _below(key, value))


def _within(column: InstrumentedAttribute[str], domain: str) -> ColumnElement[bool]:
    return or_(column == domain, _below(column, domain))


def _below(column: InstrumentedAttribute[str], domain: str) -> ColumnElement[bool]:
    return column.endswith(f".{domain}", autoescape=True)


def _described(entry: BlockedSender) -> dict[str, str]:
    return {"kind": entry.kind.value, "value": entry.value, "comment": entry.comment}
