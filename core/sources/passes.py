"""Reading a whole source: every record is brought in, and who is gone becomes invalid."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import Database
from core.i18n import gettext as _
from core.i18n import in_language
from core.models import CustomerSource as SourceState
from core.models import CustomerUser, RecordConflict, now
from core.settings import load_settings
from core.sources.mirror import Mirror, Tally
from core.sources.records import SourceRecord
from core.sources.source import CustomerSource, SourceAway

T = TypeVar("T")

RECORDS_AT_ONCE = 100  # in one transaction, which makes intake wait: some 0.1 s if all are new
COMPARED_AT_ONCE = 500  # in a session that only reads


def read_all(
    database: Database,
    source: CustomerSource,
    names: Sequence[str],
    records: Iterable[SourceRecord],
) -> Tally:
    """Bring in all the ``records`` of a source, in many short transactions.

    ``names`` are those of all sources, in their order. Only when the last record was read do
    accounts become invalid whose records are gone: a source that fails half-way makes nobody
    invalid, nor does one without a single record, which is more likely broken than empty. Raises
    ``SourceAway``, which is also written down.
    """
    mirror = Mirror(source.name, names)
    with database.read() as session:
        language = load_settings(session).language
    try:
        with in_language(language):
            for some in _in_batches(records, COMPARED_AT_ONCE):
                with database.read() as session:
                    news = mirror.news(session, some)
                for few in _in_batches(news):
                    with database.write() as session:
                        mirror.bring(session, few)
            _end(database, source.name, mirror)
    except SourceAway as error:
        with database.write() as session:
            note_failure(session, error)
        raise
    return mirror.tally


def note_failure(session: Session, error: SourceAway) -> None:
    """Write down that a source has failed, and why."""
    state = state_of(session, error.source)
    state.last_error, state.last_error_at = error.reason[:500], now()


def note_contact(session: Session, source: str, *, again: bool = False) -> None:
    """Write down that a source has answered; ``again`` says that its last failure is over."""
    state = state_of(session, source)
    state.last_contact_at = now()
    if again:
        state.last_error, state.last_error_at = "", None


def state_of(session: Session, source: str) -> SourceState:
    """Return what is known of a source, a new row where that is nothing."""
    state = session.get(SourceState, source)
    if state is None:
        state = SourceState(name=source, records=0, last_error="")
        session.add(state)
    return state


def count_conflicts(session: Session, source: str) -> int:
    """Return how many conflicts the records of a source have."""
    return session.scalars(
        select(func.count(RecordConflict.id)).where(RecordConflict.source == source)
    ).one()


def _end(database: Database, name: str, mirror: Mirror) -> None:
    if not mirror.seen:
        raise SourceAway(name, _("it has no usable record, so nothing was changed"))
    with database.write() as session:
        waiting = mirror.end(session)
    for records in _in_batches(waiting):
        with database.write() as session:
            mirror.bring_last(session, records)
    with database.read() as session:
        gone = _gone(session, name, mirror)
    for some in _in_batches(gone):
        with database.write() as session:
            mirror.vanish(session, some, _("No longer in the customer source."))
    with database.write() as session:
        mirror.finish(session)
        state = state_of(session, name)
        state.last_contact_at = state.last_pass_at = now()
        state.records = len(mirror.seen)
        state.last_error, state.last_error_at = "", None


def _gone(session: Session, name: str, mirror: Mirror) -> list[int]:
    copies = session.execute(
        select(CustomerUser.id, CustomerUser.source_key).where(
            CustomerUser.source == name, CustomerUser.source_gone_at.is_(None)
        )
    )
    return [account_id for account_id, key in copies if key not in mirror.seen]


def _in_batches(items: Iterable[T], size: int = RECORDS_AT_ONCE) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
