"""A customer whose Kunden# is another one in its source stays the same row here.

In a full pass the records of accounts that move to a Kunden# which nobody has yet wait for its
end. If then everybody of a customer has moved to the same one, it is the customer that is called
differently: it keeps its id, and so its tickets, groups and domains. In any other case the
accounts move, and the customer stays; that is for an admin to look at
(``core.sources.matching.customer_merges``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.customers import customer_values, save_customer
from core.audit import Actor
from core.errors import InvalidFields
from core.models import Customer, CustomerUser
from core.sources.records import SourceRecord
from core.text import exact, fold


class CustomerMoves:
    """Who moves where in one pass."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._had_copies: bool | None = None
        self._moved: dict[int, dict[str, str]] = defaultdict(dict)  # by customer: key → Kunden#

    def may_rename(
        self, session: Session, record: SourceRecord, current: CustomerUser | None
    ) -> bool:
        """Whether a record's Kunden#, which is nobody's yet, may be the new one of a customer here.

        A new account waits too: made at once, it would make a second customer. That is in vain in
        the first pass, where all accounts are new.
        """
        number = exact(record.customer_number)
        if current is not None and not self._leaves(record, number, current.customer):
            return False
        if current is None and not self._has_copies(session):
            return False
        if current is not None:
            self._moved[current.customer_id][record.key] = number
        return True

    def rename(self, session: Session, actor: Actor, seen: Collection[str]) -> None:
        """Give customers their new Kunden#; ``seen`` are all keys that the source has."""
        wanted = {
            customer_id: next(iter(numbers))
            for customer_id, moved in self._moved.items()
            if len(numbers := set(moved.values())) == 1
            and self._is_everybody(session, customer_id, moved, seen)
        }
        for customer_id, number in wanted.items():
            if list(wanted.values()).count(number) > 1:
                continue  # two that become one
            customer = session.get_one(Customer, customer_id)
            values = replace(customer_values(customer), number=number)
            try:
                save_customer(session, actor, values, customer, from_source=True)
            except InvalidFields:
                continue  # and so the records are faulty, too, which is listed

    def _leaves(self, record: SourceRecord, number: str, customer: Customer) -> bool:
        """Whether a record has another Kunden# and not another firm.

        With the name of another firm somebody has changed jobs: their old firm's tickets must not
        go along.
        """
        if not number or number == customer.number or customer.source != self._source:
            return False
        return not record.customer_name or fold(record.customer_name) == fold(customer.name)

    def _has_copies(self, session: Session) -> bool:
        if self._had_copies is None:
            of_source = select(CustomerUser.id).where(CustomerUser.source == self._source)
            self._had_copies = session.scalar(of_source.limit(1)) is not None
        return self._had_copies

    def _is_everybody(
        self,
        session: Session,
        customer_id: int,
        moved: Mapping[str, str],
        seen: Collection[str],
    ) -> bool:
        """Whether nobody stays: neither in the source nor kept here.

        Who is gone does not count, unless more are gone in this pass than have moved: then the
        source may lack their records, and has not moved them.
        """
        rows = session.execute(
            select(CustomerUser.source, CustomerUser.source_key, CustomerUser.source_gone_at).where(
                CustomerUser.customer_id == customer_id
            )
        ).all()
        nobody_stays = all(
            source == self._source and (key in moved or key not in seen)
            for source, key, _at in rows
        )
        lacking = [key for _source, key, gone_at in rows if key not in seen and gone_at is None]
        return nobody_stays and len(lacking) <= len(moved)
