"""Signing in: who gets in by what, that every refusal is alike, and how guessing is slowed down."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, text, update

from core.accounts import signing_in
from core.accounts.customer_users import save_customer_user
from core.accounts.passwords import needs_new_hash, set_password
from core.accounts.sessions import Visit, visit_of
from core.accounts.signing_in import SignedIn, SignInFailed, change_password, sign_in
from core.accounts.staff import save_staff, staff_with_login
from core.db import Database
from core.errors import Invalid, SchalterError, Stale
from core.i18n import in_language
from core.models import AuditEvent, CustomerUser, SignInThrottle, Staff, WebSession
from core.settings import Settings
from core.words import AccountKind, Validity
from tests.accounts.people import (
    ADMIN,
    ANNA,
    BERT,
    JONAS,
    ROOT,
    at_the_same_time,
    customers,
    events,
    saved,
    staff_saved,
    the_account,
    the_customer,
)
from tests.accounts.test_passwords import HASH, PASSWORD

CUSTOMER, STAFF = AccountKind.CUSTOMER, AccountKind.STAFF
HERE, THERE = "192.0.2.1", "198.51.100.7"
OFFICE = "office@muster.example"


@pytest.fixture
def people(database: Database) -> Database:
    """Anna with three addresses, Bert who shares one, Jonas, an admin; one password for all."""
    return filled(database)


@pytest.fixture
def sqlite_people(sqlite_database: Database) -> Database:
    """The same people, where it does not matter which system the database is."""
    return filled(sqlite_database)


def filled(database: Database) -> Database:
    """Store these people and their password."""
    customers(database)
    saved(
        database,
        replace(ANNA, login="Anna", more_addresses=("müller@bücher.example", OFFICE)),
        replace(BERT, more_addresses=(OFFICE,), share_address=True),
    )
    staff_saved(database, ROOT)
    staff_saved(database, JONAS)
    with database.write() as session:
        session.execute(update(CustomerUser).values(password_hash=HASH))
        session.execute(update(Staff).values(password_hash=HASH))
    return database


def attempt(
    database: Database,
    login: str = "anna",
    password: str = PASSWORD,
    *,
    kind: AccountKind = CUSTOMER,
    peer: str = HERE,
) -> SignedIn:
    """Try to sign in."""
    return sign_in(database, kind, login, password, peer=peer, agent="Firefox")


def refusal(
    database: Database, login: str = "anna", password: str = "wrong", **more: object
) -> str:
    """Try to sign in in vain; return the text of the refusal."""
    with pytest.raises(SignInFailed) as refused:
        attempt(database, login, password, **more)
    return str(refused.value)


def waiting(database: Database, login: str = "anna", **more: object) -> int:
    """Try to sign in with a wrong password; return how long to wait before it is looked at."""
    with pytest.raises(SignInFailed) as refused:
        attempt(database, login, "wrong", **more)
    return refused.value.wait_seconds


def time_passes(database: Database, time: timedelta) -> None:
    """Let everything that is remembered of attempts be so much older."""
    with database.write() as session:
        for row in session.scalars(select(SignInThrottle)):
            row.last_failure_at -= time


def while_verifying(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Have something changed while a password is looked at, outside any transaction."""
    verify = signing_in.verify_password

    def meanwhile(password: str, stored: str | None) -> bool:
        change()
        return verify(password, stored)

    monkeypatch.setattr(signing_in, "verify_password", meanwhile)


def set_another_password(database: Database) -> None:
    """Give Anna another password."""
    with database.write() as session:
        the_account(session, "Anna").password_hash = HASH + "x"


def visit(database: Database, signed_in: SignedIn) -> Visit:
    """Return the visit that a token opens."""
    with database.read() as session:
        found = visit_of(session, Settings(), signed_in.token)
    assert found is not None
    return found


