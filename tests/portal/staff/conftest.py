"""What tests of the staff pages start from."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.db import Database
from portal.app import Portal
from tests.portal.staff.day import Day, a_day
from tests.support.portal import RunningPortal, fill, use


@dataclass(frozen=True)
class FinishedDay:
    """The file that the database of every test is a copy of, and what is in it."""

    file: Path
    tickets: dict[str, str]
    held: dict[str, int]


@pytest.fixture(scope="session")
def finished_day(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, shared_app: Portal
) -> FinishedDay:
    """A day's work, done once: it takes longer than most tests of its pages."""
    file = tmp_path_factory.mktemp("day") / "schalter.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    fill(database)
    day = a_day(RunningPortal("", database, use(shared_app, database)))
    database.dispose()
    return FinishedDay(file, day.tickets, day.held)


@pytest.fixture
def day(finished_day: FinishedDay, sqlite_database: Database, shared_app: Portal) -> Day:
    """A day's work, without a server."""
    _put(finished_day, sqlite_database)
    pages = RunningPortal("", sqlite_database, use(shared_app, sqlite_database))
    return Day(pages, finished_day.tickets, finished_day.held)


@pytest.fixture
def served_day(finished_day: FinishedDay, portal: RunningPortal) -> Day:
    """The same served to a browser."""
    _put(finished_day, portal.database)
    return Day(portal, finished_day.tickets, finished_day.held)


def _put(finished: FinishedDay, database: Database) -> None:
    """Make this database a copy; nothing has it open."""
    database.dispose()
    assert database.url.database is not None
    for file in Path(database.url.database).parent.glob("schalter.db*"):
        file.unlink()
    shutil.copyfile(finished.file, database.url.database)
