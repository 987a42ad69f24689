"""Passwords that were kept at a sign-in, and copies that become accounts which are kept here."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from core.accounts.password_links import answer_requests, ask_for_password
from core.accounts.passwords import hash_password, verify_password
from core.accounts.signing_in import SignInFailed
from core.audit import SYSTEM
from core.db import Database
from core.models import AuditEvent, Customer, CustomerUser
from core.sources import adopt as adopting
from core.sources.adopt import Adoption, adopt, plan_adoption
from core.sources.asking.live import LiveSources
from core.sources.mirroring.mirror import Mirror
from tests.sources.crm import (
    ANNA,
    BERT,
    PASSWORD,
    WITH_PASSWORD,
    Crm,
    account,
    conflicts,
    logins,
    read,
)
from tests.sources.live import live, section_of
from tests.sources.test_sign_in import enter

NEW_PASSWORD = "Streuselkuchen 2027"
NO_SOURCES = LiveSources([], [])
KEEPING = WITH_PASSWORD | {"keep_passwords": True}


@pytest.fixture
def sources(database: Database, crm: Crm) -> Iterator[LiveSources]:
    """A source with Anna and Bert, who were brought in, and which keeps passwords."""
    crm.hold(ANNA | {"login": "s.anna"}, BERT | {"login": "s.bert"})
    crm.give_passwords()
    read(database, crm.section(**KEEPING))
    with live(section_of(crm, **KEEPING)) as (sources, _watched):
        yield sources


def kept(database: Database, login: str = "s.anna") -> str | None:
    return account(database, login).password_hash


def change_password_there(crm: Crm, password: str) -> None:
    crm.execute('UPDATE "Kunden Benutzer" SET pw = :pw', pw=hash_password(password))


def test_a_password_that_was_right_is_kept(database: Database, sources: LiveSources) -> None:
    version = account(database, "s.anna").version
    enter(database, sources)
    first = kept(database)
    assert verify_password(PASSWORD, first)
    enter(database, sources)
    assert kept(database) == first
    assert account(database, "s.anna").version == version
    assert kept(database, "s.bert") is None


def test_a_wrong_one_is_not(database: Database, sources: LiveSources) -> None:
    with pytest.raises(SignInFailed):
        enter(database, sources, password="wrong")
    assert kept(database) is None


def test_the_source_alone_says_what_is_right(
    database: Database, crm: Crm, sources: LiveSources
) -> None:
    enter(database, sources)
    change_password_there(crm, NEW_PASSWORD)
    with pytest.raises(SignInFailed):
        enter(database, sources, password=PASSWORD)
    enter(database, sources, password=NEW_PASSWORD)
    assert verify_password(NEW_PASSWORD, kept(database))
    with pytest.raises(SignInFailed):
        enter(database, NO_SOURCES, password=NEW_PASSWORD)
    crm.execute('DROP TABLE "Kunden Benutzer"')
    with pytest.raises(SignInFailed):
        enter(database, sources, password=NEW_PASSWORD)


def test_what_is_kept_goes_when_the_source_does_not_want_it(
    database: Database, crm: Crm, sources: LiveSources
) -> None:
    enter(database, sources)
    with live(section_of(crm, **WITH_PASSWORD)) as (not_keeping, _watched):
        enter(database, not_keeping)
    assert kept(database) is None


def test_adopted_accounts_are_kept_here(
    database: Database, crm: Crm, erp: Crm, sources: LiveSources
) -> None:
    enter(database, sources)
    erp.hold(ANNA | {"login": "e.eva", "number": "E-1", "mail": "eva@erp.example"})
    read(database, erp.section("erp"), ["crm", "erp"])
    expected = Adoption(accounts=2, with_password=1, without_password=1, customers=1)
    with database.read() as session:
        assert plan_adoption(session, "crm") == expected
    assert adopt(database, SYSTEM, "crm") == expected

    assert {login: source for login, (source, _valid) in logins(database).items()} == {
        "s.anna": None,
        "s.bert": None,
        "e.eva": "erp",
    }
    assert account(database, "s.anna").source_key is None
    with database.read() as session:
        customers = session.execute(select(Customer.number, Customer.source)).all()
        events = session.scalars(select(AuditEvent).where(AuditEvent.action == "kept-here")).all()
    assert {row.number: row.source for row in customers} == {"K-1000": None, "E-1": "erp"}
    assert {(event.object_name, event.before["source"]) for event in events if event.before} == {
        ("K-1000 Muster GmbH", "crm"),
        ("s.anna", "crm"),
        ("s.bert", "crm"),
    }
    assert enter(database, NO_SOURCES).account.login == "s.anna"
    with pytest.raises(SignInFailed):
        enter(database, NO_SOURCES, "s.bert")


def test_who_has_no_password_gets_a_link(database: Database, sources: LiveSources) -> None:
    def answered() -> int:
        with database.write() as session:
            ask_for_password(session, "s.bert", staff=False, language="de", peer="192.0.2.1")
        with database.write() as session:
            return answer_requests(session)

    assert answered() == 0
    adopt(database, SYSTEM, "crm")
    assert answered() == 1


def test_the_source_does_not_take_them_back(
    database: Database, crm: Crm, sources: LiveSources
) -> None:
    adopt(database, SYSTEM, "crm")
    crm.execute('UPDATE "Kunden Benutzer" SET tel = :tel', tel="0228 999")
    assert read(database, crm.section(**KEEPING)).refused == 2
    assert logins(database) == {"s.anna": (None, "valid"), "s.bert": (None, "valid")}
    assert account(database, "s.anna").phone == "0228 1"
    assert [(key, kind) for _source, key, kind, _detail in conflicts(database)] == [
        ("1", "login"),
        ("2", "login"),
    ]


def test_a_look_up_does_not_take_them_back(
    database: Database, crm: Crm, sources: LiveSources
) -> None:
    enter(database, sources)
    adopt(database, SYSTEM, "crm")
    change_password_there(crm, NEW_PASSWORD)
    assert enter(database, sources).account.login == "s.anna"  # who is looked up there first
    with pytest.raises(SignInFailed):
        enter(database, sources, password=NEW_PASSWORD)
    assert logins(database) == {"s.anna": (None, "valid"), "s.bert": (None, "valid")}


def test_a_pass_that_runs_makes_none_of_them_invalid(
    database: Database, sources: LiveSources
) -> None:
    with database.read() as session:
        accounts = session.scalars(select(CustomerUser.id)).all()
    adopt(database, SYSTEM, "crm")
    with database.write() as session:
        Mirror("crm", ["crm"]).vanish(session, accounts, "gone")
    assert logins(database) == {"s.anna": (None, "valid"), "s.bert": (None, "valid")}


def test_more_than_one_transaction_holds(
    database: Database, sources: LiveSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting, "ROWS_AT_ONCE", 1)
    assert adopt(database, SYSTEM, "crm").accounts == 2
    assert {source for source, _valid in logins(database).values()} == {None}
    assert adopt(database, SYSTEM, "crm").accounts == 0
