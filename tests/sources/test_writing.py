"""Fields of a copy that may be changed here: written to the source first, then stored here."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from core.accounts.customer_users import customer_user_values
from core.audit import Actor
from core.db import Database
from core.errors import Invalid, InvalidFields, Stale
from core.models import AuditEvent, CustomerUser
from core.sources.source import SourceAway
from core.sources.writing import SqlWriter, Written, save_written, writable_fields, write_to_source
from core.words import ActorKind
from tests.sources.crm import ANNA, BERT, Crm, account, read

WRITABLE = {"writable": ["email", "phone", "first_name"]}
ADMIN = Actor(ActorKind.STAFF, None, "admin")


@pytest.fixture
def here(sqlite_database: Database, any_crm: Crm) -> Database:
    """Anna and Bert of a source whose phone, address and first name may be changed here."""
    any_crm.hold(
        ANNA | {"tel": " 0228 1 "}, BERT | {"tel": None, "mail2": "b@privat.example", "name": "M"}
    )
    read(sqlite_database, any_crm.section(**WRITABLE))
    return sqlite_database


def rows(crm: Crm, column: str = "tel") -> dict[str, Any]:
    """Return what the source has, by login."""
    with crm.engine.connect() as connection:
        found = connection.execute(text(f'SELECT login, {column} FROM "Kunden Benutzer"')).all()
    return {row[0]: row[1] for row in found}


def write(
    database: Database, crm: Crm, login: str = "anna", version: int | None = None, **values: Any
) -> Written | None:
    """Write some values of an account to its source."""
    found = account(database, login)
    return write_to_source(
        database,
        [crm.section(**WRITABLE)],
        found.id,
        replace(customer_user_values(found), **values),
        found.version if version is None else version,
    )


def save(database: Database, crm: Crm, login: str = "anna", **values: Any) -> None:
    """Write some values and store them here, as a page does."""
    before = account(database, login)
    wanted = replace(customer_user_values(before), **values)
    written = write(database, crm, login, **values)
    assert written is not None
    with database.write() as session:
        current = session.get_one(CustomerUser, before.id)
        sections = [crm.section(**WRITABLE)]
        save_written(session, ADMIN, sections, current, wanted, before.version, written)


def test_a_change_goes_to_the_source_and_then_here(here: Database, any_crm: Crm) -> None:
    save(here, any_crm, phone="0228 99", email="Anna@neu.example", comment="asked by phone")
    assert rows(any_crm) == {"anna": "0228 99", "bert": None}
    assert rows(any_crm, "mail")["anna"] == "Anna@neu.example"
    changed = account(here, "anna")
    assert (changed.phone, changed.email) == ("0228 99", "Anna@neu.example")
    assert (changed.comment, changed.source) == ("asked by phone", "crm")
    with here.read() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert event is not None
    assert (event.actor_name, event.action, event.object_name) == ("admin", "changed", "anna")
    assert read(here, any_crm.section(**WRITABLE)).changed == 0


def test_what_was_empty_there(here: Database, any_crm: Crm) -> None:
    save(here, any_crm, "bert", phone="1")
    save(here, any_crm, "bert", phone="")
    assert rows(any_crm)["bert"] == ""


def test_nothing_is_written_where_nothing_has_changed(here: Database, any_crm: Crm) -> None:
    assert write(here, any_crm, comment="only here") is None
    assert rows(any_crm)["anna"] == " 0228 1 "


@pytest.mark.parametrize("column", ["tel = '0228 2'", "mail = 'ANNA@muster.example'"])
def test_a_change_there_meanwhile_is_noticed(here: Database, any_crm: Crm, column: str) -> None:
    any_crm.execute(f'UPDATE "Kunden Benutzer" SET {column}')
    with pytest.raises(Stale, match="has changed in the customer source"):
        write(here, any_crm, phone="0228 99", email="anna@neu.example")
    assert "0228 99" not in rows(any_crm).values()
    assert account(here, "anna").phone == rows(any_crm)["anna"].strip()  # was brought in


def test_a_change_in_the_same_moment_is_noticed(here: Database, any_crm: Crm) -> None:
    with closing(SqlWriter(any_crm.section(**WRITABLE))) as writer:
        row = writer.read("1")
        assert row is not None
        for tel in ("0228 2", None, "0228 1"):  # white space counts, too
            any_crm.execute('UPDATE "Kunden Benutzer" SET tel = :tel', tel=tel)
            assert writer.write(row, {"phone": "0228 99"}) is None
        assert rows(any_crm)["anna"] == "0228 1"
        row = writer.read("1")
        assert row is not None
        any_crm.execute('UPDATE "Kunden Benutzer" SET mail = :mail', mail="x@muster.example")
        changed = writer.write(row, {"phone": "0228 99"})
        assert changed is not None  # what else has changed does not matter
        assert (changed.phone, changed.email) == ("0228 99", "x@muster.example")


@pytest.mark.parametrize("statement", ["DELETE FROM", "UPDATE"])
def test_exactly_one_row_or_none(here: Database, any_crm: Crm, statement: str) -> None:
    with closing(SqlWriter(any_crm.section(**WRITABLE))) as writer:
        row = writer.read("1")
        assert row is not None
        what_happens = {
            "DELETE FROM": 'DELETE FROM "Kunden Benutzer" WHERE id = 1',
            "UPDATE": "UPDATE \"Kunden Benutzer\" SET id = 1, tel = ' 0228 1 '",
        }
        any_crm.execute(what_happens[statement])
        assert writer.write(row, {"phone": "0228 99"}) is None
        assert writer.read("1") is None
    with pytest.raises(Stale):
        write(here, any_crm, phone="0228 99")
    assert "0228 99" not in rows(any_crm).values()


def test_what_has_changed_here_meanwhile(here: Database, any_crm: Crm) -> None:
    with pytest.raises(Stale, match="Somebody else"):
        write(here, any_crm, version=0, phone="0228 99")
    assert rows(any_crm)["anna"] == " 0228 1 "


WRONG = {
    "no address": {"email": "anna"},
    "the address of somebody else": {"email": "b@privat.example"},
    "required": {"first_name": ""},
    "too long": {"phone": "1" * 51},
    "not writable": {"last_name": "Maier", "phone": "0228 99"},
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG)
def test_what_would_not_be_stored_is_not_written(
    here: Database, any_crm: Crm, values: dict[str, Any]
) -> None:
    with pytest.raises(InvalidFields):
        write(here, any_crm, **values)
    assert rows(any_crm)["anna"] == " 0228 1 "
    assert rows(any_crm, "vorname")["anna"] == "Anna"


@pytest.mark.postgresql
@pytest.mark.mariadb
@pytest.mark.parametrize("system", ["postgresql_crm", "mariadb_crm"])
def test_what_the_source_refuses_stands_beside_the_field(
    request: pytest.FixtureRequest, sqlite_database: Database, system: str
) -> None:
    crm: Crm = request.getfixturevalue(system)
    crm.hold(ANNA)
    crm.execute("ALTER TABLE \"Kunden Benutzer\" ADD CHECK (tel IS NULL OR tel LIKE '0%')")
    read(sqlite_database, crm.section(**WRITABLE))
    with pytest.raises(Invalid, match="has not taken the change") as refused:
        write(sqlite_database, crm, phone="+49")
    assert refused.value.field == "phone"
    assert rows(crm)["anna"] == "0228 1"


def test_a_source_that_is_away(here: Database, any_crm: Crm) -> None:
    any_crm.execute('DROP TABLE "Kunden Benutzer"')
    with pytest.raises(SourceAway):
        write(here, any_crm, phone="0228 99")
    assert account(here, "anna").phone == "0228 1"


def test_without_a_writable_field_there_is_no_second_way_in(here: Database, any_crm: Crm) -> None:
    found = account(here, "anna")
    wanted = replace(customer_user_values(found), phone="0228 99")
    for sections in ([any_crm.section()], [any_crm.section("erp", **WRITABLE)], []):
        assert write_to_source(here, sections, found.id, wanted, found.version) is None
    assert writable_fields(any_crm.section()) == writable_fields(None) == frozenset()
    assert rows(any_crm)["anna"] == " 0228 1 "


@pytest.mark.parametrize("field", ["password", "login", "customer_number", "key", "comment"])
def test_what_can_never_be_written(crm: Crm, field: str) -> None:
    with pytest.raises(ValidationError, match="no field with a column that can be changed"):
        crm.section(writable=[field])
