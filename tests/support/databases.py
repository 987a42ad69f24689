"""Databases for tests: new, migrated, and on both systems we support.

``database`` runs the test once on SQLite and once on PostgreSQL. ``sqlite_database`` and
``postgresql_database`` are for tests of one system, and for those where it does not matter which.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.db import Database
from core.migrate import upgrade
from tests.support.postgresql import PostgresqlServer, run_postgresql


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty, migrated database of each system in turn."""
    found = request.getfixturevalue(f"{request.param}_database")
    assert isinstance(found, Database)
    return found


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated SQLite database."""
    file = tmp_path / "schalter.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.dispose()


@pytest.fixture
def postgresql_database(
    postgresql_server: PostgresqlServer, postgresql_template: str
) -> Iterator[Database]:
    """An empty, migrated PostgreSQL database."""
    name = postgresql_server.create(template=postgresql_template)
    database = Database(postgresql_server.url(name))
    yield database
    database.dispose()
    postgresql_server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that every SQLite database is a copy of."""
    file = tmp_path_factory.mktemp("template") / "schalter.db"
    _migrate(f"sqlite:///{file}")
    # Closing the last connection moves the write-ahead log into the file; a copy is then whole.
    assert not file.with_name(file.name + "-wal").exists()
    return file


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The PostgreSQL server of this test run."""
    with run_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    """The name of the database that every PostgreSQL database is a copy of."""
    name = postgresql_server.create()
    _migrate(postgresql_server.url(name))
    return name


def _migrate(url: str) -> None:
    database = Database(url)
    try:
        upgrade(database)
    finally:
        database.dispose()
