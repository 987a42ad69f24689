"""The matrix of permissions: what a cell shows, and that saving touches only what was changed."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from core.accounts.groups import group_named
from core.accounts.lists import CustomerFilter, CustomerUserFilter
from core.accounts.matrix import (
    Cell,
    CellChange,
    customer_changes,
    customer_matrix,
    customer_user_changes,
    customer_user_matrix,
    save_customer_cells,
    save_customer_user_cells,
)
from core.accounts.permissions import Grant, Through
from core.accounts.queues import QueueValues, save_queue
from core.db import Database
from core.errors import NotFound, SchalterError, Stale
from core.models import CustomerGroup, CustomerUserGroup
from core.organisation import load_organisation
from core.settings import change_settings
from core.words import Permission
from tests.accounts.people import (
    ADMIN,
    ANNA,
    at_the_same_time,
    events,
    saved,
    the_account,
    the_customer,
)
from tests.intake.firm import Firm, a_firm

RO, RW = Permission.RO, Permission.RW
NOTHING = Cell(None, (), None)


def stored(database: Database) -> set[tuple[str, str, str]]:
    """Return the direct permissions of customer users."""
    with database.read() as session:
        return {
            (row.customer_user.login, row.group.name, row.permission.value)
            for row in session.scalars(select(CustomerUserGroup))
        }


BEFORE = {("anna", "technik", "rw"), ("bert", "technik", "ro")}


def save(database: Database, *changes: CellChange) -> list[CellChange]:
    """Save changes of cells of customer users."""
    with database.write() as session:
        return list(save_customer_user_cells(session, ADMIN, changes))


def test_a_cell_shows_what_is_direct_what_is_inherited_and_what_it_comes_to(
    database: Database,
) -> None:
    firm = a_firm(database, customer_group_always_groups=["rechnung"])
    vertrieb, technik, rechnung = (firm.groups[n] for n in ("vertrieb", "technik", "rechnung"))
    save(database, CellChange(firm.customer_users["anna"], vertrieb, None, RO))
    with database.read() as session:
        found = customer_user_matrix(session, load_organisation(session), CustomerUserFilter())
        customers = customer_matrix(session, load_organisation(session), CustomerFilter())
    assert [group.name for group in found.groups] == ["rechnung", "technik", "vertrieb"]
    always = Grant(RW, Through.ALWAYS, rechnung)
    customer = Grant(RW, Through.CUSTOMER, vertrieb)
    rows = {row.holder.login: dict(row.cells) for row in found.page.items}
    assert rows["anna"] == {
        vertrieb: Cell(RO, (customer,), RW),
        technik: Cell(RW, (), RW),
        rechnung: Cell(None, (always,), RW),
    }
    assert rows["bert"] == {
        vertrieb: Cell(None, (customer,), RW),
        technik: Cell(RO, (), RO),
        rechnung: Cell(None, (always,), RW),
    }
    assert rows["carol"] == {
        vertrieb: NOTHING,
        technik: NOTHING,
        rechnung: Cell(None, (always,), RW),
    }
    assert {row.holder.number: dict(row.cells) for row in customers.page.items} == {
        "K-1000": {
            vertrieb: Cell(RW, (), RW),
            technik: NOTHING,
            rechnung: Cell(None, (always,), RW),
        },
        "K-2000": {
            vertrieb: NOTHING,
            technik: NOTHING,
            rechnung: Cell(None, (always,), RW),
        },
    }


def test_an_invalid_group_is_shown_and_grants_nothing(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        group_named(session, "technik").valid = False
    with database.read() as session:
        found = customer_user_matrix(session, load_organisation(session), CustomerUserFilter())
    anna = next(row for row in found.page.items if row.holder.login == "anna")
    assert anna.cells[firm.groups["technik"]] == Cell(RW, (), None)


def test_rows_are_searched_and_come_in_pages(database: Database) -> None:
    a_firm(database)
    saved(database, *(replace(ANNA, login=f"u{n}", email=f"u{n}@x.example") for n in range(5)))
    with database.read() as session:
        organisation = load_organisation(session)
        wanted = CustomerUserFilter(query="müller")
        first = customer_user_matrix(session, organisation, wanted, limit=3)
        second = customer_user_matrix(
            session, organisation, wanted, cursor=first.page.next, limit=3
        )
    assert [row.holder.login for row in first.page.items] == ["u0", "u1", "u2"]
    assert [row.holder.login for row in second.page.items] == ["u3", "u4"]
    assert second.page.previous is not None


def test_only_changed_cells_are_touched(database: Database) -> None:
    firm = a_firm(database)
    anna, bert = firm.customer_users["anna"], firm.customer_users["bert"]
    technik, rechnung = firm.groups["technik"], firm.groups["rechnung"]
    done = save(
        database,
        CellChange(anna, technik, RW, RW),  # shown, not changed
        CellChange(anna, rechnung, None, None),
        CellChange(bert, technik, RO, RW),
    )
    assert [change.holder_id for change in done] == [bert]
    assert stored(database) == {("anna", "technik", "rw"), ("bert", "technik", "rw")}
    assert [event.object_name for event in events(database, "customer-user")] == ["bert"]


def test_a_shown_cell_that_was_not_changed_is_not_put_back(database: Database) -> None:
    """The page shows rw; meanwhile it became ro; saving another cell leaves it at ro."""
    firm = a_firm(database)
    anna, bert = firm.customer_users["anna"], firm.customer_users["bert"]
    technik = firm.groups["technik"]
    save(database, CellChange(anna, technik, RW, RO))
    save(database, CellChange(anna, technik, RW, RW), CellChange(bert, technik, RO, None))
    assert stored(database) == {("anna", "technik", "ro")}


CHANGES = [
    # old, new → stored
    (None, RO, "ro"),
    (None, RW, "rw"),
    (RO, RW, "rw"),
    (RW, RO, "ro"),
    (RO, None, None),
    (RW, None, None),
]


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_a_change_is_stored_and_told(
    sqlite_database: Database,
    old: Permission | None,
    new: Permission | None,
    expected: str | None,
) -> None:
    firm = a_firm(sqlite_database)
    carol, rechnung = firm.customer_users["carol"], firm.groups["rechnung"]
    save(sqlite_database, CellChange(carol, rechnung, None, old))
    save(sqlite_database, CellChange(carol, rechnung, old, new))
    found = {
        permission for login, _group, permission in stored(sqlite_database) if login == "carol"
    }
    assert found == ({expected} if expected else set())
    event = events(sqlite_database, "customer-user")[-1]
    assert (event.action, event.actor_name) == ("permissions-changed", "root")
    assert event.before == {"groups": {"rechnung": old}}
    assert event.after == {"groups": {"rechnung": new}}


def test_there_is_one_event_for_each_customer_user(database: Database) -> None:
    firm = a_firm(database)
    anna, carol = firm.customer_users["anna"], firm.customer_users["carol"]
    save(
        database,
        CellChange(anna, firm.groups["technik"], RW, None),
        CellChange(anna, firm.groups["rechnung"], None, RO),
        CellChange(carol, firm.groups["rechnung"], None, RW),
    )
    told = {
        event.object_name: (event.before, event.after)
        for event in events(database, "customer-user")
    }
    assert told == {
        "anna": (
            {"groups": {"technik": "rw", "rechnung": None}},
            {"groups": {"technik": None, "rechnung": "ro"}},
        ),
        "carol": ({"groups": {"rechnung": None}}, {"groups": {"rechnung": "rw"}}),
    }


def test_a_cell_that_somebody_else_changed_is_named_and_nothing_is_saved(
    database: Database,
) -> None:
    firm = a_firm(database)
    anna, bert, technik = (
        firm.customer_users["anna"],
        firm.customer_users["bert"],
        firm.groups["technik"],
    )
    save(database, CellChange(anna, technik, RW, RO))
    with pytest.raises(Stale, match="anna – technik") as refused:
        save(database, CellChange(bert, technik, RO, RW), CellChange(anna, technik, RW, None))
    assert "bert" not in str(refused.value)
    assert stored(database) == {("anna", "technik", "ro"), ("bert", "technik", "ro")}


def test_who_wants_the_same_is_not_bothered(database: Database) -> None:
    firm = a_firm(database)
    change = CellChange(firm.customer_users["anna"], firm.groups["technik"], RW, None)
    assert save(database, change) == [change]
    assert save(database, change) == []
    assert len(events(database, "customer-user")) == 1


def test_of_two_who_change_one_cell_at_once_one_wins(database: Database) -> None:
    firm = a_firm(database)
    carol, rechnung = firm.customer_users["carol"], firm.groups["rechnung"]
    results = at_the_same_time(
        lambda: save(database, CellChange(carol, rechnung, None, RO)),
        lambda: save(database, CellChange(carol, rechnung, None, RW)),
    )
    errors = [result for result in results if isinstance(result, SchalterError)]
    assert [type(error) for error in errors] == [Stale]
    assert len(stored(database) - BEFORE) == 1


@pytest.mark.parametrize("unknown", ["holder", "group"])
def test_what_does_not_exist_is_refused(sqlite_database: Database, unknown: str) -> None:
    firm = a_firm(sqlite_database)
    known = CellChange(firm.customer_users["carol"], firm.groups["rechnung"], None, RW)
    wrong = replace(known, **{f"{unknown}_id": 999})
    with pytest.raises(NotFound):
        save(sqlite_database, known, wrong)
    assert stored(sqlite_database) == BEFORE


def test_the_table_of_customers_works_alike(database: Database) -> None:
    firm = a_firm(database)
    muster, acme = firm.customers["K-1000"], firm.customers["K-2000"]
    vertrieb, technik = firm.groups["vertrieb"], firm.groups["technik"]
    with database.write() as session:
        save_customer_cells(
            session,
            ADMIN,
            [CellChange(muster, vertrieb, RW, RO), CellChange(acme, technik, None, RW)],
        )
    with database.read() as session:
        rows = {
            (row.customer.number, row.group.name, row.permission)
            for row in session.scalars(select(CustomerGroup))
        }
    assert rows == {("K-1000", "vertrieb", RO), ("K-2000", "technik", RW)}
    assert {event.object_name for event in events(database, "customer")} == {
        "K-1000 Muster GmbH",
        "K-2000 Acme Ltd",
    }
    with database.write() as session, pytest.raises(Stale, match="K-1000 Muster GmbH – vertrieb"):
        save_customer_cells(session, ADMIN, [CellChange(muster, vertrieb, RW, None)])


def wanted(firm: Firm, **groups: Permission) -> dict[int, Permission]:
    """Return permissions by the ids of groups."""
    return {firm.groups[name]: permission for name, permission in groups.items()}


def test_the_changes_to_what_is_wanted_are_found(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        anna, muster = the_account(session, "anna"), the_customer(session, "K-1000")
        assert customer_user_changes(session, anna, wanted(firm, technik=RW)) == []
        changes = customer_user_changes(session, anna, wanted(firm, rechnung=RO))
        save_customer_user_cells(session, ADMIN, changes)
        save_customer_cells(session, ADMIN, customer_changes(session, muster, {}))
        assert customer_changes(session, muster, {}) == []
    assert stored(database) == {("anna", "rechnung", "ro"), ("bert", "technik", "ro")}
    with database.read() as session:
        assert session.scalars(select(CustomerGroup)).all() == []


def test_an_account_that_was_loaded_before_shows_the_new_permissions(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        anna = the_account(session, "anna")
        assert len(anna.permissions) == 1
        change = CellChange(anna.id, firm.groups["technik"], RW, None)
        save_customer_user_cells(session, ADMIN, [change])
        assert anna.permissions == []


def test_without_group_support_the_table_shows_what_would_be(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        change_settings(session, ADMIN, {"customer_group_support": False})
        save_queue(session, ADMIN, QueueValues(name="Neu", group="technik"))
    with database.read() as session:
        found = customer_user_matrix(session, load_organisation(session), CustomerUserFilter())
    carol = next(row for row in found.page.items if row.holder.login == "carol")
    assert set(carol.cells.values()) == {NOTHING}
    assert len(carol.cells) == len(firm.groups)
