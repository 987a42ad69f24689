"""What tests of outgoing mail share."""

from pathlib import Path

import pytest

from core.db import Database
from tests.outgoing.automatic import an_office
from tests.outgoing.sending import Postbox


@pytest.fixture
def postbox(database: Database, tmp_path: Path) -> Postbox:
    """An empty outbox on each system in turn."""
    return Postbox(an_office(database, tmp_path), tmp_path)


@pytest.fixture
def small_postbox(sqlite_database: Database, tmp_path: Path) -> Postbox:
    """An empty outbox on SQLite, where the system does not matter."""
    return Postbox(an_office(sqlite_database, tmp_path), tmp_path)
