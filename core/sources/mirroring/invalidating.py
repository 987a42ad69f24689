"""Making many accounts invalid at once, with what follows from it."""

from dataclasses import replace

from sqlalchemy.orm import Session

from core.accounts.addresses import WantedAddress
from core.accounts.customer_users import (
    CheckedCustomerUser,
    CustomerUserValues,
    customer_user_values,
    fill_customer_user,
)
from core.accounts.saving import flush, saved_event
from core.accounts.sessions import end_sessions_of
from core.audit import Actor, record_all
from core.models import CustomerUser
from core.words import Validity


class Invalidating:
    """Gathers what is written with one statement for all accounts of a batch."""

    def __init__(self, session: Session, actor: Actor) -> None:
        self._session = session
        self._actor = actor
        self._changed: list[tuple[CustomerUser, CustomerUserValues, CustomerUserValues]] = []
        self._ended: list[CustomerUser] = []

    def make_invalid(self, account: CustomerUser, reason: str) -> None:
        """Make an account invalid; everything else of it stays as it is, right or wrong."""
        before = customer_user_values(account)
        after = replace(before, valid=Validity.INVALID, invalid_until=None, invalid_reason=reason)
        addresses = [
            WantedAddress(row.address, row.address_key, row.shared, "") for row in account.addresses
        ]
        fill_customer_user(
            account, account.customer, CheckedCustomerUser(after, account.customer, addresses)
        )
        self._changed.append((account, before, after))
        self.end_sessions(account)

    def end_sessions(self, account: CustomerUser) -> None:
        """Let the web sessions of an account end."""
        self._ended.append(account)

    def finish(self) -> None:
        """Write everything down."""
        flush(self._session)
        events = [
            saved_event("customer-user", account.id, account.login, before, after)
            for account, before, after in self._changed
        ]
        record_all(self._session, self._actor, [each for each in events if each is not None])
        if self._ended:
            end_sessions_of(self._session, [account.id for account in self._ended])
