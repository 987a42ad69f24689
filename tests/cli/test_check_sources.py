"""What ``schalter check`` says about each customer source."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.config import AnySourceSection, Config
from core.db import Database
from core.health import Check, State, check_sources
from core.models import CustomerSource, RecordConflict, now
from core.words import SourceConflict
from tests.sources.crm import ANNA, COLUMNS, Crm, read
from tests.sources.firm import MAP, PEOPLE, section_of
from tests.support.slapd import run_slapd


def checked(database: Database, *sections: AnySourceSection) -> list[Check]:
    return list(check_sources(Config(customer_sources=list(sections)), database))


@pytest.fixture
def read_crm(sqlite_database: Database, crm: Crm) -> Crm:
    """A source that was read just now."""
    crm.hold(ANNA)
    read(sqlite_database, crm.section())
    return crm


def change(database: Database, **values: Any) -> None:
    with database.write() as session:
        state = session.get(CustomerSource, "crm")
        assert state is not None
        for name, value in values.items():
            setattr(state, name, value)


def test_one_that_is_in_order(sqlite_database: Database, read_crm: Crm) -> None:
    (check,) = checked(sqlite_database, read_crm.section())
    assert (check.name, check.state) == ("source crm", State.OK)
    assert check.text.startswith("1 records, all read 20")
    assert check.text.endswith(" UTC")


def test_no_source_is_no_check(sqlite_database: Database) -> None:
    assert checked(sqlite_database) == []


def test_one_that_was_never_read(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA, ANNA | {"id": 2, "login": "b"})
    (check,) = checked(sqlite_database, crm.section())
    assert check.state is State.WARNING
    assert check.text == "2 records; never read: run schalter sources sync crm"


def test_one_without_a_record_is_missing_nothing(sqlite_database: Database, read_crm: Crm) -> None:
    read_crm.hold()
    (check,) = checked(sqlite_database, read_crm.section())
    assert check.text.startswith("0 records, all read")
    assert "none of" not in check.text


# How often it is read, when it was last, and whether that is worth a warning.
AGES = [
    (60, timedelta(minutes=119), State.OK),
    (60, timedelta(minutes=121), State.WARNING),
    (1, timedelta(minutes=3), State.WARNING),
    (0, timedelta(hours=23), State.OK),
    (0, timedelta(hours=25), State.WARNING),
]


@pytest.mark.parametrize(("minutes", "age", "state"), AGES)
def test_the_age_of_what_was_read(
    sqlite_database: Database, read_crm: Crm, minutes: int, age: timedelta, state: State
) -> None:
    change(sqlite_database, last_pass_at=now() - age)
    (check,) = checked(sqlite_database, read_crm.section(sync_minutes=minutes))
    assert check.state is state
    assert ("too long ago" in check.text) is (state is State.WARNING)


def test_conflicts_are_a_warning(sqlite_database: Database, read_crm: Crm) -> None:
    with sqlite_database.write() as session:
        for source in ("crm", "crm", "erp"):
            session.add(
                RecordConflict(
                    source=source,
                    source_key="1",
                    login="x",
                    kind=SourceConflict.FAULTY,
                    detail="",
                )
            )
    (check,) = checked(sqlite_database, read_crm.section())
    assert check.state is State.WARNING
    assert "conflicts: 2" in check.text


# What its owner or ours has changed, and what is told.
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ('DROP TABLE "Kunden Benutzer"', {}, "no such table"),
    ("SELECT 1", {"columns": COLUMNS | {"phone": "telefon"}}, "no such column"),
    ("SELECT 1", {"table": "Kunden"}, "no such table"),
    ("SELECT 1", {"password_file": "/nowhere"}, "password_file /nowhere: No such file"),
]


@pytest.mark.parametrize(("statement", "values", "told"), BROKEN)
def test_what_is_broken_fails_and_hinders_no_other(
    sqlite_database: Database,
    read_crm: Crm,
    erp: Crm,
    statement: str,
    values: dict[str, Any],
    told: str,
) -> None:
    read_crm.execute(statement)
    erp.hold(ANNA)
    first, second = checked(sqlite_database, read_crm.section(**values), erp.section("erp"))
    assert first.state is State.FAILED
    assert told in first.text
    assert second.state is State.WARNING


def test_a_database_that_does_not_answer(
    sqlite_database: Database, read_crm: Crm, tmp_path: Path
) -> None:
    section = read_crm.section().model_copy(update={"url": "postgresql://r@127.0.0.1:1/crm"})
    (check,) = checked(sqlite_database, section)
    assert check.state is State.FAILED
    assert "127.0.0.1" in check.text


def test_an_attribute_that_no_entry_has(sqlite_database: Database) -> None:
    with run_slapd(PEOPLE) as slapd:
        wrong = MAP | {"mobile": "mobil", "more_addresses": ["proxyaddresses", "mails"]}
        sections = section_of(slapd), section_of(slapd, name="wrong", attributes=wrong)
        right, other = checked(sqlite_database, *sections)
    assert "none of" not in right.text
    assert "none of 3 records has mails, mobil: look at its map" in other.text
    assert other.state is State.WARNING
    (away,) = checked(sqlite_database, sections[0])
    assert away.state is State.FAILED
