"""Reading a whole source: every record is brought in, and who is gone becomes invalid."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.claims import claimed
from core.db import Database
from core.errors import SchalterError, Stale
from core.i18n import gettext as _
from core.i18n import in_language
from core.models import CustomerSource as SourceState
from core.models import CustomerUser, RecordConflict, now
from core.portions import in_portions
from core.settings import load_settings
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.verdicts import Tally
from core.sources.records import SourceRecord
from core.sources.source import CustomerSource, SourceAway
from core.words import Validity

T = TypeVar("T")

RECORDS_AT_ONCE = 100  # in one transaction, which makes intake wait: some 0.1 s if all are new
COMPARED_AT_ONCE = 500  # in a session that only reads
ATTEMPTS = 3  # at a transaction, where somebody else saves at the same moment
MIN_LOSS = 20  # accounts that may always become invalid in one pass, beside half of all


class Busy(SchalterError):
    """Another process reads the source at this moment, or has read it just now."""

    def __init__(self, source: str) -> None:
        super().__init__(f"customer source {source}: another process is reading it already")


class Stopped(SchalterError):
    """A pass was ended before its time. What it has brought in stays, and nobody is invalid."""


def read_all(
    database: Database,
    source: CustomerSource,
    names: Sequence[str],
    records: Iterable[SourceRecord],
    *,
    accept_loss: bool = False,
    stops: Callable[[], bool] = lambda: False,
    is_wanted: Callable[[SourceState], bool] = lambda _state: True,
) -> Tally:
    """Bring in all the ``records`` of a source, in many short transactions.

    ``names`` are those of all sources, in their order. Only when the last record was read do
    accounts become invalid whose records are gone: a source that fails half-way makes nobody
    invalid, nor does one without a single record, which is more likely broken than empty. So is
    one that lacks most of what it had: that is believed only with ``accept_loss``. Between two
    transactions ``stops`` is asked whether to end at once.

    The pass answers whoever has asked for one by now; who asks from here on gets another. Whether
    it ``is_wanted`` is asked again when nobody else can begin, so that two do not read in turn.

    Raises ``SourceAway``, which is also written down, ``Busy`` and ``Stopped``.
    """
    with claimed(database, _claim(source.name)) as is_ours:
        if not is_ours:
            raise Busy(source.name)
        asked_at = _begin(database, source.name, is_wanted)
        try:
            return _Pass(database, source.name, names, accept_loss, stops).run(records)
        except SourceAway as error:
            with database.write() as session:
                note_failure(session, error)
                note_failed_pass(session, source.name, error.reason)
            raise
        except Stopped:
            with database.write() as session:
                _put_back(session, source.name, asked_at)
            raise


def is_being_read(database: Database, source: str) -> bool:
    """Whether some process reads a source at this moment.

    To find out is to claim it for an instant, in which nobody else can begin. So it should be
    asked only where ``read_began_at`` says that somebody most likely does.
    """
    with claimed(database, _claim(source)) as is_free:
        return not is_free


def _claim(source: str) -> str:
    return f"source-{source}"


def _begin(
    database: Database, source: str, is_wanted: Callable[[SourceState], bool]
) -> datetime | None:
    """Write down that a pass begins; return when somebody has asked for it."""
    with database.write() as session:
        state = state_of(session, source)
        if not is_wanted(state):
            raise Busy(source)
        asked_at, state.read_asked_at = state.read_asked_at, None
        state.read_began_at = now()
    return asked_at


def _put_back(session: Session, source: str, asked_at: datetime | None) -> None:
    """Let a pass that was to stop be asked for still, if it was."""
    state = state_of(session, source)
    state.read_began_at = None
    state.read_asked_at = state.read_asked_at or asked_at


class _Pass:
    """One reading of a source."""

    def __init__(
        self,
        database: Database,
        name: str,
        names: Sequence[str],
        accept_loss: bool,
        stops: Callable[[], bool],
    ) -> None:
        self._database = database
        self._name = name
        self._accept_loss = accept_loss
        self._stops = stops
        self._mirror = Mirror(name, names)

    def run(self, records: Iterable[SourceRecord]) -> Tally:
        with self._database.read() as session:
            language = load_settings(session).language
            valid_before = len(_valid_copies(session, self._name))
        with in_language(language):
            for some in in_portions(records, COMPARED_AT_ONCE):
                self._check_stop()
                with self._database.read() as session:
                    news = self._mirror.news(session, some)
                for few in in_portions(news, RECORDS_AT_ONCE):
                    self._write(partial(self._mirror.bring, records=few))
            self._end(valid_before)
        return self._mirror.tally

    def _end(self, valid_before: int) -> None:
        mirror = self._mirror
        if not mirror.seen:
            raise SourceAway(self._name, _("it has no usable record, so nothing was changed"))
        for records in in_portions(self._write(mirror.end), RECORDS_AT_ONCE):
            self._write(partial(mirror.bring_last, records=records))
        with self._database.read() as session:
            gone = _gone(session, self._name, mirror.seen)
            lost = sum(key not in mirror.seen for key in _valid_copies(session, self._name))
        if lost > max(MIN_LOSS, valid_before // 2) and not self._accept_loss:
            raise SourceAway(self._name, self._too_many(lost, valid_before))
        reason = _("No longer in the customer source.")
        for some in in_portions(gone, RECORDS_AT_ONCE):
            self._write(partial(mirror.vanish, accounts=some, reason=reason))
        self._write(self._note_success)

    def _note_success(self, session: Session) -> None:
        self._mirror.finish(session)
        state = state_of(session, self._name)
        state.last_contact_at = state.last_pass_at = now()
        state.records = len(self._mirror.seen)
        state.last_error, state.last_error_at = "", None
        state.read_began_at = state.read_failed_at = None
        state.read_error = ""

    def _too_many(self, lost: int, before: int) -> str:
        return _(
            "it lacks the records of %(lost)d of %(all)d valid accounts, so none was made invalid; "
            "if that is right, run: schalter sources sync %(source)s --accept-loss",
            lost=lost,
            all=before,
            source=self._name,
        )

    def _check_stop(self) -> None:
        if self._stops():
            raise Stopped(f"customer source {self._name}: the pass was ended before its time")

    def _write(self, work: Callable[[Session], T]) -> T:
        """Do something in a transaction, once more where somebody else saves at the same moment."""
        for attempt in range(1, ATTEMPTS + 1):
            self._check_stop()
            try:
                with self._database.write() as session:
                    return work(session)
            except Stale:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")


def note_failure(session: Session, error: SourceAway) -> None:
    """Write down why a source has failed, and since when it does."""
    state = state_of(session, error.source)
    if not state.last_error:
        state.last_error_at = now()
    state.last_error = error.reason[:500]


def note_failed_pass(
    session: Session, source: str, why: str, *, asked_at: datetime | None = None
) -> None:
    """Write down that a pass has failed, or could not even begin; "" says that the log tells why.

    Who has asked for it at ``asked_at`` has this for an answer.
    """
    state = state_of(session, source)
    if state.read_asked_at == asked_at:
        state.read_asked_at = None
    state.read_began_at = None
    state.read_error, state.read_failed_at = why[:500], now()


def note_contact(session: Session, source: str, *, again: bool = False) -> None:
    """Write down that a source has answered; ``again`` says that its last failure is over."""
    state = state_of(session, source)
    state.last_contact_at = now()
    if again:
        state.last_error, state.last_error_at = "", None


def state_of(session: Session, source: str) -> SourceState:
    """Return what is known of a source, a new row where that is nothing."""
    state = session.get(SourceState, source)
    if state is not None:
        return state
    # Somebody else may make it at the same moment: then theirs is the one.
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insertion = (sqlite if on_sqlite else postgresql).insert(SourceState)
    session.execute(insertion.values(name=source).on_conflict_do_nothing())
    return session.get_one(SourceState, source)


def count_conflicts(session: Session, source: str) -> int:
    """Return how many conflicts the records of a source have."""
    return session.scalars(
        select(func.count(RecordConflict.id)).where(RecordConflict.source == source)
    ).one()


def _gone(session: Session, name: str, seen: Collection[str]) -> list[int]:
    copies = session.execute(
        select(CustomerUser.id, CustomerUser.source_key).where(
            CustomerUser.source == name, CustomerUser.source_gone_at.is_(None)
        )
    )
    return [account_id for account_id, key in copies if key not in seen]


def _valid_copies(session: Session, name: str) -> Sequence[str | None]:
    """Return the keys of all copies that are valid."""
    return session.scalars(
        select(CustomerUser.source_key).where(
            CustomerUser.source == name, CustomerUser.valid != Validity.INVALID
        )
    ).all()
