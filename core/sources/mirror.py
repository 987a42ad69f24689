"""Bringing the records of sources into our tables, where everything that decides reads them.

A row is the copy of one record, found by source and key, and the last good one while the source
is away. Who wins is decided here and nowhere in silence: an account kept here before any source,
an earlier source before a later one, and whoever loses is listed as a conflict.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.addresses import address_holders
from core.accounts.customer_users import (
    CustomerUserValues,
    check_customer_user,
    customer_user_values,
    save_customer_user,
)
from core.accounts.customers import CustomerValues, customer_values, save_customer
from core.accounts.logins import login_key
from core.accounts.lookups import StoredLookups
from core.audit import Actor
from core.errors import InvalidFields
from core.i18n import gettext as _
from core.mail.text import one_line
from core.models import Customer, CustomerUser, RecordConflict, now
from core.sources.customer_moves import CustomerMoves
from core.sources.groups import SourceGroups
from core.sources.persons import is_same_person
from core.sources.records import SourceRecord
from core.text import exact
from core.words import ActorKind, SourceConflict, Validity

UNKNOWN_NAME = "-"  # of somebody whose source has no first or no last name

_CONTACT = ("title", "phone", "mobile", "street", "postcode", "city", "country")
_MAX_KEY = 200
_MAX_DETAIL = 500
_MAX_WAITING = 5000  # records that wait for the end of a pass; the rest are brought at once


@dataclass(slots=True)
class Tally:
    """What became of records: each counts once, but for its conflicts."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    vanished: int = 0
    conflicts: int = 0


