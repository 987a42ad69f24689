"""Rows written at once are those that SQLAlchemy's own way would have written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, StatementError

from core.bulk import insert_rows
from core.db import Database
from core.models import AuditEvent, Mail, SignInThrottle
from core.words import ActorKind, Evidence, Protocol

AT = datetime(2026, 11, 25, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=9)))
MAIL: dict[str, Any] = {
    "reference": "a" * 26,
    "raw_id": None,
    "received_at": AT,
    "protocol": Protocol.LMTP,
    "mail_from": "müller@bücher.example",
    "size": 7,
    "evidence": Evidence.NEUTRAL,
    "defects": ["Umlaut: ü", "100 %", ":colon %(name)s"],
}


def stored(database: Database) -> list[dict[str, Any]]:
    """Return all mails without their ids."""
    with database.read() as session:
        rows = session.execute(select(Mail.__table__)).mappings()
        return [{key: value for key, value in row.items() if key != "id"} for row in rows]


def test_every_type_is_stored_as_sqlalchemy_stores_it(database: Database) -> None:
    """Instants in UTC, words by their values, JSON, NULL, and columns left to their defaults."""
    with database.write() as session:
        insert_rows(session.connection(), Mail, [MAIL | {"id": 1}])
        session.connection().execute(insert(Mail.__table__), [MAIL | {"id": 2, "reference": "b"}])
    ours, theirs = stored(database)
    assert ours == theirs | {"reference": "a" * 26}
    assert ours["received_at"] == AT.astimezone(UTC)
    assert (ours["peer"], ours["tls"]) == ("", False)


def test_many_rows_and_none(database: Database) -> None:
    with database.write() as session:
        connection = session.connection()
        insert_rows(connection, Mail, [])
        insert_rows(
            connection, Mail, [MAIL | {"id": n, "reference": f"{n}"} for n in range(1, 101)]
        )
    assert [row["reference"] for row in stored(database)] == [f"{n}" for n in range(1, 101)]


def test_bytes_and_objects_that_may_be_missing(database: Database) -> None:
    """JSON's null and SQL's are told apart as the model says."""
    with database.write() as session:
        insert_rows(
            session.connection(),
            SignInThrottle,
            [{"key": b"\0\xff" * 16, "last_failure_at": AT}],
        )
        event = {
            "at": AT, "actor_kind": ActorKind.MAIL, "actor_id": None, "actor_name": "x",
            "action": "a", "object_kind": "k", "object_id": 1, "before": None, "after": {"ü": [1]},
        }  # fmt: skip
        insert_rows(session.connection(), AuditEvent, [event])
    with database.read() as session:
        row = session.scalars(select(SignInThrottle)).one()
        assert (row.key, row.failures) == (b"\0\xff" * 16, 0)
        assert session.scalars(select(AuditEvent).where(AuditEvent.before.is_(None))).one().after


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"evidence": "no-such-word"}, (LookupError, StatementError)),
        ({"received_at": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001 - without a zone
        ({"size": None}, IntegrityError),
    ],
)
def test_what_a_column_cannot_hold_is_refused(
    database: Database, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error), database.write() as session:
        insert_rows(session.connection(), Mail, [MAIL | {"id": 1} | wrong])
    assert stored(database) == []
