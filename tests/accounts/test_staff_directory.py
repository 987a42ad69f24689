"""Staff from a directory: who gets in by it, what becomes of them here, what it never decides."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from sqlalchemy import delete, func, select

from core.accounts import directory_staff
from core.accounts.directory_staff import bring_in, review
from core.accounts.groups import GroupValues, save_group
from core.accounts.password_links import answer_requests, ask_for_password, invite
from core.accounts.passwords import set_password
from core.accounts.sessions import Visit
from core.accounts.signing_in import SignedIn, SignInFailed, change_password, sign_in
from core.accounts.staff import StaffValues, keep_here, save_staff, staff_values, staff_with_login
from core.accounts.staff_directory import DirectoryAway, StaffDirectory
from core.config import STAFF_DIRECTORY
from core.db import Database
from core.directory import client
from core.errors import Invalid, InvalidFields
from core.models import OutgoingMail, SignInThrottle, Staff, WebSession, now
from core.words import AccountKind, ActorKind, Permission, Role
from tests.accounts.directory import (
    ADMINS,
    AGENTS,
    ANNA,
    BERT,
    CAROL,
    DORA,
    PASSWORD,
    PEOPLE,
    SALES,
    TECHNICIANS,
    section_of,
)
from tests.accounts.people import ADMIN, ROOT, at_the_same_time, events, fields_of, staff_saved
from tests.support.processes import wait_until
from tests.support.slapd import (
    READER_PASSWORD,
    Entries,
    Slapd,
    group,
    group_dn,
    person,
    person_dn,
    run_slapd,
)

RO, RW = Permission.RO, Permission.RW
HERE = "192.0.2.1"
LOCAL_PASSWORD = "kept here, not there"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(LOCAL_PASSWORD)
GROUPS = ("vertrieb", "technik", "rechnung")
REFUSED = "Login or password is not correct."


@pytest.fixture
def firm(sqlite_database: Database) -> Database:
    return filled(sqlite_database)


def filled(database: Database) -> Database:
    """Return a database with groups and a local admin, bound by the directory's groups."""
    database.managed_groups = {STAFF_DIRECTORY: frozenset({"vertrieb", "technik"})}
    with database.write() as session:
        for name in GROUPS:
            save_group(session, ADMIN, GroupValues(name=name))
    staff_saved(database, ROOT)
    give_password(database, "root")
    return database


def give_password(database: Database, login: str) -> None:
    with database.write() as session:
        staff_with_login(session, login).password_hash = HASH


def attempt(
    database: Database, directory: StaffDirectory | None, login: str, password: str = PASSWORD
) -> SignedIn:
    """Sign in from a network of its own: how guessing is slowed down is tested elsewhere."""
    return sign_in(
        database,
        AccountKind.STAFF,
        login,
        password,
        peer=f"192.0.2.{next(_peers)}",
        agent="Firefox",
        directory=directory,
    )


def _numbers() -> Iterator[int]:
    while True:
        yield from range(1, 255)


_peers = _numbers()


def refusal(
    database: Database, directory: StaffDirectory, login: str, password: str = PASSWORD
) -> str:
    """Try to sign in in vain; return the text of the refusal."""
    with pytest.raises(SignInFailed) as refused:
        attempt(database, directory, login, password)
    forget_attempts(database)
    return str(refused.value)


def forget_attempts(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(SignInThrottle))


def values(database: Database, login: str) -> StaffValues:
    with database.read() as session:
        return staff_values(staff_with_login(session, login))


def logins(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Staff.login).order_by(Staff.login)))


def sessions(database: Database) -> int:
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(WebSession)).one()


# Who gets in


