"""Signing in with the password that is in the source."""

from collections.abc import Iterator, Sequence

import pytest

from core.accounts.sessions import Visit
from core.accounts.signing_in import SignedIn, SignInFailed, change_password, sign_in
from core.db import Database
from core.errors import Invalid
from core.models import WebSession, now
from core.sources.source import CustomerSource
from core.sources.sql import SqlSource
from core.words import AccountKind
from tests.sources.crm import ANNA, BERT, PASSWORD, STORED, WITH_PASSWORD, Crm, account, read


@pytest.fixture
def sources(sqlite_database: Database, crm: Crm) -> Iterator[Sequence[CustomerSource]]:
    """A source with Anna and Bert, who were brought in; both have the same password."""
    crm.hold(ANNA | {"login": "s.anna"}, BERT | {"login": "s.bert"})
    crm.give_passwords()
    read(sqlite_database, crm.section(**WITH_PASSWORD))
    source = SqlSource(crm.section(**WITH_PASSWORD), None)
    yield [source]
    source.close()


def enter(
    database: Database,
    sources: Sequence[CustomerSource],
    login: str = "s.anna",
    password: str = PASSWORD,
) -> SignedIn:
    """Sign a customer user in."""
    return sign_in(
        database, AccountKind.CUSTOMER, login, password, peer="192.0.2.1", agent="", sources=sources
    )


@pytest.mark.parametrize("login", ["s.anna", "S.ANNA", "anna@muster.example"])
def test_who_has_the_password_is_signed_in(
    sqlite_database: Database, sources: Sequence[CustomerSource], login: str
) -> None:
    signed_in = enter(sqlite_database, sources, login)
    assert signed_in.account.login == "s.anna"
    assert account(sqlite_database, "s.anna").password_hash is None


@pytest.mark.parametrize("password", ["", "wrong", STORED, "x" * 5_000])
def test_who_has_not_is_refused(
    sqlite_database: Database, sources: Sequence[CustomerSource], password: str
) -> None:
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources, password=password)
    with sqlite_database.read() as session:
        assert session.query(WebSession).count() == 0


# What its owner has done to the source since it was read, and why that ends the access at once.
CHANGES = {
    "invalid there": 'UPDATE "Kunden Benutzer" SET gueltig = 0',
    "gone": 'DELETE FROM "Kunden Benutzer"',
    "no password": 'UPDATE "Kunden Benutzer" SET pw = NULL',
    "key not unique": 'UPDATE "Kunden Benutzer" SET id = 1',
    "away": 'DROP TABLE "Kunden Benutzer"',
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_source_is_asked_each_time(
    sqlite_database: Database, crm: Crm, sources: Sequence[CustomerSource], change: str
) -> None:
    crm.execute(change)
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources)


def test_an_invalid_copy_is_refused(
    sqlite_database: Database, crm: Crm, sources: Sequence[CustomerSource]
) -> None:
    crm.execute('UPDATE "Kunden Benutzer" SET gueltig = 0')
    read(sqlite_database, crm.section(**WITH_PASSWORD))
    crm.execute('UPDATE "Kunden Benutzer" SET gueltig = 1')
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources)


def test_without_the_source_nobody_is_signed_in(
    sqlite_database: Database, crm: Crm, sources: Sequence[CustomerSource]
) -> None:
    with pytest.raises(SignInFailed):
        enter(sqlite_database, [])
    no_passwords = SqlSource(crm.section(), None)
    with pytest.raises(SignInFailed):
        enter(sqlite_database, [no_passwords])
    no_passwords.close()


def test_the_password_is_not_changed_here(
    sqlite_database: Database, sources: Sequence[CustomerSource]
) -> None:
    signed_in = enter(sqlite_database, sources)
    visit = Visit(signed_in.account, b"", now())
    with pytest.raises(Invalid, match="kept in the customer source"):
        change_password(sqlite_database, visit, PASSWORD, "another password", peer="192.0.2.1")
