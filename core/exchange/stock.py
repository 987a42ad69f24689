"""What is stored, as far as a file touches it: read at once, then kept up to date in memory.

It answers the questions of ``core.accounts.lookups`` without a query for each row.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.managed import groups_of_source
from core.accounts.permissions import group_permissions
from core.errors import Invalid
from core.exchange.columns import USERS
from core.exchange.entries import Entries
from core.mail.addresses import address_key, check_new_address
from core.models import (
    MAX_ID,
    Customer,
    CustomerUser,
    CustomerUserAddress,
    Group,
    Queue,
    QueueAddress,
)
from core.text import exact
from core.words import Permission, Validity

CHUNK = 500  # values in one query

T = TypeVar("T")
Holder = Customer | CustomerUser


class Stock:
    """The accounts and customers that a file names, and whoever has an address of the file.

    With ``lock`` nobody else changes those of the file until the transaction ends; mail may still
    refer to them. Without it, the objects are taken out of the session: a plan changes them, and
    that must never be stored.
    """

    def __init__(self, session: Session, wanted: Entries, *, lock: bool) -> None:
        self.groups: Mapping[str, int] = dict(session.execute(select(Group.name, Group.id)).all())
        self._customers: dict[str, Customer] = {}
        self._accounts: dict[str, CustomerUser] = {}
        self._held: dict[str, list[CustomerUser]] = defaultdict(list)  # by address key
        self._keys_of: dict[CustomerUser, dict[str, bool]] = {}  # addresses: is it exclusive?
        self._given_up: set[str] = set()
        self._queues: Mapping[str, str] = dict(
            session.execute(
                select(QueueAddress.address_key, Queue.name).join(
                    Queue, Queue.id == QueueAddress.queue_id
                )
            ).all()
        )
        keys = [entry.key for entry in wanted.entries]
        if wanted.kind is USERS:
            self._load_accounts(session, keys, wanted, lock=lock)
        else:
            self._load_customers(session, keys, lock=lock)
        self._permissions = self._load_permissions(session, wanted.kind is USERS)
        self._session = session
        if not lock:
            for held in {*self._accounts.values(), *self._customers.values()}:
                session.expunge(held)

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

    def permissions(self, holder: Holder | None) -> Mapping[str, Permission]:
        """Return the stored permissions of an account or a customer by the names of groups."""
        return self._permissions.get(holder.id, {}) if holder is not None else {}

    def groups_of_source(self, holder: Holder | None) -> frozenset[str]:
        """Return the names of the groups that only the source of an account gives."""
        return groups_of_source(self._session, holder)

    def needs_given_up(self, keys: Iterable[str]) -> bool:
        """Whether one of these addresses was given up by somebody since ``settled``.

        Then that must reach the database first: it lets no two have an address, even for a
        moment.
        """
        return not self._given_up.isdisjoint(keys)

    def settled(self) -> None:
        """Note that everything up to here has reached the database."""
        self._given_up.clear()

    def keep(self, holder: Holder) -> None:
        """Note what is now to be had by whom."""
        if isinstance(holder, Customer):
            self._customers[holder.number] = holder
            return
        self._accounts[holder.login_key] = holder
        self._hold(holder)

    def _hold(self, account: CustomerUser) -> None:
        before = self._keys_of.get(account, {})
        now = {row.address_key: row.exclusive for row in account.addresses}
        self._keys_of[account] = now
        for key in before:
            self._held[key].remove(account)
        for key in now:
            self._held[key].append(account)
        self._given_up.update(key for key in before if before[key] and not now.get(key))

    def _load_accounts(
        self, session: Session, keys: Sequence[str], wanted: Entries, *, lock: bool
    ) -> None:
        statement = select(CustomerUser).options(
            selectinload(CustomerUser.addresses),
            joinedload(CustomerUser.customer).selectinload(Customer.domains),
        )
        own = statement.order_by(CustomerUser.id)
        if lock:
            own = own.with_for_update(key_share=True, of=CustomerUser)
        for some in chunks(sorted(filter(None, keys))):
            self._take(session, own.where(CustomerUser.login_key.in_(some)))
        addresses = {key for entry in wanted.entries for key in _address_keys(entry.given)}
        for some in chunks(sorted(addresses)):
            holders = select(CustomerUserAddress.customer_user_id).where(
                CustomerUserAddress.address_key.in_(some)
            )
            self._take(session, statement.where(CustomerUser.id.in_(holders)))
        numbers = {exact(str(entry.given.get("customer_number", ""))) for entry in wanted.entries}
        for some in chunks(sorted(number for number in numbers if number.isprintable())):
            found = select(Customer).where(Customer.number.in_(some))
            for customer in session.scalars(found.options(selectinload(Customer.domains))):
                self._customers[customer.number] = customer

    def _take(self, session: Session, statement: Select[CustomerUser]) -> None:
        for account in session.scalars(statement):
            self._accounts[account.login_key] = account
            self._customers[account.customer.number] = account.customer
            self._hold(account)

    def _load_customers(self, session: Session, keys: Sequence[str], *, lock: bool) -> None:
        statement = select(Customer).options(selectinload(Customer.domains)).order_by(Customer.id)
        if lock:
            statement = statement.with_for_update(key_share=True)
        for some in chunks(sorted(key for key in keys if key.isprintable())):
            for customer in session.scalars(statement.where(Customer.number.in_(some))):
                self._customers[customer.number] = customer

    def _load_permissions(
        self, session: Session, of_accounts: bool
    ) -> Mapping[int, Mapping[str, Permission]]:
        names = {group_id: name for name, group_id in self.groups.items()}
        holders: Iterable[Holder] = (self._accounts if of_accounts else self._customers).values()
        found: dict[int, Mapping[str, Permission]] = {}
        for some in chunks([holder.id for holder in holders]):
            direct, inherited = group_permissions(
                session, some if of_accounts else (), () if of_accounts else some
            )
            for holder_id, grants in (direct if of_accounts else inherited).items():
                found[holder_id] = {names[group]: each for group, each in grants.items()}
        return found


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give values in pieces that fit into one query."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _address_keys(given: Mapping[str, object]) -> Collection[str]:
    more = given.get("more_addresses", ())
    texts = [given.get("email", ""), *(more if isinstance(more, tuple) else ())]
    return {key for text in texts if (key := _key(str(text))) is not None}


def _key(text: str) -> str | None:
    try:
        return address_key(check_new_address(text))
    except Invalid:
        return None  # told where the account is checked
