"""What live sources answer, brought into our tables: in short transactions, and only what is new.

A record that equals its copy costs a look at the copy and no writing transaction.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.logins import login_key
from core.db import Database
from core.i18n import gettext as _
from core.i18n import in_language
from core.mail.addresses import address_key
from core.models import CustomerUser, CustomerUserAddress
from core.settings import load_settings
from core.sources.live_source import Answer
from core.sources.mirror import Mirror
from core.sources.passes import RECORDS_AT_ONCE
from core.sources.records import SourceRecord
from core.sources.source import By

REMEMBERED_SECONDS = 60.0
MAX_REMEMBERED = 20_000

Found = Mapping[str, Sequence[SourceRecord]]  # by source


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that the answer of its source should have named, and did not."""

    account_id: int
    source: str
    key: str
    login: str


def copies_not_found(session: Session, answers: Mapping[str, Answer]) -> list[Copy]:
    """Return the copies with the addresses and logins asked for that no answer has.

    They have changed in their source, or are gone from it: only their keys tell.
    """
    wanted = {question for answer in answers.values() for question in answer.whole}
    addresses = {address_key(value) for by, value in wanted if by is By.ADDRESS} - {None}
    logins = {login_key(value) for by, value in wanted if by is By.LOGIN}
    copies: set[Copy] = set()
    columns = (CustomerUser.id, CustomerUser.source, CustomerUser.source_key, CustomerUser.login)
    of_these = (CustomerUser.source.in_(answers), CustomerUser.source_gone_at.is_(None))
    if addresses:
        rows = session.execute(
            select(*columns)
            .join(CustomerUserAddress, CustomerUserAddress.customer_user_id == CustomerUser.id)
            .where(CustomerUserAddress.address_key.in_(addresses), *of_these)
        )
        copies |= {Copy(*row) for row in rows}
    if logins:
        rows = session.execute(
            select(*columns).where(CustomerUser.login_key.in_(logins), *of_these)
        )
        copies |= {Copy(*row) for row in rows}
    found = {(name, record.key) for name, answer in answers.items() for record in answer.records}
    return [copy for copy in copies if (copy.source, copy.key) not in found]


@dataclass(frozen=True, slots=True)
class _Brought:
    """What was brought last under a key, and whether it was refused."""

    record: SourceRecord
    refused: bool
    until: float


class Bringer:
    """Brings records in for the sources with these names, in their order.

    For a minute it remembers what it has brought: a record that was refused differs from its copy
    for good, and groups are not compared, but neither must cost a transaction with every mail.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._lock = Lock()
        self._brought: OrderedDict[tuple[str, str], _Brought] = OrderedDict()

    def news(self, session: Session, found: Found) -> dict[str, list[SourceRecord]]:
        """Return the records that have to be brought in."""
        news = {name: self._news_of(session, name, records) for name, records in found.items()}
        return {name: records for name, records in news.items() if records}

    def bring(self, database: Database, found: Found, gone: Mapping[str, Collection[int]]) -> None:
        """Bring records in, an earlier source first, and make copies invalid that are ``gone``."""
        if not found and not gone:
            return
        with database.read() as session:
            language = load_settings(session).language
        with in_language(language):
            for name, accounts in gone.items():
                with database.write() as session:
                    reason = _("No longer in the customer source.")
                    self._mirror(name).vanish(session, accounts, reason)
            for name in self._names:
                mirror = self._mirror(name)
                for some in _portions(found.get(name, ())):
                    with database.write() as session:
                        refused = [_is_refused(mirror, session, record) for record in some]
                    self._remember(name, some, refused)

    def _mirror(self, name: str) -> Mirror:
        return Mirror(name, self._names, complete=False)

    def _news_of(
        self, session: Session, name: str, records: Sequence[SourceRecord]
    ) -> list[SourceRecord]:
        different = self._mirror(name).news(session, records)
        return [
            record
            for record in records
            if self._is_news(name, record, is_different=record in different)
        ]

    def _is_news(self, name: str, record: SourceRecord, *, is_different: bool) -> bool:
        if not is_different and record.groups is None:
            return False
        with self._lock:
            before = self._brought.get((name, record.key))
        if before is None or before.record != record or before.until < time.monotonic():
            return True
        return is_different and not before.refused

    def _remember(
        self, name: str, records: Sequence[SourceRecord], refused: Sequence[bool]
    ) -> None:
        until = time.monotonic() + REMEMBERED_SECONDS
        with self._lock:
            for record, was_refused in zip(records, refused, strict=True):
                self._brought[name, record.key] = _Brought(record, was_refused, until)
                self._brought.move_to_end((name, record.key))
            while len(self._brought) > MAX_REMEMBERED:
                self._brought.popitem(last=False)


def _is_refused(mirror: Mirror, session: Session, record: SourceRecord) -> bool:
    before = mirror.tally.refused
    mirror.bring(session, [record])
    return mirror.tally.refused > before


def _portions(records: Sequence[SourceRecord]) -> Iterator[list[SourceRecord]]:
    rest = iter(records)
    while some := list(islice(rest, RECORDS_AT_ONCE)):
        yield some
