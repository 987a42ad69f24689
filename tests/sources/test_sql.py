"""Reading a table of somebody else's database, and never writing to it."""

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import delete, table
from sqlalchemy.exc import DBAPIError

from core.db import Database, foreign_engine
from core.sources.kinds.sql import SqlSource
from core.sources.records import SourceRecord
from core.sources.source import By, SourceAway
from tests.sources.crm import ANNA, BERT, COLUMNS, WITH_PASSWORD, Crm, logins, read


def records(crm: Crm, **values: Any) -> list[SourceRecord]:
    """Return all records of a source with these settings."""
    source = SqlSource(crm.section(**values), None)
    try:
        found = list(source.all_records())
        assert source.count() == len(found)
        return found
    finally:
        source.close()


def test_a_row_becomes_a_record(any_crm: Crm) -> None:
    any_crm.hold(ANNA | {"mail2": " anna@privat.example "})
    assert records(any_crm) == [
        SourceRecord(
            key="1",
            login="anna",
            customer_number="K-1000",
            customer_name="Muster GmbH",
            email="anna@muster.example",
            more_addresses=("anna@privat.example",),
            first_name="Anna",
            last_name="Müller",
            phone="0228 1",
            valid=True,
        )
    ]


def test_without_a_column_of_validity_all_are_valid(any_crm: Crm) -> None:
    any_crm.hold(ANNA | {"gueltig": 0})
    columns = {key: name for key, name in COLUMNS.items() if key not in ("valid", "key")}
    (record,) = records(any_crm, columns=columns)
    assert (record.valid, record.key) == (True, "anna")


def test_a_view_and_words_of_validity(any_crm: Crm) -> None:
    any_crm.hold(ANNA, BERT | {"gueltig": 0})
    any_crm.execute(
        "CREATE VIEW people AS SELECT *, CASE gueltig WHEN 1 THEN 'Ja' ELSE 'nein' END AS ok "
        'FROM "Kunden Benutzer"'
    )
    columns = COLUMNS | {"valid": "ok"}
    found = records(any_crm, table="people", columns=columns, valid_values=["ja"])
    assert {record.login: record.valid for record in found} == {"anna": True, "bert": False}


def test_more_rows_than_are_held_in_memory(any_crm: Crm) -> None:
    any_crm.hold(*(ANNA | {"id": number, "login": f"u{number}"} for number in range(1_201)))
    assert len(records(any_crm)) == 1_201


# Settings that name what is not there; what an injection would look like among them.
WRONG = [
    {"table": "nosuch"},
    {"columns": COLUMNS | {"phone": "nosuch"}},
    {"table": 'x"; DROP TABLE "Kunden Benutzer"; --'},
    {"columns": COLUMNS | {"phone": "tel, (SELECT 1)"}},
]


@pytest.mark.parametrize("settings", WRONG)
def test_a_wrong_name_is_told(any_crm: Crm, settings: dict[str, Any]) -> None:
    any_crm.hold(ANNA)
    with pytest.raises(SourceAway, match=r"^customer source crm: "):
        records(any_crm, **settings)
    assert len(records(any_crm)) == 1


def test_nothing_can_be_written(any_crm: Crm) -> None:
    any_crm.hold(ANNA)
    engine = foreign_engine(any_crm.url, None, 1.0)
    try:
        with (
            pytest.raises(DBAPIError, match=r"(?i)read.?only"),
            engine.begin() as connection,
        ):
            connection.execute(delete(table("Kunden Benutzer")))
    finally:
        engine.dispose()
    assert len(records(any_crm)) == 1


@pytest.mark.postgresql
def test_a_slow_statement_is_ended(postgresql_crm: Crm) -> None:
    engine = foreign_engine(postgresql_crm.url, None, 1.0)
    try:
        with pytest.raises(DBAPIError, match="statement timeout"), engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(60)")
    finally:
        engine.dispose()


@pytest.mark.postgresql
def test_a_server_that_does_not_end_it_is_given_up(postgresql_crm: Crm) -> None:
    engine = foreign_engine(postgresql_crm.url, None, 1.0)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            with pytest.raises(DBAPIError, match="does not answer in time"):
                connection.exec_driver_sql("SELECT pg_sleep(60)")
            assert connection.invalidated
    finally:
        engine.dispose()