class Mirror:
    """Brings the records of one source in; ``names`` are those of all sources, in their order.

    Make one for each pass or look-up: it knows which keys it has seen. A look-up, which is not
    ``complete``, renames no customer: some of its records may disagree with the first of all.
    """

    def __init__(self, source: str, names: Sequence[str], *, complete: bool = True) -> None:
        self._source = source
        self._complete = complete
        self._earlier = frozenset(names[: list(names).index(source)])
        self._actor = Actor(ActorKind.SYSTEM, None, f"source {source}")
        self._customers_named: set[str] = set()
        self._groups = SourceGroups(source, self._actor)
        self._moves = CustomerMoves(source)
        self._at_end = not complete
        self.waiting: list[SourceRecord] = []
        self.seen: set[str] = set()
        self.tally = Tally()

    def bring(self, session: Session, records: Sequence[SourceRecord]) -> None:
        """Make the copies of these records agree with them, in a transaction of the caller."""
        keys = {record.key for record in records if record.key}
        self._forget_conflicts(session, keys - self.seen)
        self.tally.conflicts += self._groups.prepare(session)
        usable = []
        for record in records:
            if self._is_usable(session, record):
                self.seen.add(record.key)
                usable.append(record)
        self._bring(session, usable)

    def end(self, session: Session) -> Sequence[SourceRecord]:
        """Return the records that have waited until all keys were seen, for ``bring_last``.

        Customers who are called differently get their new Kunden# before.
        """
        self._at_end = True
        self._moves.rename(session, self._actor, self.seen)
        return self.waiting

    def bring_last(self, session: Session, records: Sequence[SourceRecord]) -> None:
        """Bring in records that have waited."""
        self._bring(session, records)

    def _bring(self, session: Session, records: Sequence[SourceRecord]) -> None:
        known = self._copies(session, {record.key for record in records})
        brought: dict[int, SourceRecord] = {}
        same = set()
        for record in records:
            unchanged = self.tally.unchanged
            account = self._bring_one(session, record, known.get(record.key))
            if account is not None:
                brought[account.id] = record
            if account is not None and self.tally.unchanged > unchanged:
                same.add(account.id)
        session.flush()
        regrouped = len(same & self._groups.give(session, brought))
        self.tally.unchanged -= regrouped
        self.tally.changed += regrouped
        # Past the version: that a record was seen again is no change of the account.
        session.execute(
            update(CustomerUser)
            .where(CustomerUser.id.in_(brought))
            .values(source_seen_at=now(), source_gone_at=None)
            .execution_options(synchronize_session=False)
        )

    def news(self, session: Session, records: Sequence[SourceRecord]) -> list[SourceRecord]:
        """Return the records that differ from their copies or have none; changes nothing.

        Groups and the names of customers are not compared.
        """
        known = self._copies(session, {record.key for record in records})
        return [record for record in records if _is_news(record, known.get(record.key))]

    def vanish(self, session: Session, accounts: Collection[int], reason: str) -> None:
        """Make copies invalid whose records are no longer in the source; their tickets stay.

        One that is invalid already keeps its reason.
        """
        for account in session.scalars(_with_all().where(CustomerUser.id.in_(accounts))):
            if account.valid is not Validity.INVALID:
                self._make_invalid(session, account, reason)
            account.source_gone_at = now()
            self.tally.vanished += 1

    def _copies(self, session: Session, keys: Collection[str]) -> Mapping[str | None, CustomerUser]:
        rows = session.scalars(
            _with_all().where(
                CustomerUser.source == self._source, CustomerUser.source_key.in_(keys)
            )
        )
        return {account.source_key: account for account in rows}

    def _forget_conflicts(self, session: Session, keys: Collection[str]) -> None:
        session.execute(
            delete(RecordConflict).where(
                RecordConflict.source == self._source, RecordConflict.source_key.in_(keys)
            )
        )

    def _is_usable(self, session: Session, record: SourceRecord) -> bool:
        """Whether a record can be told from others; if not, that is a conflict."""
        if not record.key or len(record.key) > _MAX_KEY:
            self._refuse(session, record, SourceConflict.FAULTY, _("The key is empty or too long."))
            return False
        if record.key in self.seen:
            detail = _("Another record has the same key.")
            self._refuse(session, record, SourceConflict.KEY, detail)
            return False
        return True

    def _bring_one(
        self, session: Session, record: SourceRecord, current: CustomerUser | None
    ) -> CustomerUser | None:
        """Return the copy of a record, None where there is none."""
        if current is not None and _is_same(record, current):
            self.tally.unchanged += 1
            self._list_shared(session, record, current)
            return current
        holder = StoredLookups(session).customer_user(login_key(one_line(record.login)))
        if self._waits(session, record, current, holder):
            self.waiting.append(record)
            return None
        if (
            holder is not None
            and holder is not current
            and not self._gives_way(holder, record, current)
        ):
            detail = _taken(holder, is_gone=self._is_gone(holder))
            return self._not_brought(session, record, current, SourceConflict.LOGIN, detail)
        copy = current or holder
        try:
            account = self._save(session, record, copy)
        except InvalidFields as error:
            return self._not_brought(session, record, current, SourceConflict.FAULTY, str(error))
        self._customers_named.add(account.customer.number)
        if copy is None:
            self.tally.new += 1
        else:
            self.tally.changed += 1
        self._list_shared(session, record, account)
        return account

    def _waits(
        self,
        session: Session,
        record: SourceRecord,
        current: CustomerUser | None,
        holder: CustomerUser | None,
    ) -> bool:
        """Whether only the end of the pass tells what a record means.

        An account with its login may be of a key that is gone, and a Kunden# may be the new one of
        a customer.
        """
        if self._at_end or len(self.waiting) >= _MAX_WAITING:
            return False
        if current is None and holder is not None and holder.source == self._source:
            return holder.source_gone_at is None and holder.source_key not in self.seen
        return self._moves.may_rename(session, record, current)

    def _gives_way(
        self, holder: CustomerUser, record: SourceRecord, current: CustomerUser | None
    ) -> bool:
        """Whether an account with the wanted login becomes the copy of this source's record.

        That of a later source does, and of one which is configured no longer: with one login it
        is the same person, so tickets and groups stay with it. In this source a login may be given
        to a successor, so that name or address must agree, too.
        """
        if current is not None or holder.source is None:
            return False
        if holder.source == self._source:
            return self._is_gone(holder) and is_same_person(record, holder)
        return holder.source not in self._earlier

    def _is_gone(self, copy: CustomerUser) -> bool:
        """Whether the source has the record of a copy no more, as far as is known by now."""
        if copy.source != self._source:
            return False
        ended = self._complete and self._at_end and copy.source_key not in self.seen
        return copy.source_gone_at is not None or ended

    def _save(
        self, session: Session, record: SourceRecord, copy: CustomerUser | None
    ) -> CustomerUser:
        values = wanted_values(record, customer_user_values(copy) if copy is not None else None)
        # Before its customer is made, so that nothing is left behind of a record that is refused.
        check_customer_user(
            StoredLookups(session), values, copy, create_customer=True, from_source=True
        )
        self._bring_customer(session, record)
        account = save_customer_user(session, self._actor, values, copy, from_source=True)
        account.source, account.source_key = self._source, record.key
        session.flush()
        return account

    def _bring_customer(self, session: Session, record: SourceRecord) -> None:
        """Make sure that the customer of a record is there, and has its name.

        The first record of a customer names it, so that rows which disagree do not take turns; a
        customer that is kept here keeps its name.
        """
        number = exact(record.customer_number)
        if not number or number in self._customers_named:
            return
        customer = StoredLookups(session).customer(number)
        name = record.customer_name or _person(record)
        if customer is None:
            values = CustomerValues(number=number, name=name)
            save_customer(session, self._actor, values, from_source=True).source = self._source
        elif record.customer_name and self._names(customer):
            values = replace(customer_values(customer), name=record.customer_name)
            save_customer(session, self._actor, values, customer, from_source=True)

    def _names(self, customer: Customer) -> bool:
        return self._complete and customer.source == self._source

    def _not_brought(
        self,
        session: Session,
        record: SourceRecord,
        current: CustomerUser | None,
        kind: SourceConflict,
        detail: str,
    ) -> CustomerUser | None:
        """List why a record cannot be stored. Its copy stays as it is, unless it is to be invalid.

        That somebody has left must not fail because something else in the record is wrong.
        """
        self._refuse(session, record, kind, detail)
        if current is not None and not record.valid:
            self._make_invalid(session, current, "")
        return current

    def _make_invalid(self, session: Session, account: CustomerUser, reason: str) -> None:
        values = replace(
            customer_user_values(account), valid=Validity.INVALID, invalid_reason=reason
        )
        save_customer_user(session, self._actor, values, account, from_source=True)

    def _list_shared(self, session: Session, record: SourceRecord, account: CustomerUser) -> None:
        shared = [row for row in account.addresses if row.shared]
        if not shared or account.valid is Validity.INVALID:
            return
        holders = address_holders(session, [row.address_key for row in shared], account)
        taken = [
            f"{row.address} ({holders[row.address_key].login})"
            for row in shared
            if row.address_key in holders
        ]
        if taken:
            self._add_conflict(session, record, SourceConflict.ADDRESS, ", ".join(taken))

    def _refuse(
        self, session: Session, record: SourceRecord, kind: SourceConflict, detail: str
    ) -> None:
        self.tally.refused += 1
        self._add_conflict(session, record, kind, detail)

    def _add_conflict(
        self, session: Session, record: SourceRecord, kind: SourceConflict, detail: str
    ) -> None:
        self.tally.conflicts += 1
        session.add(
            RecordConflict(
                source=self._source,
                source_key=record.key[:_MAX_KEY],
                login=one_line(record.login)[:200],
                kind=kind,
                detail=detail[:_MAX_DETAIL],
            )
        )


