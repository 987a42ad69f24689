"""Passwords: the rules, the hashes, and that none is ever written down."""

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, text

from core.accounts.passwords import (
    check_password_rules,
    hash_password,
    needs_new_hash,
    new_one_time_password,
    set_password,
    verify_password,
)
from core.accounts.sessions import start_session, visit_of
from core.accounts.staff import staff_with_login
from core.db import Database
from core.errors import Invalid
from core.models import WebSession
from core.settings import Settings
from tests.accounts.people import ADMIN, ANNA, JONAS, customers, saved, staff_saved, the_account

PASSWORD = "Correct-Horse-9"
# Made once: names of tests must be the same in every process.
HASH = (
    "$argon2id$v=19$m=19456,t=3,p=1$vOwrOfj6Lnj2hbyEAdAOBA"
    "$hsvFsFSH7VJ7Kgm50zX4bYMFIaEG3engMPy40UttJ08"
)

RULES = [
    # password, login, accepted
    ("", "anna", False),
    ("a" * 9, "anna", False),
    ("a" * 10, "anna", True),
    ("          ", "anna", True),
    ("ä" * 512, "anna", True),
    ("ä" * 513, "anna", False),
    ("a" * 1024, "anna", True),
    ("a" * 1025, "anna", False),
    ("anna.mueller", "anna.mueller", False),
    ("ANNA.MUELLER", "anna.mueller", False),
    (" anna.mueller ", "anna.mueller", False),
    ("anna.mueller1", "anna.mueller", True),
    ("\ud800" * 10, "anna", True),
]


@pytest.mark.parametrize(("password", "login", "accepted"), RULES)
def test_what_a_password_must_be_like(password: str, login: str, accepted: bool) -> None:
    if accepted:
        check_password_rules(password, login)
        return
    with pytest.raises(Invalid) as refused:
        check_password_rules(password, login, "new_password")
    assert refused.value.field == "new_password"
    assert password.strip() not in refused.value.message or not password.strip()


def test_a_password_is_hashed_with_argon2id_and_a_salt() -> None:
    assert HASH.startswith("$argon2id$")
    assert hash_password(PASSWORD) != HASH


VERIFIED = [
    # entered, stored hash, right
    (PASSWORD, HASH, True),
    (PASSWORD.lower(), HASH, False),
    (PASSWORD + " ", HASH, False),
    ("", HASH, False),
    ("x" * 1_000_000, HASH, False),
    (PASSWORD, None, False),
    (PASSWORD, "", False),
    (PASSWORD, "not a hash", False),
    (PASSWORD, "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA", False),
    (HASH, HASH, False),
    ("\udcff\x00", HASH, False),
]


@pytest.mark.parametrize(("entered", "stored", "right"), VERIFIED)
def test_only_the_password_is_right(entered: str, stored: str | None, right: bool) -> None:
    assert verify_password(entered, stored) is right


def test_the_composition_of_letters_does_not_count() -> None:
    assert verify_password("Mu\u0308ller-Passwort", hash_password("M\u00fcller-Passwort"))


def test_nothing_behind_the_limit_is_cut_off() -> None:
    longest = "a" * 1024
    assert not verify_password(longest + "b", hash_password(longest))


def test_a_hash_of_other_parameters_is_to_be_made_anew() -> None:
    assert not needs_new_hash(HASH)
    assert needs_new_hash(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))


def test_one_time_passwords_differ_and_keep_the_rules() -> None:
    some = {new_one_time_password() for _n in range(50)}
    assert len(some) == 50
    for each in some:
        check_password_rules(each, "root")
        assert each.replace("-", "").isalnum()


def test_a_new_password_ends_the_sessions_but_the_one_that_is_kept(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    staff_saved(database, JONAS)
    with database.write() as session:
        anna, jonas = the_account(session, "anna"), staff_with_login(session, "jonas")
        kept = start_session(session, anna, peer="", agent="")
        start_session(session, anna, peer="", agent="")
        start_session(session, jonas, peer="", agent="")
    with database.write() as session:
        visit = visit_of(session, Settings(), kept)
        assert visit is not None
        anna = the_account(session, "anna")
        set_password(session, ADMIN, anna, HASH, keep_session=visit.token_hash)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(WebSession)) == 2
        assert visit_of(session, Settings(), kept) is not None
    with database.write() as session:
        set_password(session, ADMIN, the_account(session, "anna"), HASH)
    with database.read() as session:
        assert visit_of(session, Settings(), kept) is None


@pytest.mark.parametrize("one_time", [True, False])
def test_staff_must_choose_their_own_after_a_one_time_password(
    database: Database, one_time: bool
) -> None:
    staff_saved(database, JONAS)
    with database.write() as session:
        jonas = staff_with_login(session, "jonas")
        set_password(session, ADMIN, jonas, HASH, one_time=one_time)
        token = start_session(session, jonas, peer="", agent="")
    with database.read() as session:
        visit = visit_of(session, Settings(), token)
        assert visit is not None
        assert visit.must_change_password is one_time


def test_neither_password_nor_hash_is_in_the_audit_log(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    with database.write() as session:
        set_password(session, ADMIN, the_account(session, "anna"), HASH)
    with database.read() as session:
        rows = [str(row) for row in session.execute(text("SELECT * FROM audit_events"))]
    assert any("password-set" in row for row in rows)
    assert not [row for row in rows if PASSWORD in row or "argon2" in row]
