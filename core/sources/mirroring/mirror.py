"""Bringing the records of sources into our tables, where everything that decides reads them.

A row is the copy of one record, found by source and key, and the last good one while the source
is away. Records come in batches, and a batch costs a fixed number of queries. First it is looked
at in a session that only reads: where nothing has changed, and that is nearly always, nothing is
written and nobody waits.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.audit import Actor
from core.models import CustomerUser, RecordConflict, now
from core.portions import in_portions
from core.sources.mirroring.batch import Batch
from core.sources.mirroring.conflicts import ConflictList
from core.sources.mirroring.customer_moves import CustomerMoves
from core.sources.mirroring.groups import SourceGroups
from core.sources.mirroring.invalidating import Invalidating
from core.sources.mirroring.known import accounts_with_all
from core.sources.mirroring.sameness import Same, same_records
from core.sources.mirroring.verdicts import Progress, Side, Tally, Verdict
from core.sources.records import SourceRecord
from core.words import ActorKind, Validity

IDS_AT_ONCE = 500  # in one statement


class Mirror:
    """Brings the records of one source in; ``names`` are those of all sources, in their order.

    Make one for each pass or look-up: it knows which keys it has seen. A look-up, which is not
    ``complete``, renames no customer: some of its records may disagree with the first of all.
    """

    def __init__(self, source: str, names: Sequence[str], *, complete: bool = True) -> None:
        actor = Actor(ActorKind.SYSTEM, None, f"source {source}")
        earlier = frozenset(names[: list(names).index(source)])
        groups = SourceGroups(source, actor)
        moves = CustomerMoves(source)
        self._side = Side(source, earlier, actor, groups, moves, complete)
        self._so_far = Progress(ConflictList(source), at_end=not complete)
        self.tally = Tally()

    @property
    def seen(self) -> Collection[str]:
        """The keys of all records so far."""
        return self._so_far.seen

    def news(self, session: Session, records: Sequence[SourceRecord]) -> list[SourceRecord]:
        """Return the records that are to be brought in; the others are done with.

        Nothing is changed, so the session need only read. What is returned may still turn out to
        be known when it is brought in: another of these records may have what it wants.
        """
        self._prepare(session)
        rest = self._but_same(session, records)
        if not rest:
            return []
        batch = Batch(session, self._side, self._so_far, rest, lock=False)
        if batch.would_write():
            return rest
        self._take(batch)
        return []

    def judge(self, session: Session, records: Sequence[SourceRecord]) -> Sequence[Verdict]:
        """Return what each record would come to; the session need only read."""
        return Batch(session, self._side, self._so_far, records, lock=False).judge()

    def bring(self, session: Session, records: Sequence[SourceRecord]) -> None:
        """Make the copies of these records agree with them, in a transaction of the caller.

        Raises ``Stale`` where somebody else saves at the same moment; after that the transaction
        is to be undone, and the same records can be brought again.
        """
        self._prepare(session)
        batch = Batch(session, self._side, self._so_far, records, lock=True)
        batch.bring()
        self._take(batch)

    def end(self, session: Session) -> Sequence[SourceRecord]:
        """Return the records that have waited until all keys were seen, for ``bring_last``.

        Customers who are called differently get their new Kunden# before.
        """
        self._so_far.at_end = True
        self._side.moves.rename(session, self._side.actor, self._so_far.seen)
        return self._so_far.waiting

    def bring_last(self, session: Session, records: Sequence[SourceRecord]) -> None:
        """Bring in records that have waited."""
        batch = Batch(session, self._side, self._so_far, records, lock=True, again=True)
        batch.bring()
        self._take(batch)

    def vanish(self, session: Session, accounts: Collection[int], reason: str) -> None:
        """Make copies invalid whose records are no longer in the source; their tickets stay.

        One that is invalid already keeps its reason.
        """
        invalidating = Invalidating(session, self._side.actor)
        statement = accounts_with_all().where(
            CustomerUser.id.in_(accounts),
            CustomerUser.source == self._side.source,  # it may have been adopted meanwhile
        )
        for account in session.scalars(statement.order_by(CustomerUser.id)):
            if account.valid is not Validity.INVALID:
                invalidating.make_invalid(account, reason)
            account.source_gone_at = now()
            self.tally.vanished += 1
        invalidating.finish()

    def finish(self, session: Session) -> None:
        """Take off the list of conflicts what no record has any more, after the last one."""
        others = self._so_far.conflicts.others(session)
        for some in in_portions(others, IDS_AT_ONCE):
            session.execute(delete(RecordConflict).where(RecordConflict.id.in_(some)))
        self._so_far.conflicts.store(session, self._side.groups.conflict_keys, [])

    def _prepare(self, session: Session) -> None:
        unknown = self._side.groups.prepare(session)
        self._so_far.conflicts.note(unknown)
        self.tally.conflicts += len(unknown)

    def _take(self, batch: Batch) -> None:
        batch.note()
        self.tally.add(batch.tally)

    def _but_same(self, session: Session, records: Sequence[SourceRecord]) -> list[SourceRecord]:
        """Return the records that are not plainly the same as their copies, and count the others.

        The order of the records matters: the first with a key counts, and the first that has a
        name for a customer names it. So what comes after one that is left is left, too.
        """
        same = same_records(session, self._side.source, records)
        regrouped = {
            change.holder_id
            for change in self._side.groups.changes(
                session, {each.account_id: each.record for each in same.values()}
            )
        }
        rest: list[SourceRecord] = []
        keys: set[str] = set()
        numbers: set[str] = set()
        so_far = self._so_far
        for record in records:
            found = same.get(record.key)
            if (
                found is None
                or found.record is not record
                or found.account_id in regrouped
                or record.key in so_far.seen
                or record.key in keys
                or not self._keeps_name(found, numbers)
            ):
                keys.add(record.key)
                numbers.add(record.customer_number)
                rest.append(record)
                continue
            so_far.seen.add(record.key)
            if record.customer_name:
                so_far.named.add(record.customer_number)
            self.tally.unchanged += 1
        return rest

    def _keeps_name(self, same: Same, renamed: Collection[str]) -> bool:
        """Whether a record leaves the name of its customer as it is."""
        record = same.record
        if not record.customer_name or not same.named_by_us or not self._side.complete:
            return True
        if record.customer_number in self._so_far.named:
            return True
        return record.customer_number not in renamed and record.customer_name == same.customer_name
