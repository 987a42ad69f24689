"""Migrations: the tables that come out are those of the models, and what was stored stays."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.db import Database
from core.migrate import alembic_config, upgrade
from core.models import Base
from tests.support.postgresql import PostgresqlServer

OF_SEARCH = "article_search"  # FTS5 and tsvector tables are made by hand

FIRST_RELEASE = (
    "INSERT INTO groups (id, name, comment, valid, version) VALUES (1, 'g', '', true, 1)",
    "INSERT INTO queues (id, name, group_id, purpose, comment, follow_up, forbidden, strangers, "
    "valid, version) VALUES (1, 'q', 1, '', '', 'possible', 'hold', 'hold', true, 1)",
    "INSERT INTO tickets (id, public_id, queue_id, requester, subject, state, priority, flag, "
    "created_at, changed_at, version) VALUES (1, 'abc', 1, 'a@b.example', 'Alt', 'new', 'normal', "
    "'stranger', '2026-11-01 10:00:00', '2026-11-01 10:00:00', 1)",
    "INSERT INTO articles (id, ticket_id, author, from_address, from_name, subject, text, "
    "has_html, visible, created_at) VALUES (1, 1, 'unknown', 'a@b.example', '', 'Alt', 'Text', "
    "false, true, '2026-11-01 10:00:00')",
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def first_release(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Database]:
    """A database at revision 0001 with a ticket in it."""
    if request.param == "sqlite":
        url, drop = f"sqlite:///{tmp_path}/old.db", None
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        name = server.create()
        url, drop = server.url(name), (server, name)
    database = Database(url)
    with database.writer.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with database.write() as session:
        for statement in FIRST_RELEASE:
            session.execute(text(statement))
    yield database
    database.dispose()
    if drop is not None:
        drop[0].drop(drop[1])


def differences(database: Database) -> list[Any]:
    """Return how the tables differ from the models."""
    with database.reader.connect() as connection:
        context = MigrationContext.configure(connection)
        found = compare_metadata(context, Base.metadata)
    return [each for each in found if OF_SEARCH not in str(each)]


def test_new_tables_are_those_of_the_models(database: Database) -> None:
    assert differences(database) == []


def test_old_tables_become_those_of_the_models(first_release: Database) -> None:
    assert upgrade(first_release)
    assert differences(first_release) == []


def test_what_was_stored_stays(first_release: Database) -> None:
    upgrade(first_release)
    with first_release.read() as session:
        stored = session.execute(
            text(
                "SELECT t.subject, t.flag, t.merged_into_id, a.text, a.sent_to, a.raw_id, "
                "q.signature FROM tickets t JOIN articles a ON a.ticket_id = t.id "
                "JOIN queues q ON q.id = t.queue_id"
            )
        ).one()
    assert tuple(stored) == ("Alt", "stranger", None, "Text", "", None, "")


@pytest.mark.parametrize("table", ["tickets", "articles"])
def test_new_flags_are_words_and_others_are_not(first_release: Database, table: str) -> None:
    """The constraint was widened, not lost."""
    upgrade(first_release)
    with first_release.write() as session:
        session.execute(text(f"UPDATE {table} SET flag = 'delivery-report'"))
    with pytest.raises(DBAPIError), first_release.write() as session:
        session.execute(text(f"UPDATE {table} SET flag = 'no-such-flag'"))


def test_guards_are_still_there(first_release: Database) -> None:
    upgrade(first_release)
    for statement in (
        "DELETE FROM articles",
        "UPDATE articles SET raw_id = 99",
        "UPDATE tickets SET merged_into_id = 99",
    ):
        with pytest.raises(DBAPIError), first_release.write() as session:
            session.execute(text(statement))


def test_a_sqlite_file_is_sound_afterwards(first_release: Database) -> None:
    if not first_release.is_sqlite:
        return
    upgrade(first_release)
    with first_release.read() as session:
        assert session.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []
