"""*Kunden Benutzer <-> Gruppen*: cells are changed one by one, and nothing else is touched."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from core.accounts.groups import GroupValues, save_group
from core.models import AuditEvent, CustomerGroup, CustomerUserGroup, Group
from core.words import Permission
from tests.portal.admin.browsing import Admin, admin_of, form_of
from tests.portal.admin.firm import SETUP, account_named, customer_named, group_id
from tests.support.portal import RunningPortal, token_of

TABLE, CUSTOMERS = "/admin/permissions", "/admin/permissions/customers"


def cell(pages: RunningPortal, login: str, group: str, shown: str) -> str:
    """Return the name of a cell that shows a permission."""
    with pages.database.read() as session:
        return f"cell.{account_named(session, login).id}.{group_id(session, group)}.{shown}"


def stored(pages: RunningPortal) -> dict[tuple[int, int], Permission]:
    with pages.database.read() as session:
        return {
            (row.customer_user_id, row.group_id): row.permission
            for row in session.scalars(select(CustomerUserGroup))
        }


def changes(pages: RunningPortal) -> list[AuditEvent]:
    with pages.database.read() as session:
        statement = select(AuditEvent).where(AuditEvent.action == "permissions-changed")
        return list(session.scalars(statement.order_by(AuditEvent.id)))


def save_one(client: FlaskClient, name: str, value: str) -> TestResponse:
    """Save one cell as the script does."""
    data = {"csrf_token": token_of(client, TABLE), name: value}
    headers = {"X-Schalter-Cell": "1", "Accept-Language": "en"}
    return client.post(TABLE, data=data, headers=headers)


def test_a_changed_cell_is_saved_and_nothing_else(pages: RunningPortal, ada: Admin) -> None:
    before = stored(pages)
    name = cell(pages, "nora", "technik", "off")
    answer = ada.fill(TABLE, **{name: "rw"})
    assert answer.status_code == 303
    assert "1 permission changed." in ada.get(TABLE)
    _cell, holder, group, _old = name.split(".")
    assert stored(pages) == {**before, (int(holder), int(group)): Permission.RW}
    (event,) = changes(pages)
    assert (event.actor_name, event.object_name) == ("ada", "nora")


def test_rows_that_were_not_shown_keep_their_permissions(firm: RunningPortal) -> None:
    ada, before = admin_of(firm), stored(firm)
    shown = ada.form(f"{TABLE}?q=nora")
    assert len({name.split(".")[1] for name in shown.names("cell.")}) == 1
    name = cell(firm, "nora", "rechnung", "off")
    assert ada.send(f"{TABLE}?q=nora", shown, **{name: "ro"}).status_code == 303
    assert {key: value for key, value in stored(firm).items() if key in before} == before
    assert len(stored(firm)) == len(before) + 1


def test_columns_that_were_not_shown_keep_their_permissions(
    pages: RunningPortal, ada: Admin
) -> None:
    with pages.database.read() as session:
        rechnung = group_id(session, "rechnung")
    path = f"{TABLE}?group={rechnung}"
    shown = ada.form(path)
    assert {name.split(".")[2] for name in shown.names("cell.")} == {str(rechnung)}
    before = stored(pages)
    ada.send(path, shown, **{cell(pages, "anna", "rechnung", "off"): "ro"})
    assert {key: value for key, value in stored(pages).items() if key[1] != rechnung} == before


def test_a_cell_that_somebody_else_has_changed_is_named_and_kept(
    pages: RunningPortal, ada: Admin
) -> None:
    shown = ada.form(TABLE)
    with pages.database.write() as session:
        row = CustomerUserGroup(
            customer_user_id=account_named(session, "nora").id,
            group_id=group_id(session, "technik"),
            permission=Permission.RO,
        )
        session.add(row)
    stale, other = cell(pages, "nora", "technik", "off"), cell(pages, "anna", "rechnung", "off")
    answer = ada.send(TABLE, shown, **{stale: "rw", other: "ro"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "nora – technik" in page
    assert Permission.RW not in [
        permission for (holder, _g), permission in stored(pages).items()
        if str(holder) == stale.split(".")[1]
    ]  # fmt: skip
    again = form_of(answer)
    assert again.value(stale.replace(".off", ".ro")) == "rw"  # typed, beside what is stored now
    assert again.value(other) == "ro"
    assert ada.send(TABLE, again).status_code == 303
    assert "2 permissions changed." in ada.get(TABLE)


def test_nothing_changed_is_said(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(TABLE).status_code == 303
    assert "Nothing was changed." in ada.get(TABLE)
    assert not changes(pages)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("cell.1.1.off", "admin", 400),
        ("cell.1.1.all", "rw", 400),
        ("cell.x.1.off", "rw", 400),
        ("cell.1.1.off.2", "rw", 400),
        ("cell.99999999999999999999.1.off", "rw", 400),
        ("cell.99999.1.off", "rw", 404),
        ("cell.1.99999.off", "rw", 404),
    ],
)
def test_what_is_no_cell_changes_nothing(
    pages: RunningPortal, ada: Admin, name: str, value: str, status: int
) -> None:
    before = stored(pages)
    assert ada.fill(TABLE, **{name: value}).status_code == status
    assert stored(pages) == before


def test_the_script_gets_one_cell_and_a_sentence(pages: RunningPortal, ada: Admin) -> None:
    answer = save_one(ada.client, cell(pages, "nora", "technik", "off"), "rw")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "<html" not in page
    assert f'name="{cell(pages, "nora", "technik", "rw")}"' in page
    assert "Saved: Nora Jones, technik." in page
    assert changes(pages)


def test_the_script_gets_the_page_when_somebody_else_was_faster(
    pages: RunningPortal, ada: Admin
) -> None:
    answer = save_one(ada.client, cell(pages, "carol", "technik", "off"), "ro")
    assert answer.status_code == 409
    assert "carol – technik" in answer.get_data(as_text=True)


def test_hiding_tickets_is_asked_about_first(pages: RunningPortal, ada: Admin) -> None:
    for number in range(3):
        pages.add_ticket("carol", "Technik", f"Ticket {number}")
    name, before = cell(pages, "carol", "technik", "rw"), stored(pages)
    question = ada.fill(TABLE, **{name: "off"})
    page = question.get_data(as_text=True)
    assert question.status_code == 200
    assert "3 open tickets would no longer be visible" in page
    assert stored(pages) == before
    asked = form_of(question)
    assert asked.action == TABLE
    pages.add_ticket("carol", "Technik", "Noch eins")
    again = ada.send(asked.action, asked)
    assert "4 open tickets would no longer be visible" in again.get_data(as_text=True)
    assert stored(pages) == before
    assert ada.send(asked.action, form_of(again)).status_code == 303
    assert len(stored(pages)) == len(before) - 1


def test_the_script_is_asked_as_well(pages: RunningPortal, ada: Admin) -> None:
    pages.add_ticket("carol", "Technik", "Ticket")
    before = stored(pages)
    page = save_one(ada.client, cell(pages, "carol", "technik", "rw"), "off").get_data(as_text=True)
    assert "data-saved" not in page
    assert stored(pages) == before


def test_the_table_shows_what_is_inherited_and_why(pages: RunningPortal, ada: Admin) -> None:
    pages.change_settings(customer_group_always_groups=["rechnung"])
    page = ada.get(f"{TABLE}?q=bert")
    assert page.count('<span class="cell-mark">') == 2
    assert "In effect: Read and write, through the customer." in page
    assert "In effect: Read, set here." in page


def test_a_permission_in_an_invalid_group_is_marked(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.write() as session:
        session.scalars(select(Group).where(Group.name == "technik")).one().valid = False
    page = ada.get(f"{TABLE}?q=carol")
    assert "no effect" in page
    assert "No effect: the group is invalid." in page


def test_customers_have_a_table_of_their_own(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        acme, rechnung = customer_named(session, "Acme Ltd").id, group_id(session, "rechnung")
    answer = ada.fill(CUSTOMERS, **{f"cell.{acme}.{rechnung}.off": "ro"})
    assert answer.status_code == 303
    with pages.database.read() as session:
        row = session.get_one(CustomerGroup, (acme, rechnung))
        assert row.permission is Permission.RO
    assert "In effect: Read, through the customer." in ada.get(f"{TABLE}?q=carol")


def test_without_group_support_the_page_says_so(pages: RunningPortal, ada: Admin) -> None:
    assert "Customer groups are switched off" not in ada.get(TABLE)
    pages.change_settings(customer_group_support=False)
    page = ada.get(TABLE)
    assert "Customer groups are switched off" in page
    assert 'href="/admin/settings#customer_group_support"' in page


def test_many_groups_are_shown_one_by_one(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.write() as session:
        for number in range(9):
            save_group(session, SETUP, GroupValues(name=f"g{number}"))
    page = ada.get(TABLE)
    assert "There are 12 groups" in page
    assert "<table" not in page
    chosen = re.findall(rf'href="({TABLE}\?group=\d+)">[^<]*<svg[^>]*>.*?</svg> g3<', page)
    assert "<table" in ada.get(chosen[0])


def test_names_are_text_in_the_table(pages: RunningPortal, ada: Admin) -> None:
    evil = "<script>alert(1)</script>"
    with pages.database.write() as session:
        save_group(session, SETUP, GroupValues(name=evil))
    for path in (TABLE, CUSTOMERS, "/admin/groups", "/admin/settings", "/admin/staff/new"):
        page = ada.get(path)
        assert evil not in page
        assert "&lt;script&gt;" in page, path


def test_a_text_of_ours_is_escaped_like_any_other(ada: Admin) -> None:
    """An arrow is no markup; in the navigation it stays on one line."""
    page = ada.get(TABLE)
    assert "<->" not in page
    assert '<span class="nav-arrow">&lt;-&gt;</span>' in page


class TestDecidedByASource:
    """A cell of a group that the customer source of an account decides has no select."""

    @pytest.fixture(autouse=True)
    def _directory(self, pages: RunningPortal) -> None:
        pages.database.managed_groups = {"ad": frozenset({"technik"})}
        with pages.database.write() as session:
            account_named(session, "anna").source = "ad"

    def test_the_table_shows_it_without_a_choice(self, pages: RunningPortal, ada: Admin) -> None:
        holder = cell(pages, "anna", "technik", "").rstrip(".")
        names = ada.form(TABLE).names("cell.")
        assert not [name for name in names if name.startswith(holder + ".")]
        assert [name for name in names if name.startswith(cell(pages, "anna", "vertrieb", ""))]
        assert [name for name in names if name.startswith(cell(pages, "bert", "technik", ""))]
        assert "The customer source &#34;ad&#34; decides this." in ada.get(TABLE)

    def test_the_page_of_the_account_too(self, pages: RunningPortal, ada: Admin) -> None:
        with pages.database.read() as session:
            path = f"/admin/customer-users/{account_named(session, 'anna').id}"
        names = ada.form(path).names("cell.")
        assert [name.split(".")[2] for name in names] == [
            str(group_id_of(pages, name)) for name in ("rechnung", "vertrieb")
        ]
        assert "decides this." in ada.get(path)

    @pytest.mark.parametrize("by_script", [True, False])
    def test_a_page_that_is_out_of_date_changes_nothing(
        self, pages: RunningPortal, ada: Admin, by_script: bool
    ) -> None:
        before = stored(pages)
        with pages.database.read() as session:
            key = (account_named(session, "anna").id, group_id(session, "technik"))
        name = cell(pages, "anna", "technik", before.get(key, "off"))
        wanted = "off" if key in before else "rw"
        if by_script:
            answer = save_one(ada.client, name, wanted)
        else:
            answer = ada.fill(TABLE, **{name: wanted})
        assert answer.status_code == 409
        page = answer.get_data(as_text=True)
        assert "decides the group &#34;technik&#34; of &#34;anna&#34;." in page
        assert stored(pages) == before


def group_id_of(pages: RunningPortal, name: str) -> int:
    with pages.database.read() as session:
        return group_id(session, name)
