"""A database of somebody else's, with customer data in it, for tests of customer sources."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, text

from core.config import SqlSourceSection
from core.db import Database
from core.models import CustomerUser, RecordConflict
from core.sources.kinds.sql import SqlSource
from core.sources.mirroring.passes import read_all
from core.sources.mirroring.verdicts import Tally

COLUMNS = {
    "key": "id",
    "login": "login",
    "customer_number": "Kunden#",
    "customer_name": "firma",
    "email": "mail",
    "more_addresses": ["mail2"],
    "first_name": "vorname",
    "last_name": "name",
    "phone": "tel",
    "valid": "gueltig",
}
PASSWORD = "Käsekuchen 2026"
STORED = hashlib.sha256(PASSWORD.encode()).hexdigest()
WITH_PASSWORD: dict[str, Any] = {"columns": COLUMNS | {"password": "pw"}}
TABLE = (
    'CREATE TABLE "Kunden Benutzer" (id INTEGER, login VARCHAR(300), "Kunden#" VARCHAR(100), '
    "firma VARCHAR(200), mail VARCHAR(200), mail2 VARCHAR(200), vorname VARCHAR(100), "
    "name VARCHAR(100), tel VARCHAR(50), gueltig INTEGER)"
)
INSERT = (
    'INSERT INTO "Kunden Benutzer" VALUES (:id, :login, :number, :firma, :mail, '
    ":mail2, :vorname, :name, :tel, :gueltig)"
)
ANNA = {
    "id": 1,
    "login": "anna",
    "number": "K-1000",
    "firma": "Muster GmbH",
    "mail": "anna@muster.example",
    "mail2": None,
    "vorname": "Anna",
    "name": "Müller",
    "tel": "0228 1",
    "gueltig": 1,
}
BERT = ANNA | {"id": 2, "login": "bert", "mail": "bert@muster.example", "vorname": "Bert"}


class Crm:
    """The database: ``engine`` is how its owner writes, ``url`` how we read it."""

    def __init__(self, engine: Engine, url: str) -> None:
        self.engine = engine
        self.url = url
        self.execute(TABLE)

    def execute(self, statement: str, **values: Any) -> None:
        """Let the owner change something."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def hold(self, *rows: Mapping[str, Any]) -> None:
        """Make these all the rows of the table."""
        with self.engine.begin() as connection:
            connection.execute(text('DELETE FROM "Kunden Benutzer"'))
            if rows:
                connection.execute(text(INSERT), [dict(row) for row in rows])

    def give_passwords(self) -> None:
        """Give the table a column ``pw`` that holds the same password for everybody."""
        self.execute('ALTER TABLE "Kunden Benutzer" ADD COLUMN pw VARCHAR(200)')
        self.execute('UPDATE "Kunden Benutzer" SET pw = :pw', pw=STORED)

    def section(self, name: str = "crm", **values: Any) -> SqlSourceSection:
        """Return the section of the configuration that names it."""
        given = {"table": "Kunden Benutzer", "columns": COLUMNS, "valid_values": ["1"], **values}
        return SqlSourceSection(name=name, kind="sql", url=self.url, **given)


def read(database: Database, section: SqlSourceSection, names: Iterable[str] = ()) -> Tally:
    """Read a whole source, as ``schalter sources sync`` does."""
    source = SqlSource(section, None)
    try:
        order = list(names) or [section.name]
        return read_all(database, source, order, source.all_records())
    finally:
        source.close()


def account(database: Database, login: str) -> CustomerUser:
    """Return an account by its login, with what belongs to it."""
    with database.read() as session:
        found = session.query(CustomerUser).filter_by(login=login).one()
        assert found.customer.id  # both are loaded now
        assert found.addresses is not None
        return found


def logins(database: Database) -> dict[str, tuple[str | None, str]]:
    """Return ``{login: (source, validity)}`` of every account."""
    with database.read() as session:
        rows = session.query(CustomerUser).all()
    return {row.login: (row.source, row.valid.value) for row in rows}


def conflicts(database: Database) -> list[tuple[str, str, str, str]]:
    """Return ``(source, key, kind, detail)`` of every conflict, sorted."""
    with database.read() as session:
        rows = session.query(RecordConflict).all()
    return sorted((row.source, row.source_key, row.kind.value, row.detail) for row in rows)
