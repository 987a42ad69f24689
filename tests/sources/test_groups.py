"""Groups that a source gives: its word is exact for those it decides, and holds everywhere."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import CellChange, customer_user_cells, save_customer_user_cells
from core.apply.bring import bring_about
from core.apply.wanted import ApplyError, read_wanted
from core.config import Config, LdapSourceSection
from core.db import Database
from core.errors import Invalid
from core.models import AuditEvent, CustomerUser, CustomerUserGroup, Group
from core.organisation import load_organisation
from core.words import Permission
from tests.accounts.people import ADMIN, the_account
from tests.exchange.files import bring, faults
from tests.sources.crm import conflicts
from tests.sources.records import AD, ANNA, BERT, look_up, read

RO, RW = Permission.RO, Permission.RW


@pytest.fixture
def firm(database: Database) -> Database:
    """Groups here; ``technik`` and ``vertrieb`` are decided by the directory."""
    with database.write() as session:
        for name in ("technik", "vertrieb", "users"):
            save_group(session, ADMIN, GroupValues(name=name))
    database.managed_groups = {AD: frozenset({"technik", "vertrieb"})}
    return database


def groups(database: Database, login: str = "anna") -> dict[str, Permission]:
    with database.read() as session:
        rows = session.execute(
            select(Group.name, CustomerUserGroup.permission)
            .join(Group, Group.id == CustomerUserGroup.group_id)
            .join(CustomerUser, CustomerUser.id == CustomerUserGroup.customer_user_id)
            .where(CustomerUser.login == login)
        )
        return dict(rows.all())


def give(database: Database, login: str, name: str, new: Permission | None) -> None:
    """Change a permission as an admin does."""
    with database.write() as session:
        account = the_account(session, login)
        group = session.scalars(select(Group).where(Group.name == name)).one()
        old = customer_user_cells(session, load_organisation(session), account)[group.id].direct
        save_customer_user_cells(session, ADMIN, [CellChange(account.id, group.id, old, new)])


# What the source says one after the other, and what anna then has; "users" is given here.
WORDS: list[tuple[Mapping[str, Permission] | None, dict[str, Permission]]] = [
    ({"technik": RW}, {"technik": RW}),
    ({"technik": RO, "vertrieb": RW}, {"technik": RO, "vertrieb": RW}),
    ({"vertrieb": RW}, {"vertrieb": RW}),
    (None, {"vertrieb": RW}),
    ({"users": RW, "vertrieb": RO}, {"vertrieb": RO}),
    ({}, {}),
]


def test_what_the_source_says_is_exact_and_the_rest_is_kept(firm: Database) -> None:
    read(firm, ANNA, BERT)
    give(firm, "anna", "users", RO)
    for word, expected in WORDS:
        read(firm, replace(ANNA, groups=word), replace(BERT, groups={"technik": RW}))
        assert groups(firm) == {**expected, "users": RO}
        assert groups(firm, "bert") == {"technik": RW}


def test_a_change_of_groups_is_a_change(firm: Database) -> None:
    anna = replace(ANNA, groups={"technik": RW})
    assert look_up(firm, anna, BERT).new == 2
    tally = look_up(firm, anna, BERT)
    assert (tally.changed, tally.unchanged) == (0, 2)
    tally = look_up(firm, replace(anna, groups={"technik": RO}), BERT)
    assert (tally.changed, tally.unchanged) == (1, 1)
    with firm.read() as session:
        events = session.query(AuditEvent).filter_by(action="permissions-changed").all()
        assert [(event.actor_name, event.after) for event in events] == [
            ("source ad", {"groups": {"technik": "rw"}}),
            ("source ad", {"groups": {"technik": "ro"}}),
        ]


def test_a_right_is_lost_even_if_the_record_is_faulty(firm: Database) -> None:
    look_up(firm, replace(ANNA, groups={"technik": RW}))
    assert look_up(firm, replace(ANNA, groups={}, email="nothing")).refused == 1
    assert groups(firm) == {}


def test_without_managed_groups_nothing_is_given(firm: Database) -> None:
    firm.managed_groups = {}
    read(firm, replace(ANNA, groups={"technik": RW}))
    assert groups(firm) == {}


def test_an_unknown_group_is_listed_once_and_hinders_nobody(firm: Database) -> None:
    firm.managed_groups = {AD: frozenset({"technik", "nirgends"})}
    anna, bert = (replace(each, groups={"technik": RW, "nirgends": RW}) for each in (ANNA, BERT))
    for _time in range(2):
        assert read(firm, anna, bert).conflicts == 1
        assert groups(firm) == {"technik": RW}
        assert [each[:3] for each in conflicts(firm)] == [("ad", "group:nirgends", "faulty")]
    look_up(firm, anna)
    assert len(conflicts(firm)) == 1
    with firm.write() as session:
        save_group(session, ADMIN, GroupValues(name="nirgends"))
    look_up(firm, anna)
    assert conflicts(firm) == []
    assert groups(firm) == {"technik": RW, "nirgends": RW}


class TestNobodyElseDecides:
    """A managed group of a copy is refused wherever permissions are changed."""

    @pytest.fixture(autouse=True)
    def _copies(self, firm: Database) -> None:
        read(firm, replace(ANNA, groups={"technik": RW}), BERT)

    def test_a_cell(self, firm: Database) -> None:
        for name, new in (("technik", None), ("vertrieb", RO)):
            with pytest.raises(Invalid, match=f'source "ad" decides the group "{name}" of "anna"'):
                give(firm, "anna", name, new)
        give(firm, "anna", "users", RO)
        assert groups(firm) == {"technik": RW, "users": RO}

    def test_only_of_that_source(self, firm: Database) -> None:
        look_up(firm, replace(ANNA, key="9", login="other", email="o@x.example"), source="crm")
        give(firm, "other", "technik", RO)
        assert groups(firm, "other") == {"technik": RO}

    def test_cells_say_who_decides(self, firm: Database) -> None:
        with firm.read() as session:
            account = the_account(session, "anna")
            names = dict(session.execute(select(Group.id, Group.name)).all())
            cells = customer_user_cells(session, load_organisation(session), account)
        decided = {names[group_id]: cell.decided_by for group_id, cell in cells.items()}
        assert decided == {"technik": "ad", "vertrieb": "ad", "users": ""}

    def test_a_file_of_apply(self, firm: Database, tmp_path: Path) -> None:
        file = tmp_path / "wanted.toml"
        entry = '[[customer_users]]\nlogin = "anna"\ngroups = {GROUPS}\n'
        file.write_text(entry.replace("GROUPS", 'technik = "rw", users = "ro"'), encoding="utf-8")
        with firm.write() as session:
            list(bring_about(session, ADMIN, read_wanted(file), {}))
        assert groups(firm) == {"technik": RW, "users": RO}
        file.write_text(entry.replace("GROUPS", 'users = "ro"'), encoding="utf-8")
        with firm.write() as session, pytest.raises(ApplyError, match="decides the group"):
            list(bring_about(session, ADMIN, read_wanted(file), {}))

    def test_a_line_of_a_table(self, firm: Database) -> None:
        plan = bring(firm, "login;groups\nanna;technik=rw, users=ro\nbert;users=rw\n")
        assert (len(plan.faults), groups(firm)) == (0, {"technik": RW, "users": RO})
        (fault,) = faults(firm, "login;groups\nbert;\nanna;technik=ro\n")
        assert "line 3, column groups" in fault
        assert 'source "ad" decides' in fault
        assert groups(firm, "bert") == {"users": RW}


def test_the_configuration_says_which_they_are() -> None:
    section = LdapSourceSection(
        name=AD,
        kind="ldap",
        servers=["ldap.example"],
        base="dc=example",
        customer_number="K-1",
        groups={"cn=a": {"technik": RW}, "cn=b": {"technik": RO, "vertrieb": RO}},
    )
    assert section.given_groups == {"technik", "vertrieb"}
    assert Config().managed_groups == {}
