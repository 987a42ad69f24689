"""What is stored, as far as a file touches it: read at once, then kept up to date in memory.

It answers the questions of ``core.accounts.lookups`` without a query for each row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.managed import groups_of_source
from core.accounts.permissions import group_permissions
from core.accounts.preloaded import PreloadedLookups
from core.errors import Invalid
from core.exchange.columns import USERS
from core.exchange.entries import Entries
from core.mail.addresses import address_key, check_new_address
from core.models import (
    Customer,
    CustomerUser,
    CustomerUserAddress,
    Group,
    Queue,
    QueueAddress,
)
from core.portions import in_portions
from core.text import exact
from core.words import Permission

CHUNK = 500  # values in one query

T = TypeVar("T")
Holder = Customer | CustomerUser


class Stock(PreloadedLookups):
    """The accounts and customers that a file names, and whoever has an address of the file.

    With ``lock`` nobody else changes those of the file until the transaction ends; mail may still
    refer to them. Without it, the objects are taken out of the session: a plan changes them, and
    that must never be stored.
    """

    def __init__(self, session: Session, wanted: Entries, *, lock: bool) -> None:
        self.groups: Mapping[str, int] = dict(session.execute(select(Group.name, Group.id)).all())
        super().__init__(
            dict(
                session.execute(
                    select(QueueAddress.address_key, Queue.name).join(
                        Queue, Queue.id == QueueAddress.queue_id
                    )
                ).all()
            )
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

    def permissions(self, holder: Holder | None) -> Mapping[str, Permission]:
        """Return the stored permissions of an account or a customer by the names of groups."""
        return self._permissions.get(holder.id, {}) if holder is not None else {}

    def groups_of_source(self, holder: Holder | None) -> frozenset[str]:
        """Return the names of the groups that only the source of an account gives."""
        return groups_of_source(self._session, holder)

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
        for some in in_portions(sorted(filter(None, keys)), CHUNK):
            self._take(session, own.where(CustomerUser.login_key.in_(some)))
        addresses = {key for entry in wanted.entries for key in _address_keys(entry.given)}
        for some in in_portions(sorted(addresses), CHUNK):
            holders = select(CustomerUserAddress.customer_user_id).where(
                CustomerUserAddress.address_key.in_(some)
            )
            self._take(session, statement.where(CustomerUser.id.in_(holders)))
        numbers = {exact(str(entry.given.get("customer_number", ""))) for entry in wanted.entries}
        for some in in_portions(
            sorted(number for number in numbers if number.isprintable()), CHUNK
        ):
            found = select(Customer).where(Customer.number.in_(some))
            for customer in session.scalars(found.options(selectinload(Customer.domains))):
                self.keep(customer)

    def _take(self, session: Session, statement: Select[CustomerUser]) -> None:
        for account in session.scalars(statement):
            self.keep(account.customer)
            self.keep(account)

    def _load_customers(self, session: Session, keys: Sequence[str], *, lock: bool) -> None:
        statement = select(Customer).options(selectinload(Customer.domains)).order_by(Customer.id)
        if lock:
            statement = statement.with_for_update(key_share=True)
        for some in in_portions(sorted(key for key in keys if key.isprintable()), CHUNK):
            for customer in session.scalars(statement.where(Customer.number.in_(some))):
                self.keep(customer)

    def _load_permissions(
        self, session: Session, of_accounts: bool
    ) -> Mapping[int, Mapping[str, Permission]]:
        names = {group_id: name for name, group_id in self.groups.items()}
        holders: Iterable[Holder] = (self._accounts if of_accounts else self._customers).values()
        found: dict[int, Mapping[str, Permission]] = {}
        for some in in_portions([holder.id for holder in holders], CHUNK):
            direct, inherited = group_permissions(
                session, some if of_accounts else (), () if of_accounts else some
            )
            for holder_id, grants in (direct if of_accounts else inherited).items():
                found[holder_id] = {names[group]: each for group, each in grants.items()}
        return found


def _address_keys(given: Mapping[str, object]) -> Collection[str]:
    more = given.get("more_addresses", ())
    texts = [given.get("email", ""), *(more if isinstance(more, tuple) else ())]
    return {key for text in texts if (key := _key(str(text))) is not None}


def _key(text: str) -> str | None:
    try:
        return address_key(check_new_address(text))
    except Invalid:
        return None  # told where the account is checked