@pytest.mark.parametrize(
    ("login", "role", "groups"),
    [
        ("anna", Role.AGENT, {"vertrieb": RW, "technik": RW}),  # the stronger of two permissions
        ("ANNA", Role.AGENT, {"vertrieb": RW, "technik": RW}),
        ("anna@firm.example", Role.AGENT, {"vertrieb": RW, "technik": RW}),
        ("bert", Role.ADMIN, {}),  # the stronger of two roles
    ],
)
@pytest.mark.parametrize("member_of", ["memberOf", ""])
def test_who_is_in_a_group_with_a_role_gets_in(
    firm: Database,
    slapd: Slapd,
    login: str,
    role: Role,
    groups: dict[str, Permission],
    member_of: str,
) -> None:
    directory = StaffDirectory(section_of(slapd, member_of=member_of), READER_PASSWORD)
    staff = attempt(firm, directory, login).account
    directory.close()
    assert isinstance(staff, Staff)
    assert (staff.password_hash, staff.directory_key) != (None, None)
    assert staff.password_hash is None
    stored = values(firm, staff.login)
    assert (stored.role, stored.groups, stored.valid) == (role, groups, True)
    with firm.read() as session:
        assert staff_with_login(session, staff.login).directory_seen_at is not None
    created = [event for event in events(firm, "staff") if event.action == "created"][-1]
    assert (created.actor_kind, created.actor_name) == (ActorKind.SYSTEM, "staff directory")


def test_what_the_directory_says_is_stored(firm: Database, directory: StaffDirectory) -> None:
    attempt(firm, directory, "anna")
    assert values(firm, "anna") == StaffValues(
        login="anna",
        email="anna@firm.example",
        role=Role.AGENT,
        first_name="Anna",
        last_name="Müller",
        groups={"technik": RW, "vertrieb": RW},
    )


NOBODY = [
    # login, password
    ("anna", "wrong"),
    ("anna", ""),
    ("carol", PASSWORD),  # has no role
    ("dora", PASSWORD),  # permissions are no role
    ("carol", "wrong"),
    ("nobody", PASSWORD),
    ("*", PASSWORD),
    ("a*", PASSWORD),
    ("anna)(uid=*", PASSWORD),
    ("", PASSWORD),
    ("both", PASSWORD),  # the login of one and the mail address of another
    ("twice@firm.example", PASSWORD),
    ("agents", PASSWORD),  # outside the filter
]


