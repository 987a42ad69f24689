"""Somebody else's databases, on each system that a source can be on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.sources.crm import Crm
from tests.support.mariadb import MariadbServer, run_mariadb
from tests.support.postgresql import PostgresqlServer


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """A CRM on SQLite."""
    yield from _crm(f"sqlite:///{tmp_path}/crm.db")


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[Crm]:
    """A second database of the same shape, for what two sources disagree about."""
    yield from _crm(f"sqlite:///{tmp_path}/erp.db")


@pytest.fixture
def postgresql_crm(postgresql_server: PostgresqlServer) -> Iterator[Crm]:
    """A CRM on PostgreSQL, in a database of its own."""
    name = postgresql_server.create()
    yield from _crm(postgresql_server.url(name))
    postgresql_server.drop(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """The MariaDB server of this test run."""
    with run_mariadb() as (server, _process):
        yield server


@pytest.fixture
def mariadb_crm(mariadb_server: MariadbServer) -> Iterator[Crm]:
    """A CRM on MariaDB, in a database of its own."""
    name = mariadb_server.create()
    # Its owner writes names in double quotes, as on the other systems; we read with backticks.
    yield from _crm(mariadb_server.url(name), {"sql_mode": "ANSI_QUOTES"})
    mariadb_server.drop(name)


@pytest.fixture(
    params=[
        "crm",
        pytest.param("postgresql_crm", marks=pytest.mark.postgresql),
        pytest.param("mariadb_crm", marks=pytest.mark.mariadb),
    ]
)
def any_crm(request: pytest.FixtureRequest) -> Crm:
    """A CRM on each system in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Crm)
    return found


def _crm(url: str, arguments: Mapping[str, str] | None = None) -> Iterator[Crm]:
    engine = create_engine(url, poolclass=NullPool, connect_args=dict(arguments or {}))
    yield Crm(engine, url)
    engine.dispose()
