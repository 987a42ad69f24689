"""Staff: who may be saved, that an admin always remains, and which queues are whose."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core.accounts.groups import group_named
from core.accounts.preferences import Preferences, change_preferences, preferences_of
from core.accounts.queues import queue_named, queue_values, save_queue
from core.accounts.sessions import start_session
from core.accounts.staff import (
    StaffValues,
    save_staff,
    staff_queue_ids,
    staff_values,
    staff_with_login,
)
from core.audit import staff_actor
from core.db import Database
from core.errors import Duplicate, InvalidFields, NotFound, SchalterError, Stale
from core.models import Staff, WebSession
from core.organisation import load_organisation
from core.words import Permission, Role
from tests.accounts.people import (
    ADMIN,
    ANNA,
    JONAS,
    ROOT,
    at_the_same_time,
    customers,
    events,
    fields_of,
    saved,
    staff_saved,
    the_account,
)
from tests.intake.firm import a_firm

RO, RW = Permission.RO, Permission.RW


def test_every_field_is_stored_and_read_back(database: Database) -> None:
    a_firm(database)
    eva = StaffValues(
        login="Eva",
        email="Eva@example.org",
        role=Role.AGENT,
        first_name="Eva",
        last_name="Weiß",
        valid=False,
        groups={"technik": RO, "vertrieb": RW},
    )
    staff_saved(database, eva)
    with database.read() as session:
        assert staff_values(staff_with_login(session, "EVA")) == eva
    event = events(database, "staff")[-1]
    assert event.after is not None
    assert event.after["groups"] == {"technik": "ro", "vertrieb": "rw"}


BAD_VALUES = [
    ({"login": ""}, "login"),
    ({"login": "x" * 201}, "login"),
    ({"email": ""}, "email"),
    ({"email": "jonas"}, "email"),
    ({"first_name": "x" * 101}, "first_name"),
    ({"groups": {"gibt es nicht": Permission.RW}}, "groups"),
]


@pytest.mark.parametrize(("change", "field"), BAD_VALUES)
def test_a_bad_value_is_refused_at_its_field(
    sqlite_database: Database, change: dict[str, object], field: str
) -> None:
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_staff(session, ADMIN, replace(JONAS, **change))
    assert fields_of(refused.value) == [field]


def test_a_login_is_unique_whatever_its_case(sqlite_database: Database) -> None:
    staff_saved(sqlite_database, JONAS)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_staff(session, ADMIN, replace(JONAS, login="JONAS", email="j@example.org"))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert (problem.holder.kind, problem.holder.name) == ("staff", "jonas")
    with sqlite_database.read() as session, pytest.raises(NotFound):
        staff_with_login(session, "jon")


def with_passwords(database: Database, *logins: str) -> None:
    """Let members of staff sign in with a password that is kept here."""
    with database.write() as session:
        for login in logins:
            staff_with_login(session, login).password_hash = "$argon2id$"


@pytest.mark.parametrize("change", [{"role": Role.AGENT}, {"valid": False}])
def test_the_last_admin_stays(database: Database, change: dict[str, object]) -> None:
    staff_saved(database, ROOT)
    staff_saved(database, JONAS)
    staff_saved(database, replace(ROOT, login="eva", email="eva@example.org"))  # cannot sign in
    with_passwords(database, "jonas")
    staff_saved(database, replace(ROOT, login="gone", email="g@example.org", valid=False))
    demoted = replace(ROOT, **change)
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_staff(session, ADMIN, demoted, staff_with_login(session, "root"))
    assert fields_of(refused.value) == ["role"]
    with database.write() as session:  # with another one it is fine
        save_staff(
            session, ADMIN, replace(JONAS, role=Role.ADMIN), staff_with_login(session, "jonas")
        )
        save_staff(session, ADMIN, demoted, staff_with_login(session, "root"))


def test_of_two_admins_who_demote_each_other_one_stays(database: Database) -> None:
    other = replace(ROOT, login="eva", email="eva@example.org")
    for values in (ROOT, other):
        staff_saved(database, values)
    with_passwords(database, "root", "eva")

    def demote(values: StaffValues) -> None:
        with database.write() as session:
            staff = staff_with_login(session, values.login)
            save_staff(session, ADMIN, replace(values, role=Role.AGENT), staff, staff.version)

    results = at_the_same_time(lambda: demote(ROOT), lambda: demote(other))
    assert len([each for each in results if isinstance(each, SchalterError)]) == 1
    with database.read() as session:
        admins = select(func.count(Staff.id)).where(Staff.role == Role.ADMIN)
        assert session.scalar(admins) == 1


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"role": Role.ADMIN}, True),
        ({"valid": False}, True),
        ({"first_name": "Jo"}, False),
        ({"email": "j@example.org"}, False),
    ],
)
def test_a_change_of_role_or_validity_ends_the_sessions(
    sqlite_database: Database, change: dict[str, object], ends: bool
) -> None:
    staff_saved(sqlite_database, JONAS)
    with sqlite_database.write() as session:
        start_session(session, staff_with_login(session, "jonas"), peer="", agent="")
    with sqlite_database.write() as session:
        changed = replace(JONAS, **change)
        save_staff(session, ADMIN, changed, staff_with_login(session, "jonas"))
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count()).select_from(WebSession)) == (0 if ends else 1)


def test_a_second_admin_does_not_save_over_the_first(database: Database) -> None:
    a_firm(database)
    with database.write() as session:
        jonas = staff_with_login(session, "jonas")
        shown, values = jonas.version, staff_values(jonas)
        save_staff(session, ADMIN, replace(values, groups={"technik": RW}), jonas, shown)
    with pytest.raises(Stale), database.write() as session:
        save_staff(session, ADMIN, values, staff_with_login(session, "jonas"), shown)
    with database.read() as session:
        assert staff_values(staff_with_login(session, "jonas")).groups == {"technik": RW}


QUEUES = [
    # role, valid, groups → readable, writable
    (Role.ADMIN, True, {}, "Rechnung Technik Vertrieb", "Rechnung Technik Vertrieb"),
    (Role.ADMIN, False, {}, "", ""),
    (Role.AGENT, True, {}, "", ""),
    (Role.AGENT, True, {"vertrieb": RW}, "Vertrieb", "Vertrieb"),
    (Role.AGENT, True, {"vertrieb": RO}, "Vertrieb", ""),
    (Role.AGENT, True, {"vertrieb": RW, "technik": RO}, "Technik Vertrieb", "Vertrieb"),
    (Role.AGENT, False, {"vertrieb": RW}, "", ""),
]


def test_which_queues_are_whose(database: Database) -> None:
    firm = a_firm(database)
    names = {queue_id: name for name, queue_id in firm.queues.items()}
    for number, (role, valid, groups, readable, writable) in enumerate(QUEUES):
        login = f"eva{number}"
        email = f"{login}@example.org"
        staff_saved(
            database,
            StaffValues(login=login, email=email, role=role, valid=valid, groups=groups),
        )
        with database.read() as session:
            eva = staff_with_login(session, login)
            found = staff_queue_ids(session, load_organisation(session), eva)
        assert " ".join(sorted(names[each] for each in found.readable)) == readable
        assert " ".join(sorted(names[each] for each in found.writable)) == writable


def test_an_invalid_queue_or_group_can_be_read_by_agents_not_written_to(
    database: Database,
) -> None:
    firm = a_firm(database)
    with database.write() as session:
        queue = queue_named(session, "Vertrieb")
        save_queue(session, ADMIN, replace(queue_values(queue), valid=False), queue)
    with database.read() as session:
        jonas = staff_with_login(session, "jonas")
        found = staff_queue_ids(session, load_organisation(session), jonas)
        assert (found.readable, found.writable) == ({firm.queues["Vertrieb"]}, frozenset())
    with database.write() as session:
        queue = queue_named(session, "Vertrieb")
        save_queue(session, ADMIN, replace(queue_values(queue), valid=True), queue)
        group = group_named(session, "vertrieb")
        group.valid = False
    with database.read() as session:
        jonas = staff_with_login(session, "jonas")
        found = staff_queue_ids(session, load_organisation(session), jonas)
        assert (found.readable, found.writable) == ({firm.queues["Vertrieb"]}, frozenset())


# Preferences


PREFERENCES = Preferences(
    language="de", theme="dark", time_zone="Asia/Tokyo", tickets_per_page=100, notices=False
)


def test_preferences_are_stored_and_written_to_the_audit_log(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    staff_saved(database, JONAS)
    with database.write() as session:
        anna, jonas = the_account(session, "anna"), staff_with_login(session, "jonas")
        for account in (anna, jonas):
            change_preferences(session, ADMIN, account, PREFERENCES)
            change_preferences(session, ADMIN, account, PREFERENCES)
    with database.read() as session:
        assert preferences_of(the_account(session, "anna")) == PREFERENCES
        jonas = staff_with_login(session, "jonas")
        assert preferences_of(jonas) == replace(PREFERENCES, notices=True)
    for kind in ("customer-user", "staff"):
        assert [event.action for event in events(database, kind)] == ["created", "changed"]
    assert events(database, "staff")[-1].before == {
        "language": "",
        "theme": "auto",
        "time_zone": "",
        "tickets_per_page": 25,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"language": "DE"}, "language"),
        ({"language": "../etc"}, "language"),
        ({"theme": ""}, "theme"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"tickets_per_page": 0}, "tickets_per_page"),
        ({"tickets_per_page": 1_000_000}, "tickets_per_page"),
    ],
)
def test_a_bad_preference_is_refused(
    sqlite_database: Database, change: dict[str, object], field: str
) -> None:
    staff_saved(sqlite_database, JONAS)
    with sqlite_database.write() as session:
        jonas = staff_with_login(session, "jonas")
        with pytest.raises(InvalidFields) as refused:
            change_preferences(
                session,
                staff_actor(jonas),
                jonas,
                replace(PREFERENCES, **change),
            )
        assert preferences_of(jonas) == Preferences()
    assert fields_of(refused.value) == [field]