def test_a_missing_file_is_not_made(crm: Crm, sqlite_database: Database) -> None:
    crm.hold(ANNA)
    read(sqlite_database, crm.section())
    missing = crm.section().model_copy(update={"url": f"{crm.url}.moved"})
    with pytest.raises(SourceAway, match="unable to open database file"):
        read(sqlite_database, missing)
    assert logins(sqlite_database) == {"anna": ("crm", "valid")}


def test_a_file_of_certificates_that_is_not_there(crm: Crm) -> None:
    nowhere = {"url": "mariadb://reader@127.0.0.1:1/crm?ssl_ca=/nonexistent/ca.pem"}
    section = crm.section().model_copy(update=nowhere)
    with closing(SqlSource(section, None)) as source, pytest.raises(SourceAway, match="No such"):
        source.count()


LOOK_UPS = [
    (By.KEY, ["1"], ["anna"]),
    (By.KEY, ["1", "2"], ["anna", "bert"]),
    (By.LOGIN, ["ANNA"], ["anna"]),
    (By.ADDRESS, ["Anna@Muster.Example"], ["anna"]),
    (By.ADDRESS, ["a.mueller@muster.example"], ["bert"]),  # a further address
    (By.ADDRESS, ["MÜLLER@Bücher.example"], ["anna"]),
    (By.ADDRESS, ["müller@xn--bcher-kva.example"], ["anna"]),
    (By.ADDRESS, ["muller@bücher.example"], []),
    (By.ADDRESS, ["ä@xn--strae-oqa.example"], ["Großer MÜLLER 🙂"]),
    (By.ADDRESS, ["ä@strasse.example", "no address", "@", "a@-.example"], []),
    (By.NUMBER, ["k-1000"], ["anna", "bert"]),
    (By.LOGIN, ["nobody"], []),
    (By.LOGIN, ["ann%"], []),
    (By.LOGIN, ["ann_"], []),
    (By.LOGIN, ["x\\' OR 1=1 -- "], []),
    (By.LOGIN, ["x' OR 1=1 -- "], []),
    (By.LOGIN, ["änna"], []),  # a collation may take it for "anna"
    (By.LOGIN, ["anna "], []),
    (By.LOGIN, ["anna\0", "\udcff"], []),  # no database can be asked for these
    (By.LOGIN, ["GROßER müller 🙂"], ["Großer MÜLLER 🙂"]),
    (By.KEY, ["Ä"], ["Großer MÜLLER 🙂"]),
    (By.KEY, ["ä"], []),
    (By.KEY, ["A"], []),
    (By.LOGIN, [], []),
]


@pytest.mark.parametrize(("by", "values", "logins"), LOOK_UPS)
def test_looks_records_up(any_crm: Crm, by: By, values: list[str], logins: list[str]) -> None:
    columns = COLUMNS | {"key": "name"}
    any_crm.hold(
        ANNA | {"name": "1", "mail2": "müller@xn--bcher-kva.example"},
        BERT | {"name": "2", "mail2": "A.Mueller@muster.example", "gueltig": 0},
        ANNA
        | {"name": "Ä", "login": "Großer MÜLLER 🙂", "number": "K-2", "mail": "ä@straße.example"},
    )
    with closing(SqlSource(any_crm.section(columns=columns), None)) as source:
        assert sorted(record.login for record in source.find(by, values, 10)) == logins


def test_finds_no_more_than_asked_for(any_crm: Crm) -> None:
    any_crm.hold(ANNA, BERT)
    with closing(SqlSource(any_crm.section(), None)) as source:
        assert len(source.find(By.NUMBER, ["K-1000"], 1)) == 1
        assert [found.record.login for found in source.samples(1)] == ["anna"]


def test_a_row_is_shown_as_it_is_but_for_passwords(any_crm: Crm) -> None:
    any_crm.hold(ANNA)
    any_crm.give_passwords()
    any_crm.execute('ALTER TABLE "Kunden Benutzer" ADD COLUMN api_token VARCHAR(20)')
    any_crm.execute("UPDATE \"Kunden Benutzer\" SET api_token = 'geheim'")
    with closing(SqlSource(any_crm.section(**WITH_PASSWORD), None)) as source:
        (found,) = source.look_at(By.LOGIN, "anna", 5)
    assert found.record.login == "anna"
    assert found.raw["firma"] == ("Muster GmbH",)
    assert found.raw["mail2"] == ()
    assert found.raw["pw"] == found.raw["api_token"] == ("•••",)
    assert list(found.raw)[:2] == ["id", "login"]
