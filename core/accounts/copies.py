"""Accounts and customers that are copies of records in a customer source or a directory.

Such a record is changed in its source, and the copy follows. Kept here are what the source does
not know: preferences, groups, the comment, and who sees the tickets of the whole customer.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any

from core.accounts.account import Account
from core.accounts.saving import Problems, Values
from core.errors import Invalid
from core.i18n import gettext as _
from core.models import Customer, CustomerUser

KEPT_HERE = frozenset(
    {
        "comment",
        "sees_customer_tickets",
        "language",
        "theme",
        "time_zone",
        "tickets_per_page",
        "notices",
    }
)
OF_A_CUSTOMER = ("number", "name")  # the rest of a customer is kept here


def fixed_fields(
    current: Customer | CustomerUser, values: Any, writable: Collection[str] = ()
) -> Sequence[str]:
    """Return which fields of its values the source of a copy decides about, in their order.

    None where it is no copy; ``writable`` are those that may be changed here all the same.
    """
    if current.source is None:
        return []
    if isinstance(current, Customer):
        return OF_A_CUSTOMER
    return [
        field.name
        for field in fields(values)
        if field.name not in KEPT_HERE and field.name not in writable
    ]


def with_fixed(
    current: Customer | CustomerUser, before: Values, after: Values, writable: Collection[str] = ()
) -> Values:
    """Return values in which what the source of a copy decides is as it was ``before``."""
    fixed = fixed_fields(current, before, writable)
    return replace(after, **{name: getattr(before, name) for name in fixed})


def check_unchanged(
    current: Customer | CustomerUser,
    before: Any,
    after: Any,
    problems: Problems,
    writable: Collection[str] = (),
) -> None:
    """Gather a problem for each field that differs and that the source of a copy decides about.

    ``before`` and ``after`` are values of one dataclass.
    """
    for name in fixed_fields(current, before, writable):
        # Whether addresses are shared follows from the addresses.
        if name != "share_address" and getattr(before, name) != getattr(after, name):
            problems.add(_kept_there(name, current.source or ""))


def check_no_copy(account: Account, field: str) -> None:
    """Raise ``Invalid`` for ``field`` where the account is a copy of a record."""
    if isinstance(account, CustomerUser) and account.source is not None:
        raise _kept_there(field, account.source)
    if is_copy(account):
        raise kept_in_directory(field)


def is_copy(account: Account) -> bool:
    """Whether the account is a copy of a record in a customer source or a staff directory."""
    if isinstance(account, CustomerUser):
        return account.source is not None
    return account.directory_key is not None


def kept_in_directory(field: str) -> Invalid:
    """Return the error that a field of a member of staff is kept in the directory."""
    return Invalid(field, _("This is kept in the directory of staff: please change it there."))


def _kept_there(field: str, source: str) -> Invalid:
    return Invalid(
        field,
        _(
            'This is kept in the customer source "%(source)s": please change it there.',
            source=source,
        ),
    )
