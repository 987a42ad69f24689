"""Whether a record and an account, or two accounts, are of one person."""

from core.mail.addresses import address_key
from core.models import CustomerUser
from core.sources.records import SourceRecord
from core.text import fold


def is_same_person(record: SourceRecord, account: CustomerUser) -> bool:
    """Whether somebody with the login of an account is the one that it was made for.

    The name or one of the addresses must be the same: a login may be given to a successor.
    """
    name = fold(f"{record.first_name} {record.last_name}".strip())
    if name and name == fold(account.name):
        return True
    keys = {address_key(address) for address in (record.email, *record.more_addresses)}
    return any(not row.shared and row.address_key in keys for row in account.addresses)