ALLOWED = [
    (CUSTOMER, "Anna", "Anna"),
    (CUSTOMER, " anna ", "Anna"),
    (CUSTOMER, "ANNA", "Anna"),
    (CUSTOMER, "anna@muster.example", "Anna"),
    (CUSTOMER, "Anna@Muster.Example", "Anna"),
    (CUSTOMER, "müller@bücher.example", "Anna"),
    (CUSTOMER, "MÜLLER@xn--bcher-kva.example", "Anna"),
    (CUSTOMER, "bert", "bert"),
    (CUSTOMER, OFFICE, "Anna"),  # Bert knowingly shares Anna's
    (STAFF, "jonas", "jonas"),
    (STAFF, "Jonas@example.org", "jonas"),
]


def test_who_gets_in(people: Database) -> None:
    let_in = []
    for kind, login, _expected in ALLOWED:
        signed_in = attempt(people, login, kind=kind)
        account = visit(people, signed_in).account
        assert type(account) is type(signed_in.account)
        let_in.append((kind, login, account.login))
    assert let_in == ALLOWED


@pytest.mark.parametrize(("kind", "object_kind"), [(CUSTOMER, "customer-user"), (STAFF, "staff")])
def test_signing_in_is_in_the_audit_log(
    people: Database, kind: AccountKind, object_kind: str
) -> None:
    login = "anna" if kind is CUSTOMER else "jonas"
    account = attempt(people, login, kind=kind).account
    event = events(people, object_kind)[-1]
    assert (event.action, event.object_id, event.peer) == ("signed-in", account.id, HERE)
    assert (event.actor_name, event.after) == (account.login, None)


REFUSED = [
    (CUSTOMER, "nobody", PASSWORD),
    (CUSTOMER, "", PASSWORD),
    (CUSTOMER, "anna", ""),
    (CUSTOMER, "anna", "wrong"),
    (CUSTOMER, "anna", PASSWORD + "x"),
    (CUSTOMER, "anna", HASH),
    (CUSTOMER, "anna", "x" * 1_000_000),
    (CUSTOMER, "x" * 1_000_000, PASSWORD),
    (CUSTOMER, "ann%", PASSWORD),
    (CUSTOMER, "anna\x00", "wrong"),
    (CUSTOMER, "\ud800", PASSWORD),
    (CUSTOMER, "anna@", PASSWORD),
    (CUSTOMER, "muller@bücher.example", PASSWORD),
    (CUSTOMER, "jonas", PASSWORD),
    (CUSTOMER, "K-1000", PASSWORD),
    (STAFF, "anna", PASSWORD),
    (STAFF, "anna@muster.example", PASSWORD),
]


def test_every_refusal_is_the_same(people: Database) -> None:
    for number, (kind, login, password) in enumerate(REFUSED):
        text = refusal(people, login, password, kind=kind, peer=f"192.0.2.{number}")
        assert text == "Login or password is not correct.", (kind, login[:20], password[:20])
    with people.read() as session:
        assert session.scalar(select(func.count()).select_from(WebSession)) == 0
        signed_in = AuditEvent.action == "signed-in"
        assert session.scalar(select(func.count(AuditEvent.id)).where(signed_in)) == 0


def test_the_refusal_is_said_in_german_as_well(sqlite_people: Database) -> None:
    with in_language("de"):
        assert refusal(sqlite_people) == "Benutzername oder Kennwort ist nicht richtig."


def make_invalid(database: Database) -> None:
    """Set Anna invalid."""
    with database.write() as session:
        the_account(session, "Anna").valid = Validity.INVALID


def make_customer_invalid(database: Database) -> None:
    """Set Anna's customer invalid."""
    with database.write() as session:
        the_customer(session, "K-1000").valid = False


def take_password(database: Database) -> None:
    """Leave Anna without a password."""
    with database.write() as session:
        the_account(session, "Anna").password_hash = None


