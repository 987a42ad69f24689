"""The list of conflicts: what of a source could not be brought in, or only with a warning.

What is listed already stays as it is, so that a pass which finds nothing new writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.bulk import insert_rows
from core.models import RecordConflict, now
from core.words import SourceConflict

MAX_KEY = 200
MAX_DETAIL = 500
MAX_OF_A_KEY = 20  # of records with one key, or with none: more are only counted


@dataclass(frozen=True, slots=True)
class Conflict:
    """A conflict as it is stored."""

    source_key: str
    login: str
    kind: SourceConflict
    detail: str


class ConflictList:
    """The conflicts of one source that one pass or look-up finds."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: dict[str, list[Conflict]] = defaultdict(list)  # by key

    def differs(self, session: Session, keys: Collection[str], news: Iterable[Conflict]) -> bool:
        """Whether the list of records with these ``keys`` changes by what was found now."""
        surplus, missing = self._compared(session, keys, news)
        return bool(surplus or missing)

    def store(self, session: Session, keys: Collection[str], news: Sequence[Conflict]) -> None:
        """Make the list of records with these ``keys`` agree with what was found."""
        surplus, missing = self._compared(session, keys, news)
        if surplus:
            session.execute(delete(RecordConflict).where(RecordConflict.id.in_(surplus)))
        rows = [{"source": self._source, "found_at": now(), **asdict(each)} for each in missing]
        insert_rows(session.connection(), RecordConflict, rows)

    def note(self, news: Iterable[Conflict]) -> None:
        """Remember what has been found: it stays listed to the end."""
        for each in news:
            of_key = self._found[each.source_key]
            if each not in of_key and len(of_key) < MAX_OF_A_KEY:
                of_key.append(each)

    def others(self, session: Session) -> Sequence[int]:
        """Return the ids of all that are listed of the source and were not found."""
        rows = session.execute(
            select(RecordConflict.id, RecordConflict.source_key).where(
                RecordConflict.source == self._source
            )
        )
        return [conflict_id for conflict_id, key in rows if key not in self._found]

    def _compared(
        self, session: Session, keys: Collection[str], news: Iterable[Conflict]
    ) -> tuple[Sequence[int], Sequence[Conflict]]:
        """Return the ids of what is no longer to be listed, and what is not listed yet."""
        wanted = {each: None for key in keys for each in self._found.get(key, ())}
        counts = {key: len(self._found.get(key, ())) for key in keys}
        for each in news:
            if each not in wanted and counts[each.source_key] < MAX_OF_A_KEY:
                wanted[each] = None
                counts[each.source_key] += 1
        surplus = []
        for conflict_id, *values in session.execute(
            select(RecordConflict.id, *_COLUMNS).where(
                RecordConflict.source == self._source, RecordConflict.source_key.in_(keys)
            )
        ):
            listed = Conflict(*values)
            if listed in wanted:
                del wanted[listed]
            else:
                surplus.append(conflict_id)
        return surplus, list(wanted)


_COLUMNS = tuple(getattr(RecordConflict, field.name) for field in fields(Conflict))
