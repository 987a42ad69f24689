"""Somebody else's databases, on each system that a source can be on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.sources.crm import Crm
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


def _crm(url: str) -> Iterator[Crm]:
    engine = create_engine(url, poolclass=NullPool)
    yield Crm(engine, url)
    engine.dispose()
