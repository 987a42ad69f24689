"""Some records against what our tables know: what each comes to, and bringing it about.

Who wins is decided here and nowhere in silence: an account kept here before any source, an
earlier source before a later one, and whoever loses is listed as a conflict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.accounts.customer_users import (
    CustomerUserValues,
    check_customer_user,
    customer_user_values,
    fill_customer_user,
)
from core.accounts.customers import (
    CustomerValues,
    check_customer,
    customer_label,
    customer_values,
    fill_customer,
    follow_customer,
)
from core.accounts.saving import flush, saved_event
from core.audit import record_all
from core.db import reserve_ids
from core.errors import InvalidFields
from core.i18n import gettext as _
from core.models import Base, Customer, CustomerUser, CustomerUserAddress, now
from core.sources.mirroring.conflicts import MAX_KEY, Conflict
from core.sources.mirroring.invalidating import Invalidating
from core.sources.mirroring.known import Known, record_login_key
from core.sources.mirroring.persons import is_same_person
from core.sources.mirroring.verdicts import (
    SEEN_AGAIN,
    Progress,
    Side,
    Tally,
    Verdict,
    conflict_of,
    wanted_values,
)
from core.sources.records import SourceRecord
from core.text import exact
from core.words import SourceConflict, Validity

_MAX_WAITING = 100_000  # records that wait for the end of a pass (150 MB); the rest do not


class Batch:
    """Some records of one source, in one session; what it notes counts only when all is done.

    ``again`` says that these are records which have waited.
    """

    def __init__(
        self,
        session: Session,
        side: Side,
        so_far: Progress,
        records: Sequence[SourceRecord],
        *,
        lock: bool,
        again: bool = False,
    ) -> None:
        self.tally = Tally()
        self._session = session
        self._side = side
        self._so_far = so_far
        self._records = records
        self._again = again
        self._known = Known(session, side.source, records, lock=lock)
        self._seen: set[str] = set()
        self._named: set[str] = set()
        self._waiting: list[SourceRecord] = []
        self._conflicts: list[Conflict] = []
        self._brought: dict[CustomerUser, SourceRecord] = {}
        self._unchanged: set[CustomerUser] = set()
        self._saved: list[tuple[CustomerUser, CustomerUserValues | None, CustomerUserValues]] = []
        self._customers: list[tuple[Customer, CustomerValues | None, CustomerValues]] = []
        self._invalidating = Invalidating(session, side.actor)

    def judge(self) -> list[Verdict]:
        """Return what each record comes to; nothing is changed by asking."""
        return [self._judge(record) for record in self._records]

    def would_write(self) -> bool:
        """Whether bringing these in would change anything; nothing is changed by asking."""
        for record in self._records:
            verdict = self._judge(record)
            if verdict.writes:
                return True
            account = self._count(verdict)
            if account is not None:
                self._brought[account] = record
        return (
            any(map(_is_due, self._brought))
            or self._so_far.conflicts.differs(self._session, self._keys(), self._conflicts)
            or bool(self._side.groups.changes(self._session, self._by_id()))
        )

    def bring(self) -> None:
        """Bring the records about, and write down what follows."""
        for record in self._records:
            verdict = self._judge(record)
            account = self._count(verdict) if not verdict.writes else self._store(verdict)
            if account is not None:
                self._brought[account] = record
        self._send()
        for customer, before, after in self._customers:
            if before is not None:
                follow_customer(self._session, customer, before, after)
        self._record()
        self._invalidating.finish()
        self._stamp()
        self._give_groups()
        self._so_far.conflicts.store(self._session, self._keys(), self._conflicts)

    def note(self) -> None:
        """Let what was seen here count for the batches that follow."""
        self._so_far.seen |= self._seen
        self._so_far.named |= self._named
        self._so_far.waiting.extend(self._waiting)
        self._so_far.conflicts.note(self._conflicts)

    def _judge(self, record: SourceRecord) -> Verdict:
        unusable = self._unusable(record)
        if unusable is not None:
            return Verdict(record, conflict=unusable)
        self._seen.add(record.key)
        current = self._known.copy(record.key)
        holder = self._known.customer_user(record_login_key(record))
        if self._waits(record, current, holder):
            return Verdict(record, current, waits=True)
        if holder not in (None, current) and not self._gives_way(holder, record, current):
            detail = _taken(holder, is_gone=self._is_gone(holder))
            taken = conflict_of(record, SourceConflict.LOGIN, detail)
            return Verdict(record, current, conflict=taken)
        copy = current or holder
        before = customer_user_values(copy) if copy is not None else None
        try:
            checked = check_customer_user(
                self._known,
                wanted_values(record, before, is_back=_is_marked_gone(copy)),
                copy,
                create_customer=True,
                from_source=True,
            )
            customer = self._wanted_customer(record, checked.values.customer_number)
        except InvalidFields as error:
            faulty = conflict_of(record, SourceConflict.FAULTY, str(error))
            return Verdict(record, current, conflict=faulty, errors=error.errors)
        return Verdict(
            record,
            current,
            copy=copy,
            before=before,
            checked=checked,
            customer=customer,
        )

    def _unusable(self, record: SourceRecord) -> Conflict | None:
        """Return the conflict of a record that cannot be told from others."""
        if not record.key or len(record.key) > MAX_KEY or "\0" in record.key:
            return conflict_of(record, SourceConflict.FAULTY, _("The key is empty or too long."))
        is_known = record.key in self._so_far.seen and not self._again
        if is_known or record.key in self._seen:
            return conflict_of(record, SourceConflict.KEY, _("Another record has the same key."))
        return None

    def _waits(
        self, record: SourceRecord, current: CustomerUser | None, holder: CustomerUser | None
    ) -> bool:
        """Whether only the end of the pass tells what a record means.

        An account with its login may be of a key that is gone, and a Kunden# may be the new one of
        a customer.
        """
        waiting = len(self._so_far.waiting) + len(self._waiting)
        if self._so_far.at_end or waiting >= _MAX_WAITING:
            return False
        if current is None and holder is not None and holder.source == self._side.source:
            is_seen = holder.source_key in self._so_far.seen or holder.source_key in self._seen
            return holder.source_gone_at is None and not is_seen
        number = exact(record.customer_number)
        return self._known.customer(number) is None and self._side.moves.may_rename(
            self._session, record, current
        )

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
        if holder.source == self._side.source:
            return self._is_gone(holder) and is_same_person(record, holder)
        return holder.source not in self._side.earlier

    def _is_gone(self, copy: CustomerUser) -> bool:
        """Whether the source has the record of a copy no more, as far as is known by now."""
        if copy.source != self._side.source:
            return False
        has_ended = self._side.complete and self._so_far.at_end
        return copy.source_gone_at is not None or (
            has_ended and copy.source_key not in self._so_far.seen
        )

    def _wanted_customer(self, record: SourceRecord, number: str) -> CustomerValues | None:
        """Return what the customer of a record is to be, None where it stays as it is.

        The first record with a name for a customer names it, so that rows which disagree do not
        take turns; a customer that is kept here keeps its name.
        """
        customer = self._known.customer(number)
        if customer is None:
            name = record.customer_name or _person(record)
            values = CustomerValues(number=number, name=name)
            return check_customer(self._known, values, None, from_source=True)
        if not record.customer_name or not self._names(customer):
            return None
        before = customer_values(customer)
        values = replace(before, name=record.customer_name)
        values = check_customer(self._known, values, customer, from_source=True)
        return values if values != before else None

    def _names(self, customer: Customer) -> bool:
        is_named = customer.number in self._named or customer.number in self._so_far.named
        return self._side.complete and customer.source == self._side.source and not is_named

    def _count(self, verdict: Verdict) -> CustomerUser | None:
        """Count a record; return its copy, None where there is none yet."""
        record, account = verdict.record, verdict.copy
        if verdict.waits:
            self._waiting.append(record)
            return None
        if verdict.conflict is not None:
            self.tally.refused += 1
            self._add_conflict(verdict.conflict)
            return verdict.current
        if verdict.before is None:
            self.tally.new += 1
        elif account is not None and verdict.is_same:
            self.tally.unchanged += 1
            self._unchanged.add(account)
        else:
            self.tally.changed += 1
        if account is None:
            return None
        if record.customer_name:
            self._named.add(account.customer.number)
        self._list_shared(record, account)
        return account

    def _store(self, verdict: Verdict) -> CustomerUser | None:
        """Bring about what a record comes to; return its copy."""
        if verdict.conflict is not None:
            if verdict.makes_invalid and verdict.current is not None:
                self._invalidating.make_invalid(verdict.current, "")
                self._known.keep(verdict.current)
            return self._count(verdict)
        return self._count(replace(verdict, copy=self._save(verdict)))

    def _save(self, verdict: Verdict) -> CustomerUser:
        checked, record = verdict.checked, verdict.record
        assert checked is not None  # there is no conflict
        customer = self._save_customer(verdict, checked.values.customer_number)
        account = verdict.copy if verdict.copy is not None else CustomerUser()
        keys = (record_login_key(record), *(each.key for each in checked.addresses))
        if self._known.needs_given_up(keys):
            self._send()
        if checked.values != verdict.before:
            fill_customer_user(account, customer, checked)
            self._saved.append((account, verdict.before, checked.values))
            if verdict.before is not None and _must_sign_in(verdict.before, checked.values):
                self._invalidating.end_sessions(account)
        account.source, account.source_key = self._side.source, record.key
        account.source_seen_at, account.source_gone_at = now(), None
        self._session.add(account)
        self._known.keep(account)
        return account

    def _save_customer(self, verdict: Verdict, number: str) -> Customer:
        customer, values = self._known.customer(number), verdict.customer
        if values is None:
            assert customer is not None  # else there were values for a new one
            return customer
        before = customer_values(customer) if customer is not None else None
        if customer is None:
            customer = Customer(source=self._side.source)
        fill_customer(customer, values)
        self._session.add(customer)
        self._known.keep(customer)
        self._customers.append((customer, before, values))
        return customer

    def _send(self) -> None:
        """Send what was saved to the database; with ids of ours that is one statement a table."""
        new: dict[type[Base], list[Any]] = {Customer: [], CustomerUser: [], CustomerUserAddress: []}
        for row in self._session.new:
            if type(row) in new:
                new[type(row)].append(row)
        needed = [(model, len(rows)) for model, rows in new.items()]
        with self._session.no_autoflush:
            for rows, ids in zip(new.values(), reserve_ids(self._session, needed), strict=True):
                for row, row_id in zip(rows, ids, strict=True):
                    row.id = row_id
        flush(self._session)
        self._known.settled()

    def _record(self) -> None:
        events = [
            *(
                saved_event("customer", customer.id, customer_label(after), before, after)
                for customer, before, after in self._customers
            ),
            *(
                saved_event("customer-user", account.id, account.login, old, new)
                for account, old, new in self._saved
            ),
        ]
        record_all(self._session, self._side.actor, [each for each in events if each is not None])

    def _stamp(self) -> None:
        """Write when records were seen, past the version: for an account that is no change."""
        self._session.execute(
            update(CustomerUser)
            .where(CustomerUser.id.in_([account.id for account in self._brought]))
            .values(source_seen_at=now(), source_gone_at=None)
            .execution_options(synchronize_session=False)
        )

    def _give_groups(self) -> None:
        given = self._side.groups.give(self._session, self._by_id())
        regrouped = sum(account.id in given for account in self._unchanged)
        self.tally.unchanged -= regrouped
        self.tally.changed += regrouped

    def _by_id(self) -> Mapping[int, SourceRecord]:
        return {account.id: record for account, record in self._brought.items()}

    def _keys(self) -> set[str]:
        keys = {record.key[:MAX_KEY] for record in self._records}
        return keys | self._side.groups.conflict_keys

    def _list_shared(self, record: SourceRecord, account: CustomerUser) -> None:
        shared = [row for row in account.addresses if row.shared]
        if not shared or account.valid is Validity.INVALID:
            return
        holders = self._known.address_holders([row.address_key for row in shared], account)
        taken = [
            f"{row.address} ({holders[row.address_key].login})"
            for row in shared
            if row.address_key in holders
        ]
        if taken:
            self._add_conflict(conflict_of(record, SourceConflict.ADDRESS, ", ".join(taken)))

    def _add_conflict(self, conflict: Conflict) -> None:
        self.tally.conflicts += 1
        self._conflicts.append(conflict)


def _must_sign_in(before: CustomerUserValues, after: CustomerUserValues) -> bool:
    """Whether sessions end: with another login it may be another person, who is to sign in."""
    return after.valid is not Validity.VALID or after.login != before.login


def _is_due(account: CustomerUser) -> bool:
    """Whether it is time to write down that a record is still there."""
    seen_at = account.source_seen_at
    return seen_at is None or now() - seen_at > SEEN_AGAIN


def _is_marked_gone(copy: CustomerUser | None) -> bool:
    return copy is not None and copy.source_gone_at is not None


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
