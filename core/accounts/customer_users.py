"""Customer users: the accounts of customers (handbook: *Kunden Benutzer*).

Never deleted. Login and Kunden# may change: everything else is tied to ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.addresses import WantedAddress, check_addresses, set_addresses
from core.accounts.copies import check_unchanged
from core.accounts.customers import (
    CustomerValues,
    customer_user_search_text,
    no_customer_numbered,
    save_customer,
)
from core.accounts.logins import check_login, login_key
from core.accounts.lookups import Lookups, StoredLookups
from core.accounts.preferences import Preferences, check_preferences
from core.accounts.saving import Problems, check_version, clean_texts, store
from core.accounts.search_text import sort_key
from core.accounts.sessions import end_sessions
from core.audit import SYSTEM, Actor
from core.errors import Invalid, InvalidFields, NotFound
from core.i18n import gettext as _
from core.models import Customer, CustomerUser, now
from core.text import exact
from core.words import Validity


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerUserValues:
    """What can be entered for a customer user; the handbook's starred fields have no default.

    ``share_address`` permits addresses that other accounts have too. ``invalid_until`` is the
    last day of ``invalid-temporarily``, None until somebody changes it. The preferences are those
    of ``core.accounts.preferences``.
    """

    login: str
    customer_number: str
    email: str
    first_name: str
    last_name: str
    more_addresses: tuple[str, ...] = ()
    share_address: bool = False
    title: str = ""
    phone: str = ""
    mobile: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    comment: str = ""
    valid: Validity = Validity.VALID
    invalid_until: date | None = None
    invalid_reason: str = ""
    sees_customer_tickets: bool = False
    language: str = ""
    theme: str = "auto"
    time_zone: str = ""
    tickets_per_page: int = 25
    notices: bool = True


_RELATED = ("customer_number", "email", "more_addresses", "share_address")
_PLAIN_FIELDS = tuple(
    field.name for field in fields(CustomerUserValues) if field.name not in _RELATED
)


def customer_user_values(customer_user: CustomerUser) -> CustomerUserValues:
    """Return what is stored of a customer user."""
    main, *more = (row.address for row in customer_user.addresses)
    return CustomerUserValues(
        **{field: getattr(customer_user, field) for field in _PLAIN_FIELDS},
        customer_number=customer_user.customer.number,
        email=main,
        more_addresses=tuple(more),
        share_address=any(row.shared for row in customer_user.addresses),
    )


def save_customer_user(
    session: Session,
    actor: Actor,
    values: CustomerUserValues,
    current: CustomerUser | None = None,
    version: int | None = None,
    *,
    create_customer: bool = False,
    from_source: bool = False,
) -> CustomerUser:
    """Create a customer user, or change ``current`` where it differs.

    The customer must exist; with ``create_customer`` an unknown Kunden# becomes a new customer
    named after the person, so that a private customer needs one form only. Only ``from_source``
    changes what a copy has from its record. An account that is no longer valid loses its web
    sessions at once. Raises ``InvalidFields``, and ``Stale`` when
    ``version`` is not the stored one.
    """
    check_version(session, current, version)
    checked = check_customer_user(
        StoredLookups(session),
        values,
        current,
        create_customer=create_customer,
        from_source=from_source,
    )
    values = checked.values
    customer = checked.customer or _new_customer(session, actor, values)
    before = customer_user_values(current) if current is not None else None
    if current is not None and values == before:
        return current
    account = current if current is not None else CustomerUser()
    fill_customer_user(account, customer, checked)
    store(session, actor, "customer-user", account, account.login, before, values)
    if values.valid is not Validity.VALID:
        end_sessions(session, account)
    return account


@dataclass(frozen=True, slots=True)
class CheckedCustomerUser:
    """What may be stored: ``customer`` is None for one that is to be created."""

    values: CustomerUserValues
    customer: Customer | None
    addresses: Sequence[WantedAddress]


def check_customer_user(
    lookups: Lookups,
    values: CustomerUserValues,
    current: CustomerUser | None,
    *,
    create_customer: bool = False,
    from_source: bool = False,
) -> CheckedCustomerUser:
    """Return what would be stored of a new customer user, or of ``current``.

    Raises ``InvalidFields``, for what a copy has from its record too unless that is where it is
    ``from_source``.
    """
    problems = Problems()
    values = _checked(lookups, values, current, problems)
    wanted = check_addresses(
        lookups,
        values.email,
        values.more_addresses,
        share=values.share_address,
        valid=values.valid,
        current=current,
        problems=problems,
    )
    customer = _customer(lookups, values.customer_number, problems, may_be_new=create_customer)
    problems.raise_any()
    values = _as_stored(values, wanted)
    if current is not None and current.source is not None and not from_source:
        check_unchanged(current, customer_user_values(current), values, problems)
        problems.raise_any()
    return CheckedCustomerUser(values, customer, wanted)


def fill_customer_user(
    account: CustomerUser, customer: Customer, checked: CheckedCustomerUser
) -> None:
    """Put checked values into an account of this customer."""
    values = checked.values
    for field in _PLAIN_FIELDS:
        setattr(account, field, getattr(values, field))
    account.login_key = login_key(values.login)
    account.customer = customer
    set_addresses(account, checked.addresses, values.valid)
    account.changed_at = now()
    account.search_text = customer_user_search_text(account, customer)
    account.sort_key = sort_key(values.last_name, values.first_name)


def customer_user_with_login(session: Session, login: str) -> CustomerUser:
    """Return the customer user with this login, whatever its case. Raises ``NotFound``."""
    account = StoredLookups(session).customer_user(login_key(login))
    if account is None:
        raise NotFound(_('There is no account with the login "%(login)s".', login=login))
    return account


def add_address(
    session: Session, actor: Actor, customer_user: CustomerUser, address: str
) -> CustomerUser:
    """Give an account one more mail address; one that it has already changes nothing.

    Raises ``InvalidFields`` for what is no address, and for one that another account has.
    """
    values = customer_user_values(customer_user)
    more = (*values.more_addresses, address)
    return save_customer_user(session, actor, replace(values, more_addresses=more), customer_user)


def return_to_valid(session: Session, on: date | None = None) -> Sequence[CustomerUser]:
    """Make accounts valid again whose last day of ``invalid-temporarily`` has passed (UTC).

    They count as valid from that day on even before this ran; it makes the stored word agree.
    """
    day = on or now().date()
    due = session.scalars(
        select(CustomerUser)
        .where(CustomerUser.valid == Validity.INVALID_TEMPORARILY, CustomerUser.invalid_until < day)
        .with_for_update(skip_locked=True)
    ).all()
    for account in due:
        before = {"valid": account.valid, "invalid_until": account.invalid_until}
        account.valid = Validity.VALID
        account.invalid_until = None
        account.invalid_reason = ""
        account.changed_at = now()
        after = {"valid": account.valid, "invalid_until": None}
        audit.record(
            session, SYSTEM, "changed", "customer-user", account.id, account.login, before, after
        )
    return due


def _checked(
    lookups: Lookups,
    values: CustomerUserValues,
    current: CustomerUser | None,
    problems: Problems,
) -> CustomerUserValues:
    number = exact(values.customer_number)  # spaces inside belong to it
    values = clean_texts(
        values,
        CustomerUser,
        problems,
        required=("login", "customer_number", "first_name", "last_name"),
        long=("comment", "invalid_reason"),
    )
    if values.login:
        with problems.gathered():
            check_login(values.login, current, lookups.customer_user)
    check_preferences(
        Preferences(
            language=values.language,
            theme=values.theme,
            time_zone=values.time_zone,
            tickets_per_page=values.tickets_per_page,
            notices=values.notices,
        ),
        problems,
    )
    if values.valid is Validity.INVALID_TEMPORARILY:
        with problems.gathered():
            _check_end(values.invalid_until, current)
    return replace(
        values,
        customer_number=number,
        invalid_reason="" if values.valid is Validity.VALID else values.invalid_reason,
        invalid_until=(
            values.invalid_until if values.valid is Validity.INVALID_TEMPORARILY else None
        ),
    )


def _check_end(until: date | None, current: CustomerUser | None) -> None:
    """A new end date must not have passed; one that was stored before may stay."""
    unchanged = current is not None and current.invalid_until == until
    if until is not None and until < now().date() and not unchanged:
        raise Invalid("invalid_until", _("This day has already passed."))


def _customer(
    lookups: Lookups, number: str, problems: Problems, *, may_be_new: bool
) -> Customer | None:
    if not number:
        return None
    customer = lookups.customer(number)
    if customer is None and not may_be_new:
        problems.add(Invalid("customer_number", str(no_customer_numbered(number))))
    return customer


def _new_customer(session: Session, actor: Actor, values: CustomerUserValues) -> Customer:
    name = f"{values.first_name} {values.last_name}"
    try:
        return save_customer(
            session, actor, CustomerValues(number=values.customer_number, name=name)
        )
    except InvalidFields as refused:
        wrong = [Invalid("customer_number", error.message) for error in refused.errors]
        raise InvalidFields(wrong) from None


def _as_stored(values: CustomerUserValues, wanted: Sequence[WantedAddress]) -> CustomerUserValues:
    """Return the values with their addresses normalised, as reading them back would give them."""
    main, *more = wanted
    return replace(
        values,
        email=main.address,
        more_addresses=tuple(each.address for each in more),
        share_address=any(each.shared for each in wanted),
    )
