"""What the checks of an account ask about others: who has which login, Kunden# and address.

The rules ask through ``Lookups``, so that they are the same for one account in a form and for the
ten thousand of a file, whose answers were read at once (``core.exchange.stock``).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.addresses import AddressLookups, address_holders, queues_by_key
from core.accounts.logins import person_with_key
from core.models import Customer, CustomerUser


class Lookups(AddressLookups, Protocol):
    """Who has what."""

    def customer(self, number: str) -> Customer | None:
        """Return the customer with exactly this Kunden#, in its stored form."""

    def customer_user(self, key: str) -> CustomerUser | None:
        """Return the customer user with this key of a login."""


class StoredLookups:
    """The answers of the database, one query for each question."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def customer(self, number: str) -> Customer | None:
        """Return the customer with exactly this Kunden#."""
        wanted = number if number.isprintable() else ""
        return self._session.scalars(
            select(Customer).where(Customer.number == wanted)
        ).one_or_none()

    def customer_user(self, key: str) -> CustomerUser | None:
        """Return the customer user with this key of a login."""
        return person_with_key(self._session, CustomerUser, key)

    def address_holders(
        self, keys: Sequence[str], besides: CustomerUser | None
    ) -> Mapping[str, CustomerUser]:
        """Return by key who else has these addresses and has not given them up."""
        return address_holders(self._session, keys, besides)

    def queues_by_key(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the names of queues by their addresses' keys."""
        return queues_by_key(self._session, keys)
