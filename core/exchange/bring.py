"""Bringing a file about, all or nothing, in the caller's transaction."""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from core import audit
from core.accounts.customer_users import CustomerUserValues
from core.accounts.customers import CustomerValues, customer_label, follow_customer
from core.accounts.matrix import (
    CellChange,
    save_customer_cells,
    save_customer_user_cells,
)
from core.accounts.saving import flush, record_saved
from core.accounts.sessions import end_sessions
from core.audit import Actor
from core.errors import SchalterError, Stale
from core.exchange.columns import USERS
from core.exchange.entries import Entries, Entry
from core.exchange.plan import Action, Keeping, Plan, Row, make_plan
from core.exchange.stock import CHUNK, Holder, Stock
from core.i18n import gettext as _
from core.i18n import ngettext
from core.models import Customer, CustomerUser
from core.portions import in_portions
from core.words import Validity


class Refused(SchalterError):
    """A file with faulty rows; ``plan`` has them. Nothing of it was brought about."""

    def __init__(self, plan: Plan) -> None:
        count = len(plan.faults)
        super().__init__(
            ngettext(
                "%(num)d fault in the file. Nothing was imported.",
                "%(num)d faults in the file. Nothing was imported.",
                count,
            )
        )
        self.plan = plan


def try_out(session: Session, wanted: Entries, in_turn: Iterable[Entry] | None = None) -> Plan:
    """Return what a file would come to, in a session that only reads."""
    return make_plan(Stock(session, wanted, lock=False), wanted, in_turn=in_turn)


def bring_about(
    session: Session,
    actor: Actor,
    wanted: Entries,
    *,
    agreed: str | None = None,
    in_turn: Iterable[Entry] | None = None,
) -> Plan:
    """Store what a file says, with an audit event for each thing that changes and one for all.

    ``agreed`` is the digest of the plan that somebody has seen. Raises ``Refused`` when there are
    faults, ``Stale`` when things have changed since or somebody else saves at the same moment;
    then the transaction must be undone.
    """
    writer = _Writer(session, actor)
    stock = Stock(session, wanted, lock=True)
    plan = make_plan(stock, wanted, Keeping(writer.send, writer.keep), in_turn)
    if plan.faults:
        raise Refused(plan)
    if agreed is not None and plan.digest != agreed:
        raise Stale(_("What is stored has changed since this was shown. Nothing was imported."))
    writer.send()
    _give(session, actor, stock, writer.kept, wanted)
    _record_import(session, actor, plan)
    return plan


def _record_import(session: Session, actor: Actor, plan: Plan) -> None:
    new, changed = plan.counts[Action.NEW], plan.counts[Action.CHANGED]
    if new or changed:
        counts = {"rows_new": new, "rows_changed": changed}
        audit.record(session, actor, "imported", plan.kind.object_kind, None, "", None, counts)


class _Writer:
    """Sends what was kept to the database, many rows at once."""

    def __init__(self, session: Session, actor: Actor) -> None:
        self.kept: list[tuple[Row, Holder]] = []
        self._session = session
        self._actor = actor
        self._waiting: list[tuple[Row, Holder]] = []

    def keep(self, row: Row, holder: Holder) -> None:
        """Take a row that is to be stored."""
        self._session.add(holder)
        self.kept.append((row, holder))
        self._waiting.append((row, holder))
        if len(self._waiting) >= CHUNK:
            self.send()

    def send(self) -> None:
        """Send what waits, with its audit events and with what follows from it."""
        flush(self._session)
        for row, holder in self._waiting:
            self._record(row, holder)
        self._waiting.clear()

    def _record(self, row: Row, holder: Holder) -> None:
        before, after = row.before.values if row.before else None, row.after.values
        if isinstance(holder, Customer):
            assert isinstance(after, CustomerValues)
            name = customer_label(after)
            record_saved(self._session, self._actor, "customer", holder.id, name, before, after)
            if isinstance(before, CustomerValues):
                follow_customer(self._session, holder, before, after)
            return
        assert isinstance(after, CustomerUserValues)
        name = after.login
        record_saved(self._session, self._actor, "customer-user", holder.id, name, before, after)
        if before is not None and after.valid is not Validity.VALID:
            end_sessions(self._session, holder)


def _give(
    session: Session,
    actor: Actor,
    stock: Stock,
    kept: Sequence[tuple[Row, Holder]],
    wanted: Entries,
) -> None:
    """Store the permissions of groups that differ."""
    save = save_customer_user_cells if wanted.kind is USERS else save_customer_cells
    for some in in_portions(kept, CHUNK):
        changes = [change for row, holder in some for change in _cells(stock, row, holder)]
        save(session, actor, changes)


def _cells(stock: Stock, row: Row, holder: Customer | CustomerUser) -> Sequence[CellChange]:
    old, new = row.before.groups if row.before else {}, row.after.groups
    return [
        CellChange(holder.id, stock.groups[name], old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) is not new.get(name)
    ]
