"""The worker's thread that reviews staff from the directory, and what schalter check says of it."""

import pytest
from sqlalchemy import select

from core import worker
from core.accounts.signing_in import sign_in
from core.accounts.staff_directory import StaffDirectory
from core.config import Config
from core.db import Database
from core.health import State, check_staff_directory
from core.models import Group, Staff, WebSession
from core.words import AccountKind, Permission, Role
from core.worker import reviewing
from tests.accounts.directory import ADMINS, AGENTS, ANNA, BERT, PASSWORD, SALES, section_of
from tests.accounts.people import ROOT, staff_saved
from tests.support.processes import wait_until
from tests.support.slapd import Slapd, group_dn


def has_session(database: Database, login: str) -> bool:
    with database.read() as session:
        statement = select(WebSession).join(Staff, Staff.id == WebSession.staff_id)
        return session.scalars(statement.where(Staff.login == login)).first() is not None


def test_who_leaves_loses_access_without_trying_to_sign_in(
    sqlite_database: Database,
    slapd: Slapd,
    directory: StaffDirectory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(worker, "REVIEW_SECONDS", 0.05)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    caplog.set_level("INFO")
    for login in ("anna", "bert"):
        sign_in(
            sqlite_database,
            AccountKind.STAFF,
            login,
            PASSWORD,
            peer="192.0.2.1",
            agent="",
            directory=directory,
        )
    with reviewing(sqlite_database, directory):
        slapd.stop()
        wait_until(lambda: "are not reviewed: " in caplog.text, "a word about the failure")
        assert has_session(sqlite_database, "anna")
        slapd.start()
        slapd.leave(AGENTS, ANNA)
        wait_until(lambda: not has_session(sqlite_database, "anna"), "end of the session", 30)
    assert has_session(sqlite_database, "bert")
    assert caplog.text.count("are not reviewed") == 1
    assert "are reviewed again" in caplog.text
    assert "no longer staff, as the directory says: anna" in caplog.text


def checked(database: Database, slapd: Slapd, **changes: object) -> list[tuple[State, str]]:
    config = Config(staff_directory=section_of(slapd, **changes))
    return [(each.state, each.text) for each in check_staff_directory(config, database)]


def test_the_check_tells_who_gets_which_role(sqlite_database: Database, slapd: Slapd) -> None:
    with sqlite_database.write() as session:
        session.add_all([Group(name="vertrieb"), Group(name="technik")])
    staff_saved(sqlite_database, ROOT)
    with sqlite_database.write() as session:
        session.scalars(select(Staff)).one().password_hash = "$argon2id$"
    ((state, text),) = checked(sqlite_database, slapd)
    assert state is State.OK
    assert text == f"{slapd.server} answers; {AGENTS}: 2; {ADMINS}: 1"


def test_the_check_tells_what_is_wrong(sqlite_database: Database, slapd: Slapd) -> None:
    gone = group_dn("gone")
    (no_admin,) = checked(sqlite_database, slapd, groups={})
    assert no_admin == (State.FAILED, "no admin has a password here: run schalter init")
    staff_saved(sqlite_database, ROOT)
    with sqlite_database.write() as session:
        session.scalars(select(Staff)).one().password_hash = "$argon2id$"
    table = [
        ({"groups": {}, "roles": {gone: Role.AGENT}}, f"the group {gone} of roles is not there"),
        ({"groups": {gone: {}}}, f"the group {gone} of groups is not there"),
        ({"groups": {SALES: {"verkauf": Permission.RO}}}, "there is no group verkauf in Schalter"),
        ({"bind_dn": "cn=x", "groups": {}}, "the bind as cn=x fails"),
        ({"ca_file": "", "groups": {}}, "certificate"),
        ({"ca_file": "/no/such/file"}, "ca_file /no/such/file: No such file"),
        ({"password_file": "/no/such/file"}, "password_file /no/such/file: No such file"),
    ]
    for changes, expected in table:
        ((state, text),) = checked(sqlite_database, slapd, **changes)
        assert state is State.FAILED, changes
        assert expected in text
    assert list(check_staff_directory(Config(), sqlite_database)) == []


def test_the_check_warns_of_a_role_that_nobody_has(sqlite_database: Database, slapd: Slapd) -> None:
    staff_saved(sqlite_database, ROOT)
    with sqlite_database.write() as session:
        session.scalars(select(Staff)).one().password_hash = "$argon2id$"
    slapd.leave(ADMINS, BERT)
    ((state, text),) = checked(sqlite_database, slapd, groups={})
    assert (state, text) == (State.WARNING, f"{slapd.server} answers; {AGENTS}: 2; {ADMINS}: 0")
