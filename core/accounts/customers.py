"""Customers: firms or persons, known by their Kunden#. Never deleted, only set invalid."""

from dataclasses import dataclass, replace

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session, selectinload

from core.accounts.copies import check_unchanged
from core.accounts.lookups import Lookups, StoredLookups
from core.accounts.saving import Problems, check_version, clean_texts, store
from core.accounts.search_text import searchable, sort_key
from core.audit import Actor
from core.errors import Duplicate, Holder, Invalid, NotFound
from core.i18n import gettext as _
from core.mail.addresses import domain_key
from core.models import Customer, CustomerDomain, CustomerUser, WebSession, now
from core.text import exact


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerValues:
    """What can be entered for a customer.

    ``number`` is the Kunden#: a number or a mail address, exact but for white space around it.
    ``domains`` are mail domains that an admin confirms to be the customer's own.
    """

    number: str
    name: str
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    url: str = ""
    comment: str = ""
    valid: bool = True
    domains: tuple[str, ...] = ()


_PLAIN_FIELDS = (
    "number",
    "name",
    "street",
    "postcode",
    "city",
    "country",
    "url",
    "comment",
    "valid",
)

_SET_SEARCH_TEXT = (
    update(CustomerUser)
    .where(CustomerUser.id == bindparam("account"))
    .values(search_text=bindparam("text"))
)


def customer_values(customer: Customer) -> CustomerValues:
    """Return what is stored of a customer."""
    return CustomerValues(
        **{field: getattr(customer, field) for field in _PLAIN_FIELDS},
        domains=tuple(sorted(domain.domain for domain in customer.domains)),
    )


def save_customer(
    session: Session,
    actor: Actor,
    values: CustomerValues,
    current: Customer | None = None,
    version: int | None = None,
    *,
    from_source: bool = False,
) -> Customer:
    """Create a customer, or change ``current`` where it differs; a new Kunden# keeps everything.

    Making it invalid ends the web sessions of all its accounts. Only ``from_source`` changes what
    it has from a record. Raises ``InvalidFields``, and
    ``Stale`` when ``version`` is not the stored one.
    """
    check_version(session, current, version)
    values = check_customer(StoredLookups(session), values, current, from_source=from_source)
    before = customer_values(current) if current is not None else None
    customer = current if current is not None else Customer()
    if values == before:
        return customer
    fill_customer(customer, values)
    store(session, actor, "customer", customer, customer_label(values), before, values)
    if before is not None:
        follow_customer(session, customer, before, values)
    return customer


def check_customer(
    lookups: Lookups,
    values: CustomerValues,
    current: Customer | None,
    *,
    from_source: bool = False,
) -> CustomerValues:
    """Return what would be stored of a new customer, or of ``current``.

    Raises ``InvalidFields``, for what it has from a record too unless that is where it is
    ``from_source``.
    """
    problems = Problems()
    checked = _checked(lookups, values, current, problems)
    if current is not None and current.source is not None and not from_source:
        check_unchanged(current, customer_values(current), checked, problems)
    problems.raise_any()
    return checked


def fill_customer(customer: Customer, values: CustomerValues) -> None:
    """Put checked values into a customer."""
    for field in _PLAIN_FIELDS:
        setattr(customer, field, getattr(values, field))
    _set_domains(customer, values.domains)
    customer.changed_at = now()
    customer.search_text = searchable(values.number, values.name, values.city, *values.domains)
    customer.sort_key = sort_key(values.name)


def follow_customer(
    session: Session, customer: Customer, before: CustomerValues, after: CustomerValues
) -> None:
    """Do to the customer's accounts what follows from a change of the customer."""
    if (before.number, before.name) != (after.number, after.name):
        _renew_search_texts(session, customer)
    if before.valid and not after.valid:
        accounts = select(CustomerUser.id).where(CustomerUser.customer_id == customer.id)
        session.execute(delete(WebSession).where(WebSession.customer_user_id.in_(accounts)))


def customer_numbered(session: Session, number: str) -> Customer:
    """Return the customer with exactly this Kunden#. Raises ``NotFound``."""
    customer = StoredLookups(session).customer(exact(number))
    if customer is None:
        raise no_customer_numbered(number)
    return customer


def no_customer_numbered(number: str) -> NotFound:
    """Return the error that there is no customer with this Kunden#."""
    return NotFound(_('There is no customer with the Kunden# "%(number)s".', number=number))


def customer_label(customer: Customer | CustomerValues) -> str:
    """Return how the audit log and messages name a customer."""
    return f"{customer.number} {customer.name}"


def customer_user_search_text(customer_user: CustomerUser, customer: Customer) -> str:
    """Return the text in which an account is found: also by its customer's Kunden# and name."""
    return searchable(
        customer_user.login,
        customer_user.first_name,
        customer_user.last_name,
        *(address.address for address in customer_user.addresses),
        customer.number,
        customer.name,
    )


def _checked(
    lookups: Lookups, values: CustomerValues, current: Customer | None, problems: Problems
) -> CustomerValues:
    number = exact(values.number)
    if not number.isprintable():
        problems.add(Invalid("number", _("A Kunden# has no control characters.")))
    cleaned = clean_texts(
        values, Customer, problems, required=("number", "name"), long=("comment",)
    )
    with problems.gathered():
        _check_number(lookups, number, current)
    with problems.gathered():
        _check_url(cleaned.url)
    domains: list[str] = []
    for domain in values.domains:
        with problems.gathered():
            domains.append(_checked_domain(domain))
    return replace(cleaned, number=number, domains=tuple(sorted(set(domains))))


def _check_number(lookups: Lookups, number: str, current: Customer | None) -> None:
    holder = lookups.customer(number)
    if holder is not None and holder is not current:
        raise Duplicate(
            "number",
            _('The customer "%(name)s" already has this Kunden#.', name=holder.name),
            Holder("customer", holder.id, holder.name),
        )


def _check_url(url: str) -> None:
    if url and not url.lower().startswith(("https://", "http://")):
        raise Invalid("url", _("An address of a web page begins with https:// or http://."))


def _checked_domain(domain: str) -> str:
    key = domain_key(domain.strip().removeprefix("@"))
    if key is None or "." not in key:
        raise Invalid("domains", _('"%(domain)s" is not a mail domain.', domain=domain))
    return key


def _set_domains(customer: Customer, wanted: tuple[str, ...]) -> None:
    kept = {row.domain: row for row in customer.domains if row.domain in wanted}
    customer.domains = [kept.get(domain) or CustomerDomain(domain=domain) for domain in wanted]


def _renew_search_texts(session: Session, customer: Customer) -> None:
    """Write what follows for search, past the accounts' versions: nobody has changed them."""
    accounts = session.scalars(
        select(CustomerUser)
        .where(CustomerUser.customer_id == customer.id)
        .options(selectinload(CustomerUser.addresses))
    ).all()
    rows = [
        {"account": account.id, "text": customer_user_search_text(account, customer)}
        for account in accounts
    ]
    if rows:
        session.connection().execute(_SET_SEARCH_TEXT, rows)
    for account in accounts:
        session.expire(account, ["search_text"])