@pytest.mark.parametrize("change", [make_invalid, make_customer_invalid, take_password])
def test_the_right_password_of_an_account_that_may_not_is_refused_alike(
    sqlite_people: Database, change: Callable[[Database], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(sqlite_people)
    compared: list[str | None] = []
    verify = signing_in.verify_password

    def watched(password: str, stored: str | None) -> bool:
        compared.append(stored)
        return verify(password, stored)

    monkeypatch.setattr(signing_in, "verify_password", watched)
    assert refusal(sqlite_people, "anna", PASSWORD) == refusal(sqlite_people, "nobody", PASSWORD)
    assert compared == [None, None], "both must be compared with the hash of nobody"


def test_a_refusal_costs_the_same_work_whether_or_not_there_is_an_account(
    people: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    verify = signing_in.verify_password
    monkeypatch.setattr(
        signing_in,
        "verify_password",
        lambda password, stored: compared.append(password) or verify(password, stored),
    )
    for login in ("anna", "nobody", "anna@muster.example", "\x00"):
        refusal(people, login)
    assert compared == ["wrong"] * 4
    with people.read() as session:
        rows = session.execute(select(SignInThrottle.failures)).scalars().all()
    assert sorted(rows) == [1, 1, 1, 1, 4], "one row for each name, one for the peer"


def test_invalid_staff_do_not_get_in(sqlite_people: Database) -> None:
    with sqlite_people.write() as session:
        save_staff(session, ADMIN, replace(JONAS, valid=False), staff_with_login(session, "jonas"))
    assert (
        refusal(sqlite_people, "jonas", PASSWORD, kind=STAFF) == "Login or password is not correct."
    )


def test_an_address_that_two_of_staff_have_signs_nobody_in(sqlite_people: Database) -> None:
    staff_saved(sqlite_people, replace(JONAS, login="eva"))
    with sqlite_people.write() as session:
        session.execute(update(Staff).values(password_hash=HASH))
    refusal(sqlite_people, "jonas@example.org", PASSWORD, kind=STAFF)
    assert attempt(sqlite_people, "eva", kind=STAFF).account.login == "eva"


def test_an_address_that_is_anothers_login_signs_the_other_in(sqlite_people: Database) -> None:
    saved(sqlite_people, replace(BERT, login="Anna@muster.example", email="third@muster.example"))
    with sqlite_people.write() as session:
        session.execute(update(CustomerUser).values(password_hash=HASH))
    assert attempt(sqlite_people, "anna@muster.example").account.login == "Anna@muster.example"


def test_an_address_that_is_shared_on_both_sides_signs_nobody_in(sqlite_people: Database) -> None:
    with sqlite_people.write() as session:
        for account in (the_account(session, "Anna"), the_account(session, "bert")):
            for row in account.addresses:
                if row.address == OFFICE:
                    row.shared, row.exclusive = True, False
    refusal(sqlite_people, OFFICE, PASSWORD)


def test_what_happens_between_check_and_session_counts(
    people: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_verifying(monkeypatch, lambda: make_invalid(people))
    refusal(people, "anna", PASSWORD)


def test_a_password_that_was_changed_meanwhile_does_not_sign_in(
    people: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_verifying(monkeypatch, lambda: set_another_password(people))
    refusal(people, "anna", PASSWORD)


def test_an_old_hash_is_made_anew_and_nobody_has_changed_the_account(people: Database) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with people.write() as session:
        the_account(session, "Anna").password_hash = old
    with people.read() as session:
        version = the_account(session, "Anna").version
    attempt(people)
    with people.read() as session:
        anna = the_account(session, "Anna")
        assert anna.password_hash is not None
        assert not needs_new_hash(anna.password_hash)
        assert anna.version == version
    attempt(people)


# Slowing down (how much: tests of the throttle)


def test_guessing_is_slowed_down_and_the_right_password_must_wait_too(people: Database) -> None:
    assert [waiting(people) for _n in range(5)] == [0] * 5
    with pytest.raises(SignInFailed, match=r"^Too many attempts. Please wait 1 second\.$"):
        attempt(people)
    time_passes(people, timedelta(seconds=1))
    assert attempt(people).account.login == "Anna"
    assert events(people, "customer-user")[-1].after == {"failed_attempts": 5}


def test_an_account_that_nobody_has_is_slowed_down_in_the_same_way(sqlite_people: Database) -> None:
    seen = [[waiting(sqlite_people, login) for _n in range(6)] for login in ("anna", "nobody")]
    assert seen == [[0, 0, 0, 0, 0, 1]] * 2


def test_many_at_the_same_time_do_not_slip_through(people: Database) -> None:
    def guess() -> int:
        with pytest.raises(SignInFailed) as refused:
            attempt(people, "anna", "wrong")
        return refused.value.wait_seconds

    refusal(people)  # so that there is a row that they wait for
    results = at_the_same_time(*[guess] * 12)
    assert [result for result in results if isinstance(result, SchalterError)] == []
    # Four are free after the first; a slow machine may let the wait of one begin before.
    assert 1 <= results.count(0) <= 4


def test_neither_logins_nor_passwords_are_kept_of_failures(
    sqlite_people: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SignInFailed):
        attempt(sqlite_people, "my-secret-word", "my-other-secret")
    assert "secret" not in caplog.text
    with sqlite_people.read() as session:
        for table in ("audit_events", "sign_in_throttles", "web_sessions"):
            rows = str(session.execute(text(f"SELECT * FROM {table}")).all())
            assert "secret" not in rows


# Changing the password

NEW = "Battery-Staple-7"


def test_a_changed_password_counts_and_ends_the_other_sessions(people: Database) -> None:
    here, there = attempt(people), attempt(people, peer=THERE)
    change_password(people, visit(people, here), PASSWORD, NEW, peer=HERE)
    with people.read() as session:
        assert visit_of(session, Settings(), here.token) is not None
        assert visit_of(session, Settings(), there.token) is None
    refusal(people, "anna", PASSWORD)
    assert attempt(people, "anna", NEW).account.login == "Anna"
    event = [e for e in events(people, "customer-user") if e.action == "password-set"][-1]
    assert (event.actor_name, event.before, event.after) == ("Anna", None, None)


def test_staff_with_a_one_time_password_choose_another_one(sqlite_people: Database) -> None:
    with sqlite_people.write() as session:
        set_password(session, ADMIN, staff_with_login(session, "jonas"), HASH, one_time=True)
    signed_in = attempt(sqlite_people, "jonas", kind=STAFF)
    assert signed_in.must_change_password
    found = visit(sqlite_people, signed_in)
    assert found.must_change_password
    with pytest.raises(Invalid, match="another password"):
        change_password(sqlite_people, found, PASSWORD, PASSWORD, peer=HERE)
    change_password(sqlite_people, found, PASSWORD, NEW, peer=HERE)
    assert not visit(sqlite_people, signed_in).must_change_password
    assert not attempt(sqlite_people, "jonas", NEW, kind=STAFF).must_change_password


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("wrong", NEW, "old_password"),
        ("", NEW, "old_password"),
        (PASSWORD, "short", "password"),
        (PASSWORD, PASSWORD, "password"),
        (PASSWORD, "x" * 1025, "password"),
    ],
)
def test_a_password_that_may_not_be_changed_so(
    sqlite_people: Database, old: str, new: str, field: str
) -> None:
    found = visit(sqlite_people, attempt(sqlite_people))
    with pytest.raises(Invalid) as refused:
        change_password(sqlite_people, found, old, new, peer=HERE)
    assert refused.value.field == field
    attempt(sqlite_people)


def test_guessing_the_old_password_in_a_stolen_session_is_slowed_down(
    sqlite_people: Database,
) -> None:
    found = visit(sqlite_people, attempt(sqlite_people))
    for _n in range(5):
        with pytest.raises(Invalid):
            change_password(sqlite_people, found, "wrong", NEW, peer=HERE)
    with pytest.raises(SignInFailed) as refused:
        change_password(sqlite_people, found, PASSWORD, NEW, peer=HERE)
    assert refused.value.wait_seconds == 1


def test_a_password_that_was_set_elsewhere_meanwhile_stays(
    people: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = visit(people, attempt(people))
    while_verifying(monkeypatch, lambda: set_another_password(people))
    with pytest.raises(Stale):
        change_password(people, found, PASSWORD, NEW, peer=HERE)


def test_a_form_of_the_account_that_is_open_elsewhere_is_not_lost_to_signing_in(
    people: Database,
) -> None:
    with people.read() as session:
        shown = the_account(session, "Anna").version
    attempt(people)
    with people.write() as session:
        account = the_account(session, "Anna")
        save_customer_user(session, ADMIN, replace(ANNA, phone="1"), account, shown)
