"""What a file comes to: each row new, changed, unchanged or faulty, by the rules of every save.

Rows are gone through in rounds: what one gives up another may take, in whatever order the file
has them. Nothing is read or written here; ``Keeping`` is where bringing about comes in.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

from core import audit
from core.accounts.customer_users import (
    CustomerUserValues,
    check_customer_user,
    customer_user_values,
    fill_customer_user,
)
from core.accounts.customers import (
    CustomerValues,
    check_customer,
    customer_values,
    fill_customer,
)
from core.accounts.managed import decided_there
from core.errors import Duplicate, Invalid, InvalidFields
from core.exchange.columns import GROUPS, USERS, Kind
from core.exchange.entries import Entries, Entry, Fault
from core.exchange.stock import Holder, Stock
from core.i18n import gettext as _
from core.models import Customer, CustomerUser
from core.words import Permission, Validity

MAX_ROUNDS = 50  # an address handed on over more rows in the wrong order is refused

Values = CustomerValues | CustomerUserValues
Permissions = Mapping[str, Permission]


class Action(StrEnum):
    """What a row comes to."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a file can say of an account or a customer."""

    values: Values
    groups: Permissions

    def as_dict(self) -> dict[str, Any]:
        """Return it by the names of the columns."""
        return {**asdict(self.values), GROUPS: dict(self.groups)}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is in order. ``before`` is None of something new."""

    line: int
    key: str
    action: Action
    before: State | None
    after: State

    @property
    def fields(self) -> Mapping[str, tuple[Any, Any]]:
        """The old and new value of what differs; of something new, what is not so by default."""
        after = self.after.as_dict()
        if self.before is None:
            usual = {field.name: field.default for field in fields(self.after.values)}
            return {
                name: (None, value)
                for name, value in after.items()
                if value != usual.get(name, MISSING) and value not in ((), {})
            }
        old, new = audit.differences(self.before.as_dict(), after)
        return {name: (old[name], new[name]) for name in new}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file comes to; with any fault, nothing of it is brought about."""

    kind: Kind
    rows: Sequence[Row]
    faults: Sequence[Fault]

    @property
    def counts(self) -> Mapping[Action, int]:
        """How many rows come to what."""
        return {action: sum(row.action is action for row in self.rows) for action in Action}

    @property
    def digest(self) -> str:
        """What tells two plans apart: whether what was agreed to is still what would happen."""
        changes = [
            [row.line, row.key, row.action, row.fields]
            for row in self.rows
            if row.action is not Action.UNCHANGED
        ]
        return sha256(json.dumps(changes, default=str, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is done with a row while the plan is made; by default nothing.

    ``make_room`` is called before an address is taken that somebody else has just given up.
    """

    make_room: Callable[[], None] = lambda: None
    keep: Callable[[Row, Holder], None] = lambda _row, _holder: None


def make_plan(
    stock: Stock,
    wanted: Entries,
    keeping: Keeping | None = None,
    in_turn: Iterable[Entry] | None = None,
) -> Plan:
    """Return what a file comes to. ``in_turn`` are its entries, for whoever shows progress."""
    work = _Work(stock, wanted.kind, keeping or Keeping())
    faults = list(wanted.faults)
    rows: list[Row] = []
    pending: Iterable[Entry] = wanted.entries if in_turn is None else in_turn
    later: list[tuple[Entry, Sequence[Fault]]] = []
    for _round in range(MAX_ROUNDS):
        later = []
        done = len(rows)
        for entry in pending:
            try:
                rows.append(work.row(entry))
            except (Invalid, InvalidFields) as error:
                found = wanted.faults_of(entry.line, error)
                if _may_change(error):
                    later.append((entry, found))
                else:
                    faults.extend(found)
        if not later or len(rows) == done:
            break
        pending = [entry for entry, _found in later]
    faults.extend(fault for _entry, found in later for fault in found)
    rows.sort(key=lambda row: row.line)
    faults.sort(key=lambda fault: fault.line)
    return Plan(wanted.kind, rows, faults)


def undo_states(plan: Plan) -> Sequence[State]:
    """Return what brings back how things were; what is new is set invalid, as nothing is deleted.

    What is new comes first, so that addresses are free again.
    """
    new = [_invalid(row.after) for row in plan.rows if row.action is Action.NEW]
    changed = [row.before for row in plan.rows if row.action is Action.CHANGED and row.before]
    return [*new, *changed]


def _invalid(state: State) -> State:
    if isinstance(state.values, CustomerValues):
        return replace(state, values=replace(state.values, valid=False))
    return replace(state, values=replace(state.values, valid=Validity.INVALID, invalid_until=None))


def _may_change(error: Invalid | InvalidFields) -> bool:
    """Whether another row may yet give up what this one wants."""
    errors = error.errors if isinstance(error, InvalidFields) else (error,)
    return all(isinstance(each, Duplicate) for each in errors)


class _Work:
    """Goes through the rows of one kind."""

    def __init__(self, stock: Stock, kind: Kind, keeping: Keeping) -> None:
        self._stock = stock
        self._kind = kind
        self._keeping = keeping

    def row(self, entry: Entry) -> Row:
        """Return what a row comes to. Raises ``Invalid`` and ``InvalidFields``."""
        groups = self._groups(entry)
        given = {name: value for name, value in entry.given.items() if name != GROUPS}
        if self._kind is USERS:
            return self._customer_user(entry, given, groups)
        return self._customer(entry, given, groups)

    def _customer(self, entry: Entry, given: Mapping[str, Any], groups: Permissions | None) -> Row:
        current = self._stock.customer(entry.key)
        before = customer_values(current) if current is not None else None
        values = replace(before, **given) if before else CustomerValues(**self._whole(given))
        if values != before:
            values = check_customer(self._stock, values, current)
        row = self._of(entry, current, before, values, groups)
        if row.action is Action.UNCHANGED:
            return row
        customer = current if current is not None else Customer()
        if values != before:
            fill_customer(customer, values)
        return self._kept(row, customer)

    def _customer_user(
        self, entry: Entry, given: Mapping[str, Any], groups: Permissions | None
    ) -> Row:
        current = self._stock.customer_user(entry.key)
        before = customer_user_values(current) if current is not None else None
        values = replace(before, **given) if before else CustomerUserValues(**self._whole(given))
        if values == before:
            row = self._of(entry, current, before, values, groups)
            assert current is not None  # there is a before
            return row if row.action is Action.UNCHANGED else self._kept(row, current)
        checked = check_customer_user(self._stock, values, current)
        row = self._of(entry, current, before, checked.values, groups)
        if row.action is Action.UNCHANGED:
            return row
        assert checked.customer is not None  # none is created along with it
        account = current if current is not None else CustomerUser()
        if self._stock.needs_given_up(each.key for each in checked.addresses):
            self._keeping.make_room()
            self._stock.settled()
        fill_customer_user(account, checked.customer, checked)
        return self._kept(row, account)

    def _of(
        self,
        entry: Entry,
        current: Holder | None,
        before: Values | None,
        values: Values,
        groups: Permissions | None,
    ) -> Row:
        had = self._stock.permissions(current)
        after = State(values, had if groups is None else groups)
        for name in sorted(self._stock.groups_of_source(current)):
            if isinstance(current, CustomerUser) and had.get(name) is not after.groups.get(name):
                raise decided_there(current, name)
        if before is None:
            return Row(entry.line, entry.key, Action.NEW, None, after)
        old = State(before, had)
        action = Action.UNCHANGED if after == old else Action.CHANGED
        return Row(entry.line, entry.key, action, old, after)

    def _kept(self, row: Row, holder: Holder) -> Row:
        self._stock.keep(holder)
        self._keeping.keep(row, holder)
        return row

    def _whole(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of something new: what must not be missing is empty, and so refused."""
        return {**dict.fromkeys(self._kind.required, ""), **given}

    def _groups(self, entry: Entry) -> Permissions | None:
        given = entry.given.get(GROUPS)
        if not isinstance(given, Mapping):
            return None
        for name in given:
            if name not in self._stock.groups:
                raise Invalid(GROUPS, _('There is no group "%(name)s".', name=name))
        return given
