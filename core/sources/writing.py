"""Changing a copy where its source lets that be done: there first, and then here.

The source is written to in a transaction of its own, before ours begins: what it refuses is not
stored here, and while it is slow nobody waits for our database. Passwords are never written.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Update, literal, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.accounts.copies import check_unchanged
from core.accounts.customer_users import (
    CustomerUserValues,
    check_customer_user,
    customer_user_values,
    save_customer_user,
)
from core.accounts.lookups import StoredLookups
from core.accounts.saving import Problems
from core.audit import Actor
from core.config import AnySourceSection, SqlSourceSection
from core.db import Database, foreign_engine
from core.drivers import MYSQL_NAMES
from core.errors import Invalid, InvalidFields, Stale
from core.i18n import gettext as _
from core.i18n import in_language
from core.models import CustomerUser
from core.settings import load_settings
from core.sources.configured import read_password
from core.sources.kinds.sql import SECONDS, asking, reason_of
from core.sources.kinds.sql_rows import SqlRows, is_askable
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.verdicts import wanted_values
from core.sources.records import SourceRecord
from core.sources.source import By


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of an account: its record as the source has it now."""

    source: str
    record: SourceRecord


def writable_fields(section: AnySourceSection | None) -> frozenset[str]:
    """Return the fields of a copy that may be changed here; None is no configured source."""
    return frozenset(section.writable if isinstance(section, SqlSourceSection) else ())


def write_to_source(
    database: Database,
    sections: Sequence[AnySourceSection],
    account_id: int,
    values: CustomerUserValues,
    version: int,
) -> Written | None:
    """Write to the source of a copy what these values change there; None where that is nothing.

    ``sections`` are all sources, in their order. Everything is checked before, so that what would
    not be stored here is not written there. Raises ``InvalidFields``, ``Invalid`` for what the
    source refuses, ``SourceAway``, and ``Stale`` where the copy is at another ``version`` or its
    record has changed; then that was brought in.
    """
    with database.read() as session:
        account = session.get_one(CustomerUser, account_id)
        section = next((each for each in sections if each.name == account.source), None)
        if not isinstance(section, SqlSourceSection) or not section.writable:
            return None
        if account.version != version:
            raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
        before = customer_user_values(account)
        after = _checked(session, values, account, section)
        key = account.source_key or ""
    changes = {
        field: getattr(after, field)
        for field in section.writable
        if getattr(after, field) != getattr(before, field)
    }
    if not changes:
        return None
    names = [each.name for each in sections]
    with closing(SqlWriter(section)) as writer:
        row = writer.read(key)
        with database.read() as session:
            account = session.get_one(CustomerUser, account_id)
            is_known = _is_known(session, row, account, changes)
        if row is not None and is_known:
            record = writer.write(row, changes)
            if record is not None:
                return Written(section.name, record)
            row = writer.read(key)
    if row is not None:
        with database.write() as session:
            _bring(session, names, Written(section.name, row.record))
    raise Stale(
        _(
            'This has changed in the customer source "%(source)s" in the meantime. Nothing was '
            "saved.",
            source=section.name,
        )
    )


def save_written(
    session: Session,
    actor: Actor,
    sections: Sequence[AnySourceSection],
    account: CustomerUser,
    values: CustomerUserValues,
    version: int,
    written: Written,
) -> None:
    """Store what was written, and what else of the values is kept here.

    Raises like ``save_customer_user``.
    """
    save_customer_user(session, actor, values, account, version, from_source=True)
    _bring(session, [each.name for each in sections], written)


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and its writable fields exactly as the database tells them as text."""

    record: SourceRecord
    texts: Mapping[str, str | None]


class SqlWriter:
    """Writes to the rows of one source; close it."""

    def __init__(self, section: SqlSourceSection) -> None:
        password = read_password(section.password_file, f"customer source {section.name}")
        self._source = section.name
        self._engine: Engine = foreign_engine(section.url, password, SECONDS, writes=True)
        self._rows = SqlRows(section, is_mysql=self._engine.dialect.name in MYSQL_NAMES)
        self._texts = {
            field: self._rows.text_of(self._rows.fields[field]) for field in section.writable
        }

    def read(self, key: str) -> Row | None:
        """Return the one row with a key, None where there is none or more than one."""
        if not is_askable(key):
            return None
        with asking(self._source, self._engine) as connection:
            return self._read(connection, key)

    def write(self, row: Row, changes: Mapping[str, str]) -> SourceRecord | None:
        """Change fields of a row and return its record as it is then.

        None where the fields are not as in ``row`` any more. Raises ``Invalid`` for what the
        database refuses; in both cases nothing was written.
        """
        columns, fields = self._rows.columns, self._rows.fields
        as_read = [
            self._texts[field].is_not_distinct_from(literal(row.texts[field])) for field in changes
        ]
        statement = (
            update(self._rows.table)
            .where(self._rows.is_one(By.KEY, [row.record.key]), *as_read)
            .values({columns[fields[field]]: text for field, text in changes.items()})
        )
        try:
            with asking(self._source, self._engine) as connection, connection.begin():
                if self._execute(connection, statement, changes) != 1:
                    raise _NotAsReadError
                changed = self._read(connection, row.record.key)
                if changed is None:
                    raise _NotAsReadError
                return changed.record
        except _NotAsReadError:
            return None

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def _read(self, connection: Connection, key: str) -> Row | None:
        texts = [text.label(f"text_{field}") for field, text in self._texts.items()]
        wanted = self._rows.with_one(By.KEY, [key]).add_columns(*texts).limit(2)
        found = connection.execute(wanted).mappings().all()
        if len(found) != 1:
            return None
        (row,) = found
        return Row(self._rows.record(row), {field: row[f"text_{field}"] for field in self._texts})

    def _execute(
        self, connection: Connection, statement: Update, changes: Mapping[str, str]
    ) -> int:
        """Return how many rows were changed."""
        try:
            return connection.execute(statement).rowcount
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            field = next(iter(changes)) if len(changes) == 1 else ""
            raise Invalid(field, refusal(self._source, reason_of(error))) from None


class _NotAsReadError(Exception):
    """Undoes what was written."""


def refusal(source: str, reason: str) -> str:
    """Return the text about a source that does not answer, or does not take a change."""
    return _(
        'The customer source "%(source)s" has not taken the change: %(reason)s. Nothing was saved.',
        source=source,
        reason=reason.rstrip("."),
    )


def _checked(
    session: Session, values: CustomerUserValues, account: CustomerUser, section: SqlSourceSection
) -> CustomerUserValues:
    """Return the values as they would be stored. Raises ``InvalidFields``."""
    checked = check_customer_user(StoredLookups(session), values, account, from_source=True)
    problems = Problems()
    before = customer_user_values(account)
    check_unchanged(account, before, checked.values, problems, section.writable)
    problems.raise_any()
    return checked.values


def _is_known(
    session: Session, row: Row | None, account: CustomerUser, changes: Mapping[str, str]
) -> bool:
    """Whether the copy has what the row has, in the fields that are to be changed."""
    if row is None:
        return False
    before = customer_user_values(account)
    wanted = wanted_values(row.record, before)
    try:
        there = check_customer_user(
            StoredLookups(session), wanted, account, create_customer=True, from_source=True
        ).values
    except InvalidFields:
        return False
    return all(getattr(there, field) == getattr(before, field) for field in changes)


def _bring(session: Session, names: Sequence[str], written: Written) -> None:
    with in_language(load_settings(session).language):
        Mirror(written.source, names, complete=False).bring(session, [written.record])