def test_everybody_else_is_refused_alike(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    one, two, both = map(person_dn, ("one", "two", "both"))
    slapd.add(
        {
            one: person("one", ["twice@firm.example", "both"], PASSWORD),
            two: person("two", "twice@firm.example", PASSWORD),
            both: person("both", "b@firm.example", PASSWORD),
        }
    )
    slapd.join(AGENTS, one, two, both)
    for login, password in NOBODY:
        assert (login, refusal(firm, directory, login, password)) == (login, REFUSED)
    assert logins(firm) == ["root"]


def test_without_the_directory_nobody_of_it_gets_in(
    firm: Database, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    with pytest.raises(SignInFailed):
        attempt(firm, None, "anna")
    with pytest.raises(SignInFailed):  # and customers are none of its business
        sign_in(
            firm, AccountKind.CUSTOMER, "bert", PASSWORD, peer="", agent="", directory=directory
        )


def test_several_first_sign_ins_at_once_make_one_account(
    database: Database, directory: StaffDirectory
) -> None:
    filled(database)
    works = [lambda: attempt(database, directory, "anna") for _each in range(3)]
    assert all(isinstance(each, SignedIn) for each in at_the_same_time(*works))
    assert logins(database) == ["anna", "root"]
    assert sessions(database) == 3


def test_an_active_directory_is_read_by_its_own_attributes(firm: Database) -> None:
    dn = "cn=Müller\\, Anna,ou=people,dc=firm,dc=example"
    guid = UUID("11223344-5566-7788-99aa-bbccddeeff00")
    anna = {
        **person("unused", "anna@firm.example", PASSWORD, first="Anna", last="Müller"),
        "cn": "Müller, Anna",
        "objectGUID": guid.bytes_le,
        "sAMAccountName": "AMueller",
    }
    with run_slapd({dn: anna, AGENTS: group(dn)}) as slapd:
        section = section_of(
            slapd,
            filter="(&(objectClass=inetOrgPerson)(!(validity=disabled)))",
            attributes={"key": "objectGUID", "login": "sAMAccountName"},
            roles={AGENTS.replace("cn=agents,ou=", "CN=Agents, OU="): Role.AGENT},
            groups={},
        )
        directory = StaffDirectory(section, READER_PASSWORD)
        staff = attempt(firm, directory, "amueller").account
        assert isinstance(staff, Staff)
        assert (staff.login, staff.directory_key) == ("AMueller", str(guid))
        assert review(firm, directory) == []
        slapd.modify(dn, {"validity": "disabled"})
        assert review(firm, directory) == ["AMueller"]
        directory.close()


def test_every_refusal_costs_the_same(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    """The directory is asked as much, whoever it is, also for a name that is kept here."""
    directory.pretend()  # the connection of the reader is there
    work = []
    for login in ("anna", "carol", "nobody", "root", "anna@firm.example"):
        before = len(slapd.log)
        assert refusal(firm, directory, login, "wrong") == REFUSED
        lines = slapd.log[before:].splitlines()
        work.append([sum(word in line for line in lines) for word in (" SRCH base", " BIND dn")])
    assert work == [[1, 1]] * 5


def test_a_password_of_endless_length_is_not_sent(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    endless = "x" * 1025
    slapd.modify(ANNA, {"userPassword": endless})
    assert refusal(firm, directory, "anna", endless) == REFUSED
    slapd.modify(ANNA, {"userPassword": endless[1:]})
    attempt(firm, directory, "anna", endless[1:])


# What becomes of them


def test_a_row_follows_its_entry_at_sign_in(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    first = attempt(firm, directory, "anna").account
    with firm.write() as session:  # a group that the directory does not decide
        staff = staff_with_login(session, "anna")
        changed = replace(
            staff_values(staff), groups={**staff_values(staff).groups, "rechnung": RO}
        )
        save_staff(session, ADMIN, changed, staff)
    slapd.rename(ANNA, "uid=anne")
    anne = person_dn("anne")
    slapd.modify(anne, {"mail": "anne@firm.example", "sn": "Meier"})
    slapd.leave(TECHNICIANS, anne)
    slapd.join(ADMINS, anne)
    assert refusal(firm, directory, "anna") == REFUSED  # that name means nobody now
    assert sessions(firm) == 1
    again = attempt(firm, directory, "anne").account
    assert again.id == first.id
    stored = values(firm, "anne")
    assert stored == StaffValues(
        login="anne",
        email="anne@firm.example",
        role=Role.ADMIN,
        first_name="Anna",
        last_name="Meier",
        groups={"rechnung": RO, "technik": RO, "vertrieb": RW},
    )
    assert sessions(firm) == 1  # another role has ended the first one
    event = events(firm, "staff")[-2]
    assert (event.action, event.actor_name) == ("changed", "staff directory")
    assert event.after is not None
    assert event.after["role"] == "admin"


def test_a_second_sign_in_without_a_change_writes_no_change(
    firm: Database, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    attempt(firm, directory, "anna")
    actions = [each.action for each in events(firm, "staff") if each.object_name == "anna"]
    assert actions == ["created", "signed-in", "signed-in"]
    assert sessions(firm) == 2


def loses_role(slapd: Slapd) -> None:
    slapd.leave(AGENTS, ANNA)


def is_deleted(slapd: Slapd) -> None:
    slapd.delete(ANNA)


@pytest.mark.parametrize("leave", [loses_role, is_deleted])
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_who_has_left_is_shut_out_when_they_try_to_sign_in(
    firm: Database,
    slapd: Slapd,
    directory: StaffDirectory,
    leave: Callable[[Slapd], None],
    password: str,
) -> None:
    attempt(firm, directory, "anna")
    leave(slapd)
    assert refusal(firm, directory, "anna", password) == REFUSED
    assert not values(firm, "anna").valid
    assert sessions(firm) == 0


def test_who_comes_back_keeps_the_account(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    before = attempt(firm, directory, "anna").account
    slapd.leave(AGENTS, ANNA)
    assert review(firm, directory) == ["anna"]
    assert not values(firm, "anna").valid
    slapd.join(AGENTS, ANNA)
    assert attempt(firm, directory, "anna").account.id == before.id
    assert values(firm, "anna").valid


def test_another_person_with_the_login_of_one_who_left_does_not_get_the_account(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    slapd.delete(ANNA)
    slapd.add({ANNA: person("anna", "anna.other@firm.example", PASSWORD)})
    slapd.join(AGENTS, ANNA)
    assert refusal(firm, directory, "anna") == REFUSED
    assert not values(firm, "anna").valid
    assert values(firm, "anna").email == "anna@firm.example"


# Accounts that are kept here


CLASHES = [
    # the local account, what is typed, password → gets in
    (StaffValues(login="anna", email="a@x.example", role=Role.AGENT), "anna", PASSWORD, False),
    (StaffValues(login="anna", email="a@x.example", role=Role.AGENT), "anna", LOCAL_PASSWORD, True),
    (
        StaffValues(login="ánna", email="a@x.example", role=Role.AGENT),
        "anna@firm.example",
        PASSWORD,
        False,
    ),
    (
        StaffValues(login="x", email="Anna@firm.example", role=Role.AGENT),
        "anna@firm.example",
        PASSWORD,
        False,
    ),
    (
        StaffValues(login="x", email="Anna@firm.example", role=Role.AGENT),
        "anna@firm.example",
        LOCAL_PASSWORD,
        True,
    ),
    (
        StaffValues(login="anna", email="a@x.example", role=Role.AGENT, valid=False),
        "anna",
        PASSWORD,
        False,
    ),
    (
        StaffValues(login="anna", email="a@x.example", role=Role.AGENT, valid=False),
        "anna",
        LOCAL_PASSWORD,
        False,
    ),
    (  # an invalid account does not keep its address
        StaffValues(login="x", email="anna@firm.example", role=Role.AGENT, valid=False),
        "anna@firm.example",
        PASSWORD,
        True,
    ),
]


@pytest.mark.parametrize(("local", "login", "password", "gets_in"), CLASHES)
def test_an_account_that_is_kept_here_is_never_the_directorys(
    firm: Database,
    directory: StaffDirectory,
    local: StaffValues,
    login: str,
    password: str,
    gets_in: bool,
) -> None:
    staff_saved(firm, local)
    give_password(firm, local.login)
    if gets_in:
        attempt(firm, directory, login, password)
    else:
        assert refusal(firm, directory, login, password) == REFUSED
    with firm.read() as session:
        stored = staff_with_login(session, local.login)
        assert stored.directory_key is None
        assert stored.password_hash is not None
        assert replace(staff_values(stored), valid=local.valid) == local


def test_the_directory_never_gets_a_password_of_an_account_that_is_kept_here(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    staff_saved(firm, StaffValues(login="anna", email="a@x.example", role=Role.AGENT))
    refusal(firm, directory, "anna")
    assert "uid=anna" not in slapd.log
    assert "anna" not in slapd.log


def test_an_entry_with_the_login_of_a_local_account_is_refused_and_told_of(
    firm: Database,
    directory: StaffDirectory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    staff_saved(firm, StaffValues(login="Anna", email="a@x.example", role=Role.AGENT))
    assert refusal(firm, directory, "anna@firm.example") == REFUSED
    assert f"{ANNA} is refused: login: " in caplog.text
    event = events(firm, "staff")[-1]
    assert (event.action, event.object_name, event.object_id) == ("directory-refused", "anna", None)
    assert event.after is not None
    assert event.after["entry"] == ANNA
    assert 'already an account with the login "Anna"' in event.after["reason"]


def test_who_is_renamed_to_a_local_login_is_shut_out(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    slapd.rename(ANNA, "uid=root")
    assert review(firm, directory) == ["anna"]
    assert not values(firm, "anna").valid
    assert values(firm, "root") == ROOT


def test_an_entry_without_a_mail_address_is_refused_and_later_on_keeps_the_last(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    slapd.modify(ANNA, {"mail": []})
    assert refusal(firm, directory, "anna") == REFUSED
    assert logins(firm) == ["root"]
    slapd.modify(ANNA, {"mail": "anna@firm.example"})
    attempt(firm, directory, "anna")
    slapd.modify(ANNA, {"mail": []})
    attempt(firm, directory, "anna")
    assert values(firm, "anna").email == "anna@firm.example"


def test_the_strongest_permission_counts_whatever_the_order(firm: Database, slapd: Slapd) -> None:
    given = section_of(slapd).groups
    turned = dict(reversed(given.items()))
    for groups in (given, turned):
        directory = StaffDirectory(section_of(slapd, groups=groups), READER_PASSWORD)
        attempt(firm, directory, "anna")
        directory.close()
        assert values(firm, "anna").groups["technik"] is RW


def test_who_leaves_a_group_there_loses_what_it_gave(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    slapd.leave(SALES, ANNA)
    slapd.leave(TECHNICIANS, ANNA)
    assert review(firm, directory) == []
    assert values(firm, "anna").groups == {}


def test_a_group_that_is_not_there_gives_nothing_and_shuts_nobody_out(
    firm: Database, slapd: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    directory = StaffDirectory(section_of(slapd, groups={SALES: {"verkauf": RW}}), READER_PASSWORD)
    attempt(firm, directory, "anna")
    directory.close()
    assert values(firm, "anna").groups == {}
    assert "there is no group verkauf" in caplog.text


# An admin remains


def test_an_admin_of_the_directory_is_not_the_one_who_remains(
    firm: Database, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "bert")
    with firm.write() as session:
        root = staff_with_login(session, "root")
        with pytest.raises(InvalidFields) as refused:
            save_staff(session, ADMIN, replace(ROOT, role=Role.AGENT), root)
    assert fields_of(refused.value) == ["role"]


def test_all_admins_of_the_directory_may_leave(
    firm: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "bert")
    with firm.write() as session:  # even if nobody here could take their place
        staff_with_login(session, "root").password_hash = None
    slapd.delete(BERT)
    assert review(firm, directory) == ["bert"]
    assert not values(firm, "bert").valid


# What is kept there cannot be changed here


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"login": "x"}, "login"),
        ({"email": "x@x.example"}, "email"),
        ({"first_name": "x"}, "first_name"),
        ({"last_name": "x"}, "last_name"),
        ({"role": Role.ADMIN}, "role"),
        ({"valid": False}, "valid"),
        ({"groups": {"vertrieb": RW}}, "groups"),
        ({"groups": {"vertrieb": RO, "technik": RW}}, "groups"),
    ],
)
def test_what_the_directory_decides_is_changed_there_only(
    firm: Database, directory: StaffDirectory, change: dict[str, object], field: str
) -> None:
    attempt(firm, directory, "anna")
    before = values(firm, "anna")
    with firm.write() as session:
        staff = staff_with_login(session, "anna")
        with pytest.raises(InvalidFields) as refused:
            save_staff(session, ADMIN, replace(before, **change), staff)
    assert fields_of(refused.value) == [field]
    assert values(firm, "anna") == before


def test_there_is_no_password_of_ours(firm: Database, directory: StaffDirectory) -> None:
    signed_in = attempt(firm, directory, "anna")
    with firm.write() as session:
        anna = staff_with_login(session, "anna")
        with pytest.raises(Invalid, match="kept in the directory"):
            set_password(session, ADMIN, anna, HASH)
        with pytest.raises(Invalid, match="kept in the directory"):
            invite(session, ADMIN, anna)
        ask_for_password(session, "anna", staff=True, language="en", peer=HERE)
    with firm.write() as session:
        assert answer_requests(session) == 0
        assert session.scalars(select(OutgoingMail)).all() == []
    visit = Visit(signed_in.account, b"", now())
    with pytest.raises(Invalid, match="kept in the directory"):
        change_password(firm, visit, PASSWORD, "another password", peer=HERE)


def test_an_account_can_be_kept_here_from_now_on(firm: Database, directory: StaffDirectory) -> None:
    attempt(firm, directory, "anna")
    with firm.write() as session:
        anna = staff_with_login(session, "anna")
        keep_here(session, ADMIN, anna)
        set_password(session, ADMIN, anna, HASH)
    assert refusal(firm, directory, "anna") == REFUSED
    assert attempt(firm, directory, "anna", LOCAL_PASSWORD)
    assert review(firm, directory) == []
    assert "kept-here" in [event.action for event in events(firm, "staff")]


# The worker's review


def test_the_review_follows_changes_and_shuts_out_who_has_left(
    database: Database, slapd: Slapd, directory: StaffDirectory
) -> None:
    filled(database)
    slapd.join(AGENTS, CAROL, DORA)
    for login in ("anna", "bert", "carol", "dora"):
        attempt(database, directory, login)
    slapd.delete(ANNA)
    slapd.leave(AGENTS, DORA)
    slapd.leave(ADMINS, BERT)
    slapd.rename(CAROL, "uid=caro")
    assert sorted(review(database, directory)) == ["anna", "dora"]
    with database.read() as session:
        found = {each.login: (each.role, each.valid) for each in session.scalars(select(Staff))}
    assert found == {
        "root": (Role.ADMIN, True),
        "anna": (Role.AGENT, False),
        "bert": (Role.AGENT, True),
        "caro": (Role.AGENT, True),
        "dora": (Role.AGENT, False),
    }
    assert sessions(database) == 1  # Carol's; Bert's role is another one
    assert review(database, directory) == []


def test_a_review_of_many_asks_for_all_of_them(firm: Database) -> None:
    keys = {f"u{number}": str(UUID(int=number)) for number in range(1, 121)}
    people: Entries = {
        person_dn(uid): {**person(uid, f"{uid}@firm.example"), "entryUUID": key}
        for uid, key in keys.items()
    }
    with run_slapd({**people, AGENTS: group(*people), ADMINS: group()}) as slapd:
        directory = StaffDirectory(section_of(slapd), READER_PASSWORD)
        with firm.write() as session:
            for member in directory.read(keys.values()).values():
                assert bring_in(session, member) is not None
        assert len(logins(firm)) == 121
        assert review(firm, directory) == []
        slapd.delete(person_dn("u7"), person_dn("u119"))
        assert sorted(review(firm, directory)) == ["u119", "u7"]
        directory.close()


@pytest.mark.postgresql
def test_a_change_at_the_same_moment_is_no_obstacle(
    postgresql_database: Database,
    slapd: Slapd,
    directory: StaffDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody chooses a dark page just when the directory's new name is stored."""
    database = filled(postgresql_database)
    attempt(database, directory, "anna")
    themes = ["dark", "light"]

    def meanwhile(*given: Any, **more: Any) -> Staff:
        if themes:
            with database.write() as session:
                staff_with_login(session, "anna").theme = themes.pop()
        return save_staff(*given, **more)

    monkeypatch.setattr(directory_staff, "save_staff", meanwhile)
    slapd.modify(ANNA, {"sn": "Meier"})
    assert review(database, directory) == []
    assert values(database, "anna").last_name == "Müller"  # next time
    assert themes == ["dark"]
    attempt(database, directory, "anna")
    assert values(database, "anna").last_name == "Meier"
    assert themes == []


def test_a_directory_that_knows_nobody_any_more_changes_nothing(
    firm: Database, slapd: Slapd, directory: StaffDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    attempt(firm, directory, "anna")
    attempt(firm, directory, "bert")
    elsewhere = StaffDirectory(section_of(slapd, filter="(uid=nobody)"), READER_PASSWORD)
    assert review(firm, elsewhere) == []
    elsewhere.close()
    assert "knows none of 2" in caplog.text
    assert values(firm, "anna").valid
    assert sessions(firm) == 2


def test_without_a_directory_nobody_of_it_is_staff(
    firm: Database, directory: StaffDirectory
) -> None:
    attempt(firm, directory, "anna")
    attempt(firm, directory, "bert")
    assert sorted(review(firm, None)) == ["anna", "bert"]
    assert sessions(firm) == 0


# The directory is away


@pytest.mark.parametrize("go_away", [Slapd.stop, Slapd.pause])
def test_while_it_is_away_who_is_kept_here_works_and_others_are_told(
    firm: Database,
    slapd: Slapd,
    directory: StaffDirectory,
    go_away: Callable[[Slapd], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt(firm, directory, "anna")
    go_away(slapd)
    texts = {
        refusal(firm, directory, login, password)
        for login, password in (
            ("anna", PASSWORD),
            ("nobody", PASSWORD),
            ("carol", "wrong"),
            ("root", "wrong"),
        )
    }
    assert len(texts) == 1
    assert "the directory of staff does not answer at the moment" in texts.pop()
    asked: list[object] = []  # nothing: it is known to be away
    with monkeypatch.context() as counted:
        for question in ("search", "read", "bind_as"):
            counted.setattr(client.Directory, question, lambda *each, **_more: asked.append(each))
        attempt(firm, directory, "root", LOCAL_PASSWORD)
        assert refusal(firm, directory, "anna") != REFUSED
    assert asked == []
    assert sessions(firm) == 2  # Anna's goes on
    with pytest.raises(DirectoryAway):
        review(firm, directory)
    assert values(firm, "anna").valid


def test_only_few_sign_ins_wait_for_a_directory_that_hangs(
    firm: Database,
    slapd: Slapd,
    directory: StaffDirectory,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A portal has eight threads: some must be left for everybody else."""
    monkeypatch.setattr(client, "SECONDS", 30.0)
    slapd.pause()
    threads = [Thread(target=refusal, args=(firm, directory, f"u{each}")) for each in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: caplog.text.count("too many are asking at once") == 2, "refusals of two")
    attempt(firm, directory, "root", LOCAL_PASSWORD)
    assert [thread.is_alive() for thread in threads].count(True) == 3
    slapd.kill()
    for thread in threads:
        thread.join(10)


# TLS


@pytest.mark.parametrize("tls", ["starttls", "ldaps"])
def test_passwords_travel_encrypted(firm: Database, tls: str) -> None:
    with run_slapd(PEOPLE, require_tls=True) as slapd:
        server = slapd.server if tls == "starttls" else slapd.ldaps_server
        directory = StaffDirectory(section_of(slapd, tls=tls, servers=[server]), READER_PASSWORD)
        attempt(firm, directory, "anna")
        directory.close()


def test_a_server_that_cannot_prove_its_name_gets_no_password(
    firm: Database, slapd: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    directory = StaffDirectory(section_of(slapd, ca_file=""), READER_PASSWORD)
    assert "does not answer" in refusal(firm, directory, "anna")
    directory.close()
    assert "certificate" in caplog.text
    assert "BIND dn" not in slapd.log


# What schalter check asks


def test_people_are_counted_by_the_group_of_their_role(slapd: Slapd) -> None:
    gone = group_dn("gone")
    roles = {AGENTS: Role.AGENT, ADMINS: Role.ADMIN, gone: Role.AGENT}
    for member_of, counted in (("memberOf", 2), ("", 3)):  # the group's reader is no person
        section = section_of(slapd, roles=roles, groups={}, member_of=member_of)
        directory = StaffDirectory(section, READER_PASSWORD)
        assert directory.count() == {AGENTS: counted, ADMINS: counted - 1, gone: None}
        directory.close()
