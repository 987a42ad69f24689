"""What our tables know of a batch of records: read at once, then kept up to date in memory."""

from collections.abc import Collection, Sequence

from sqlalchemy import CompoundSelect, Select, func, select, union
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.addresses import MAX_ADDRESSES, queues_by_key
from core.accounts.logins import login_key
from core.accounts.preloaded import PreloadedLookups
from core.errors import Invalid
from core.mail.addresses import address_key, check_new_address
from core.mail.text import one_line
from core.models import Customer, CustomerUser, CustomerUserAddress
from core.sources.records import SourceRecord
from core.text import exact
from core.words import Validity

FEW = 5  # holders of an address that are read: who has it exclusively, then the oldest


class Known(PreloadedLookups):
    """The copies of records, and whoever has a login, a Kunden# or an address that one wants.

    With ``lock`` nobody else changes these accounts until the transaction ends. The number of
    queries is fixed, whatever the number of records.
    """

    def __init__(
        self, session: Session, source: str, records: Sequence[SourceRecord], *, lock: bool
    ) -> None:
        addresses = {key for record in records for key in _address_keys(record)}
        super().__init__(queues_by_key(session, list(addresses)))
        ids = _concerned(source, records, addresses)
        statement = accounts_with_all().where(CustomerUser.id.in_(ids)).order_by(CustomerUser.id)
        if lock:
            statement = statement.with_for_update(key_share=True, of=CustomerUser)
        self._copies: dict[str, CustomerUser] = {}
        for account in session.scalars(statement):
            if account.source == source and account.source_key is not None:
                self._copies[account.source_key] = account
            self.keep(account.customer)
            self.keep(account)
        numbers = {exact(record.customer_number) for record in records}
        for customer in session.scalars(
            select(Customer)
            .where(Customer.number.in_([number for number in numbers if number.isprintable()]))
            .options(selectinload(Customer.domains))
        ):
            self.keep(customer)
        self.settled()

    def copy(self, key: str) -> CustomerUser | None:
        """Return the copy of the record with this key."""
        return self._copies.get(key)


def accounts_with_all() -> Select[CustomerUser]:
    """Return the statement that reads accounts with their customers and addresses."""
    return select(CustomerUser).options(
        joinedload(CustomerUser.customer, innerjoin=True).selectinload(Customer.domains),
        selectinload(CustomerUser.addresses),
    )


def record_login_key(record: SourceRecord) -> str:
    """Return the key of the login that a record wants."""
    return login_key(one_line(record.login))


def _concerned(
    source: str, records: Sequence[SourceRecord], addresses: Collection[str]
) -> CompoundSelect[int]:
    ranked = (
        select(
            CustomerUserAddress.customer_user_id,
            func.row_number()
            .over(
                partition_by=CustomerUserAddress.address_key,
                order_by=(
                    CustomerUserAddress.exclusive.desc(),
                    CustomerUserAddress.customer_user_id,
                ),
            )
            .label("rank"),
        )
        .join(CustomerUser, CustomerUser.id == CustomerUserAddress.customer_user_id)
        .where(
            CustomerUserAddress.address_key.in_(addresses), CustomerUser.valid != Validity.INVALID
        )
        .subquery()
    )
    logins = {record_login_key(record) for record in records}
    return union(
        select(CustomerUser.id).where(
            CustomerUser.source == source,
            CustomerUser.source_key.in_({record.key for record in records}),
        ),
        select(CustomerUser.id).where(CustomerUser.login_key.in_(logins)),
        select(ranked.c.customer_user_id).where(ranked.c.rank <= FEW),
    )


def _address_keys(record: SourceRecord) -> Collection[str]:
    keys = set()
    for text in (record.email, *record.more_addresses[:MAX_ADDRESSES]):
        try:
            keys.add(address_key(check_new_address(text)))
        except Invalid:
            continue  # told where the record is checked
    return {key for key in keys if key is not None}
