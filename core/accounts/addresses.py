"""The mail addresses of an account, and who may have which: an address decides whose mail it is.

An address belongs to one account unless an admin shares it knowingly. An account that is
``invalid`` gives its addresses up: a successor may have them. One that is only
``invalid-temporarily`` keeps them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import ScalarSelect, select
from sqlalchemy.orm import Session

from core.accounts.saving import Problems
from core.errors import Duplicate, Holder, Invalid
from core.i18n import gettext as _
from core.mail.addresses import address_key, check_new_address
from core.models import CustomerUser, CustomerUserAddress, Queue, QueueAddress
from core.words import Validity

MAX_ADDRESSES = 50


@dataclass(frozen=True, slots=True)
class WantedAddress:
    """An address that an account is to have; ``field`` is where it was entered."""

    address: str
    key: str
    shared: bool
    field: str


class AddressLookups(Protocol):
    """What ``check_addresses`` asks about others."""

    def address_holders(
        self, keys: Sequence[str], besides: CustomerUser | None
    ) -> Mapping[str, CustomerUser]:
        """Return by key who else has these addresses and has not given them up."""

    def queues_by_key(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the names of queues by their addresses' keys."""


def check_addresses(
    lookups: AddressLookups,
    email: str,
    more: Sequence[str],
    *,
    share: bool,
    valid: Validity,
    current: CustomerUser | None,
    problems: Problems,
) -> list[WantedAddress]:
    """Return the addresses in their order, the main one first; gather what is wrong with them.

    ``share`` permits addresses that other accounts have; without it such an address is a
    ``Duplicate`` that names the holder.
    """
    entered = _normalised(email, more, problems)
    if len(entered) > MAX_ADDRESSES:
        problems.add(
            Invalid("more_addresses", _("At most %(limit)d addresses.", limit=MAX_ADDRESSES))
        )
        return []
    own = {row.address_key: row for row in current.addresses} if current is not None else {}
    holders = lookups.address_holders(list(entered), current)
    queues = lookups.queues_by_key(list(entered))
    wanted = []
    for key, (field, address) in entered.items():
        if key in queues:
            problems.add(
                Invalid(
                    field,
                    _(
                        '%(address)s is an address of the queue "%(queue)s".',
                        address=address,
                        queue=queues[key],
                    ),
                )
            )
        holder = None if valid is Validity.INVALID else holders.get(key)
        is_ours = key in own and own[key].exclusive  # the database lets nobody else have it
        if holder is not None and not is_ours and not share:
            problems.add(belongs_to_another(field, address, holder))
        kept_shared = valid is Validity.INVALID and key in own and own[key].shared
        shared = share and (kept_shared or (holder is not None and not is_ours))
        wanted.append(WantedAddress(address, key, shared, field))
    return wanted


def main_address() -> ScalarSelect[str]:
    """Return the main address of the account of a query, as one of its columns."""
    return (
        select(CustomerUserAddress.address)
        .where(CustomerUserAddress.customer_user_id == CustomerUser.id)
        .order_by(CustomerUserAddress.position)
        .limit(1)
        .correlate(CustomerUser)
        .scalar_subquery()
    )


def set_addresses(
    customer_user: CustomerUser, wanted: Sequence[WantedAddress], valid: Validity
) -> None:
    """Make these the addresses of an account, keeping the rows that it has already."""
    rows = {row.address_key: row for row in customer_user.addresses}
    addresses = []
    for position, each in enumerate(wanted):
        row = rows.get(each.key) or CustomerUserAddress(address_key=each.key)
        row.address, row.position = each.address, position
        row.shared = each.shared
        row.exclusive = not each.shared and valid is not Validity.INVALID
        addresses.append(row)
    customer_user.addresses = addresses


def address_holders(
    session: Session, keys: Sequence[str], besides: CustomerUser | None = None
) -> Mapping[str, CustomerUser]:
    """Return by key who (else) has these addresses and has not given them up."""
    statement = (
        select(CustomerUserAddress.address_key, CustomerUser)
        .join(CustomerUser, CustomerUser.id == CustomerUserAddress.customer_user_id)
        .where(CustomerUserAddress.address_key.in_(keys), CustomerUser.valid != Validity.INVALID)
        .order_by(CustomerUser.id.desc())
    )
    if besides is not None:
        statement = statement.where(CustomerUser.id != besides.id)
    return dict(session.execute(statement).all())


def belongs_to_another(field: str, address: str, holder: CustomerUser) -> Duplicate:
    """Return the error that names the account which has an address."""
    return Duplicate(
        field,
        _(
            '%(address)s already belongs to the account "%(login)s".',
            address=address,
            login=holder.login,
        ),
        Holder("customer-user", holder.id, holder.login),
    )


def queues_by_key(session: Session, keys: Sequence[str]) -> Mapping[str, str]:
    """Return the names of queues by their addresses' keys."""
    rows = session.execute(
        select(QueueAddress.address_key, Queue.name)
        .join(Queue, Queue.id == QueueAddress.queue_id)
        .where(QueueAddress.address_key.in_(keys))
    )
    return dict(rows.all())


def _normalised(email: str, more: Sequence[str], problems: Problems) -> dict[str, tuple[str, str]]:
    """Return ``{key: (field, address)}``; an address entered twice counts once."""
    entered: dict[str, tuple[str, str]] = {}
    for field, text in (("email", email), *(("more_addresses", each) for each in more)):
        if field == "email" and not text.strip():
            problems.add(Invalid(field, _("Please fill this in.")))
            continue
        if not text.strip():
            continue
        with problems.gathered():
            address = check_new_address(text, field)
            key = address_key(address)
            assert key is not None  # check_new_address has made sure
            entered.setdefault(key, (field, address))
    return entered