def _with_all() -> Select[CustomerUser]:
    return select(CustomerUser).options(
        joinedload(CustomerUser.customer), selectinload(CustomerUser.addresses)
    )


def _is_news(record: SourceRecord, current: CustomerUser | None) -> bool:
    return current is None or current.source_gone_at is not None or not _agrees(record, current)


def _agrees(record: SourceRecord, current: CustomerUser) -> bool:
    before = customer_user_values(current)
    return replace(wanted_values(record, before), share_address=before.share_address) == before


def _is_same(record: SourceRecord, current: CustomerUser) -> bool:
    """Whether a copy agrees with its record already; most do, and cost nothing more."""
    return _agrees(record, current) and (
        not record.customer_name
        or current.customer.source != current.source
        or current.customer.name == record.customer_name
    )


def wanted_values(record: SourceRecord, before: CustomerUserValues | None) -> CustomerUserValues:
    """Return a record as values of an account, with what is kept here as it was before.

    An address may be shared: what mail from it means is then ambiguous, and listed.
    """
    values = CustomerUserValues(
        login=record.login,
        customer_number=record.customer_number,
        email=record.email,
        first_name=record.first_name or UNKNOWN_NAME,
        last_name=record.last_name or UNKNOWN_NAME,
    )
    if before is not None:
        values = replace(
            before,
            login=record.login,
            customer_number=record.customer_number,
            email=record.email,
            first_name=values.first_name,
            last_name=values.last_name,
        )
    valid = Validity.VALID if record.valid else Validity.INVALID
    keeps_reason = before is not None and before.valid is valid
    return replace(
        values,
        more_addresses=record.more_addresses,
        share_address=True,
        valid=valid,
        invalid_until=None,
        invalid_reason=values.invalid_reason if keeps_reason else "",
        **{field: getattr(record, field) for field in _CONTACT},
    )


def _taken(holder: CustomerUser, *, is_gone: bool) -> str:
    if holder.source is None:
        return _('The account "%(login)s", which is kept here, has the login.', login=holder.login)
    if is_gone:
        return _(
            'The account "%(login)s", whose record is gone, has the login, and it seems to be of '
            "somebody else: please match them up.",
            login=holder.login,
        )
    return _(
        'The account "%(login)s" of the source "%(source)s" has the login.',
        login=holder.login,
        source=holder.source,
    )


def _person(record: SourceRecord) -> str:
    return f"{record.first_name} {record.last_name}".strip() or record.login
