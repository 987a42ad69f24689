"""The questions of ``core.accounts.lookups`` answered from memory, without a query for each.

Whoever saves many accounts at once reads beforehand what they touch, and notes each change here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from core.models import MAX_ID, Customer, CustomerUser
from core.words import Validity


class PreloadedLookups:
    """Who has what, as far as it was taken in; ``queues`` are the names by addresses' keys."""

    def __init__(self, queues: Mapping[str, str]) -> None:
        self._queues = queues
        self._customers: dict[str, Customer] = {}
        self._accounts: dict[str, CustomerUser] = {}  # by login key
        self._held: dict[str, list[CustomerUser]] = defaultdict(list)  # by address key
        self._logins_of: dict[CustomerUser, str] = {}
        self._keys_of: dict[CustomerUser, dict[str, bool]] = {}  # addresses: is it exclusive?
        self._given_up: set[str] = set()

    def customer(self, number: str) -> Customer | None:
        """Return the customer with exactly this Kunden#."""
        return self._customers.get(number)

    def customer_user(self, key: str) -> CustomerUser | None:
        """Return the customer user with this key of a login."""
        return self._accounts.get(key)

    def address_holders(
        self, keys: Sequence[str], besides: CustomerUser | None
    ) -> Mapping[str, CustomerUser]:
        """Return by key who else has these addresses and has not given them up."""
        found = {}
        for key in keys:
            others = [
                account
                for account in self._held.get(key, ())
                if account is not besides and account.valid is not Validity.INVALID
            ]
            if others:
                found[key] = min(others, key=lambda account: account.id or MAX_ID)
        return found

    def queues_by_key(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the names of queues by their addresses' keys."""
        return {key: self._queues[key] for key in keys if key in self._queues}

    def needs_given_up(self, keys: Iterable[str]) -> bool:
        """Whether one of these logins or addresses was given up by somebody since ``settled``.

        Then that must reach the database first: it lets no two have one, even for a moment.
        """
        return not self._given_up.isdisjoint(keys)

    def settled(self) -> None:
        """Note that everything up to here has reached the database."""
        self._given_up.clear()

    def keep(self, holder: Customer | CustomerUser) -> None:
        """Note what is now to be had by whom."""
        if isinstance(holder, Customer):
            self._customers[holder.number] = holder
            return
        self._hold_login(holder)
        self._hold_addresses(holder)

    def _hold_login(self, account: CustomerUser) -> None:
        before = self._logins_of.get(account)
        if before not in (None, account.login_key):
            del self._accounts[before]
            self._given_up.add(before)
        self._logins_of[account] = account.login_key
        self._accounts[account.login_key] = account

    def _hold_addresses(self, account: CustomerUser) -> None:
        before = self._keys_of.get(account, {})
        now = {row.address_key: row.exclusive for row in account.addresses}
        self._keys_of[account] = now
        for key in before:
            self._held[key].remove(account)
        for key in now:
            self._held[key].append(account)
        self._given_up.update(key for key in before if before[key] and not now.get(key))
