"""Signing in with the password that is in the source."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.accounts.passwords import hash_password, set_password
from core.accounts.sessions import Visit
from core.accounts.signing_in import SignedIn, SignInFailed, change_password, sign_in
from core.accounts.single_sign_on import NobodyNamed, sign_in_with_claims
from core.config import SingleSignOnSection
from core.db import Database
from core.errors import Invalid
from core.models import CustomerUser, WebSession, now
from core.sources.asking.live import LiveSources
from core.words import AccountKind
from tests.accounts import people
from tests.sources.crm import (
    ANNA,
    BERT,
    PASSWORD,
    STORED,
    WITH_PASSWORD,
    Crm,
    account,
    logins,
    read,
)
from tests.sources.live import live, section_of

KEPT_HERE = replace(people.ANNA, email="anna@privat.example")


@pytest.fixture
def sources(sqlite_database: Database, crm: Crm) -> Iterator[LiveSources]:
    """A source with Anna and Bert, who were brought in; both have the same password."""
    crm.hold(ANNA | {"login": "s.anna"}, BERT | {"login": "s.bert"})
    crm.give_passwords()
    read(sqlite_database, crm.section(**WITH_PASSWORD))
    with live(section_of(crm, **WITH_PASSWORD)) as (sources, _watched):
        yield sources


def enter(
    database: Database,
    sources: LiveSources,
    login: str = "s.anna",
    password: str = PASSWORD,
) -> SignedIn:
    """Sign a customer user in."""
    return sign_in(
        database, AccountKind.CUSTOMER, login, password, peer="192.0.2.1", agent="", sources=sources
    )


@pytest.mark.parametrize("login", ["s.anna", "S.ANNA", "anna@muster.example"])
def test_who_has_the_password_is_signed_in(
    sqlite_database: Database, sources: LiveSources, login: str
) -> None:
    signed_in = enter(sqlite_database, sources, login)
    assert signed_in.account.login == "s.anna"
    assert account(sqlite_database, "s.anna").password_hash is None


@pytest.mark.parametrize("password", ["", "wrong", STORED, "x" * 5_000])
def test_who_has_not_is_refused(
    sqlite_database: Database, sources: LiveSources, password: str
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
    sqlite_database: Database, crm: Crm, sources: LiveSources, change: str
) -> None:
    crm.execute(change)
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources)


def test_who_is_valid_there_again_is_signed_in(
    sqlite_database: Database, crm: Crm, sources: LiveSources
) -> None:
    crm.execute('UPDATE "Kunden Benutzer" SET gueltig = 0')
    read(sqlite_database, crm.section(**WITH_PASSWORD))
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources)
    crm.execute('UPDATE "Kunden Benutzer" SET gueltig = 1')
    assert enter(sqlite_database, sources).account.login == "s.anna"


@pytest.mark.parametrize("login", ["new", "NEW", "new@muster.example"])
def test_who_is_new_there_is_signed_in(
    sqlite_database: Database, crm: Crm, sources: LiveSources, login: str
) -> None:
    crm.execute(
        'INSERT INTO "Kunden Benutzer" SELECT 9, \'new\', "Kunden#", firma, '
        "'new@muster.example', mail2, vorname, name, tel, gueltig, pw "
        'FROM "Kunden Benutzer" WHERE id = 1'
    )
    assert enter(sqlite_database, sources, login).account.login == "new"


def test_who_is_gone_there_is_invalid_here(
    sqlite_database: Database, crm: Crm, sources: LiveSources
) -> None:
    crm.execute('DELETE FROM "Kunden Benutzer" WHERE id = 1')
    with pytest.raises(SignInFailed):
        enter(sqlite_database, sources)
    assert logins(sqlite_database) == {"s.anna": ("crm", "invalid"), "s.bert": ("crm", "valid")}


class TestVouchedFor:
    """Who is named by an identity provider is looked up, too: no password is asked for there."""

    PROVIDER = SingleSignOnSection(
        name="firm", label="Firm", issuer="https://id.example", client_id="schalter",
        accounts="customers", claim="sub", matches="login",
    )  # fmt: skip

    def enter(self, database: Database, sources: LiveSources, login: str) -> str:
        return sign_in_with_claims(
            database, AccountKind.CUSTOMER, self.PROVIDER, {"sub": login},
            peer="192.0.2.1", agent="", sources=sources,
        )  # fmt: skip

    def test_who_is_new_there(
        self, sqlite_database: Database, crm: Crm, sources: LiveSources
    ) -> None:
        crm.execute("UPDATE \"Kunden Benutzer\" SET id = 9, login = 'new' WHERE id = 1")
        assert self.enter(sqlite_database, sources, "new")

    def test_who_is_gone_there(
        self, sqlite_database: Database, crm: Crm, sources: LiveSources
    ) -> None:
        crm.execute('DELETE FROM "Kunden Benutzer" WHERE id = 1')
        with pytest.raises(NobodyNamed):
            self.enter(sqlite_database, sources, "s.anna")
        assert self.enter(sqlite_database, sources, "s.bert")


class TestAway:
    """While a source is away nobody learns from that which logins exist, nor waits long for it."""

    def told(self, database: Database, sources: LiveSources, login: str) -> str:
        with pytest.raises(SignInFailed) as refused:
            enter(database, sources, login, "wrong")
        return str(refused.value)

    def test_the_text_is_the_same_for_everybody(
        self, sqlite_database: Database, crm: Crm, sources: LiveSources
    ) -> None:
        people.saved(sqlite_database, KEPT_HERE)
        names = ["s.anna", "anna", "nobody", "nobody@muster.example"]
        before = {self.told(sqlite_database, sources, name) for name in names}
        crm.execute('DROP TABLE "Kunden Benutzer"')
        after = {self.told(sqlite_database, sources, name) for name in names}
        assert before == {"Login or password is not correct."}
        assert len(after) == 1
        assert "not every account can be looked up" in after.pop()

    def test_what_was_asked_before_makes_no_difference(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        section = section_of(crm, **WITH_PASSWORD, cache_seconds=60)
        with live(section) as (sources, _watched):
            self.told(sqlite_database, sources, "s.anna")
            crm.execute('DROP TABLE "Kunden Benutzer"')
            after = {self.told(sqlite_database, sources, name) for name in ("s.anna", "nobody")}
        assert len(after) == 1
        assert "not every account can be looked up" in after.pop()

    def test_who_is_kept_here_signs_in(
        self, sqlite_database: Database, crm: Crm, sources: LiveSources
    ) -> None:
        anna = people.saved(sqlite_database, KEPT_HERE)
        with sqlite_database.write() as session:
            stored = session.get_one(CustomerUser, anna.id)
            set_password(session, people.ADMIN, stored, hash_password(PASSWORD))
        crm.execute('DROP TABLE "Kunden Benutzer"')
        assert enter(sqlite_database, sources, "anna").account.login == "anna"

    def test_a_stalled_source_is_waited_for_only_at_first(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 0.5)
        with live(section_of(crm, **WITH_PASSWORD)) as (sources, (watched,)):
            watched.stall()
            for _time in range(2):
                assert "looked up" in self.told(sqlite_database, sources, "s.anna")
            assert "looked up" in self.told(sqlite_database, sources, "s.bert")
            assert len(watched.asked) == 2


def test_without_the_source_nobody_is_signed_in(
    sqlite_database: Database, crm: Crm, sources: LiveSources
) -> None:
    with pytest.raises(SignInFailed):
        enter(sqlite_database, LiveSources([], []))
    with live(section_of(crm)) as (no_passwords, _watched), pytest.raises(SignInFailed):
        enter(sqlite_database, no_passwords)


def test_the_password_is_not_changed_here(sqlite_database: Database, sources: LiveSources) -> None:
    signed_in = enter(sqlite_database, sources)
    visit = Visit(signed_in.account, b"", now())
    with pytest.raises(Invalid, match="kept in the customer source"):
        change_password(sqlite_database, visit, PASSWORD, "another password", peer="192.0.2.1")
