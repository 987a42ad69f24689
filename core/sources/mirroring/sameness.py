"""Which records equal their copies: most do, always, and must cost next to nothing.

Only plain rows are read here and texts compared as they are. Whatever is not plainly the same is
looked at properly (``core.sources.mirroring.batch``), where it may still turn out to be.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models import Customer, CustomerUser, CustomerUserAddress, RecordConflict, now
from core.sources.mirroring.verdicts import CONTACT, SEEN_AGAIN, UNKNOWN_NAME
from core.sources.records import SourceRecord
from core.words import Validity

_COLUMNS = (
    CustomerUser.source_key,
    CustomerUser.id,
    CustomerUser.login,
    Customer.number,
    CustomerUser.first_name,
    CustomerUser.last_name,
    CustomerUser.valid,
    *(getattr(CustomerUser, name) for name in CONTACT),
)

_contact = attrgetter(*CONTACT)


@dataclass(frozen=True, slots=True)
class Same:
    """A record that equals its copy; ``named_by_us`` says whether this source names its customer.

    ``customer_name`` is what the customer is called.
    """

    record: SourceRecord
    account_id: int
    customer_name: str
    named_by_us: bool


def same_records(
    session: Session, source: str, records: Sequence[SourceRecord]
) -> Mapping[str, Same]:
    """Return by key those records that plainly equal their copies. Three queries.

    None is among them whose copy has an address that others have too, or that has a conflict.
    """
    keys = [record.key for record in records]
    of_these = (CustomerUser.source == source, CustomerUser.source_key.in_(keys))
    rows: dict[str, Any] = {}
    for key, *rest in session.execute(
        select(*_COLUMNS, Customer.name, Customer.source)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(
            *of_these,
            CustomerUser.source_gone_at.is_(None),
            CustomerUser.invalid_until.is_(None),
            CustomerUser.source_seen_at > now() - SEEN_AGAIN,
        )
    ):
        rows[key] = rest
    addresses = defaultdict(list)
    shares = set()
    for account_id, address, is_shared in session.execute(
        select(
            CustomerUserAddress.customer_user_id,
            CustomerUserAddress.address,
            CustomerUserAddress.shared,
        )
        .join(CustomerUser, CustomerUser.id == CustomerUserAddress.customer_user_id)
        .where(*of_these)
        .order_by(CustomerUserAddress.customer_user_id, CustomerUserAddress.position)
    ):
        addresses[account_id].append(address)
        if is_shared:
            shares.add(account_id)
    listed = set(
        session.scalars(
            select(RecordConflict.source_key).where(
                RecordConflict.source == source, RecordConflict.source_key.in_(keys)
            )
        )
    )
    same = {}
    for record in records:
        row = rows.get(record.key)
        if row is None or record.key in listed:
            continue
        account_id, *plain, name, named_by = row
        if (
            plain == _plain(record)
            and account_id not in shares
            and addresses[account_id] == [record.email, *record.more_addresses]
        ):
            same[record.key] = Same(record, account_id, name, named_by == source)
    return same


def _plain(record: SourceRecord) -> list[object]:
    return [
        record.login,
        record.customer_number,
        record.first_name or UNKNOWN_NAME,
        record.last_name or UNKNOWN_NAME,
        Validity.VALID if record.valid else Validity.INVALID,
        *_contact(record),
    ]
