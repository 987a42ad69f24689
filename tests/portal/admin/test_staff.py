"""Staff accounts: one-time passwords, roles, and the last admin."""

import re

import pytest
from sqlalchemy import select

from core.models import AuditEvent, Staff
from core.words import Permission, Role
from tests.portal.admin.browsing import Admin, form_of, signs_in
from tests.portal.admin.firm import group_id
from tests.support.portal import RunningPortal, staff

LIST, NEW = "/admin/staff", "/admin/staff/new"


def path_of(pages: RunningPortal, login: str) -> str:
    with pages.database.read() as session:
        return f"{LIST}/{staff(session, login).id}"


def test_a_new_agent_gets_a_one_time_password(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        technik = group_id(session, "technik")
    answer = ada.fill(
        NEW, login="rita", email="rita@example.org", first_name="Rita", **{f"group.{technik}": "ro"}
    )
    (password,) = re.findall(r'id="once" value="([^"]+)"', answer.get_data(as_text=True))
    assert signs_in(pages, "/staff/sign-in", "rita", password)
    with pages.database.read() as session:
        rita = staff(session, "rita")
        assert rita.must_change_password
        assert (rita.role, [row.permission for row in rita.permissions]) == (
            Role.AGENT,
            [Permission.RO],
        )
        for event in session.scalars(select(AuditEvent)):
            assert password not in str((event.before, event.after, event.object_name))
    for path in (LIST, path_of(pages, "rita"), "/admin/audit"):
        assert password not in ada.get(path)


def test_an_agent_s_new_password_ends_sessions_and_must_be_changed(
    pages: RunningPortal, ada: Admin
) -> None:
    jonas = pages.client("jonas")
    answer = ada.fill(f"{path_of(pages, 'jonas')}/password")
    (password,) = re.findall(r'id="once" value="([^"]+)"', answer.get_data(as_text=True))
    assert jonas.get("/staff/account/preferences").status_code == 303
    assert signs_in(pages, "/staff/sign-in", "jonas", password)
    with pages.database.read() as session:
        assert staff(session, "jonas").must_change_password


def test_a_look_at_the_page_gives_no_password(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        before = staff(session, "jonas").password_hash
    assert 'id="once"' not in ada.get(f"{path_of(pages, 'jonas')}/password")
    with pages.database.read() as session:
        assert staff(session, "jonas").password_hash == before


@pytest.mark.parametrize("change", [{"role": "agent"}, {"valid": "invalid"}])
def test_the_last_admin_stays(pages: RunningPortal, ada: Admin, change: dict[str, str]) -> None:
    answer = ada.fill(path_of(pages, "ada"), **change)
    assert answer.status_code == 422
    assert "This is the last admin." in answer.get_data(as_text=True)
    with pages.database.read() as session:
        assert staff(session, "ada").role is Role.ADMIN
        assert staff(session, "ada").valid


def test_a_login_that_is_taken_is_a_link_and_groups_stay_chosen(
    pages: RunningPortal, ada: Admin
) -> None:
    with pages.database.read() as session:
        technik = group_id(session, "technik")
    answer = ada.fill(NEW, login="Jonas", email="x@example.org", **{f"group.{technik}": "rw"})
    assert answer.status_code == 422
    assert f'<a href="{path_of(pages, "jonas")}">' in answer.get_data(as_text=True)
    assert form_of(answer).value(f"group.{technik}") == "rw"


def test_groups_of_an_agent_are_changed_with_the_rest(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        technik, rechnung = group_id(session, "technik"), group_id(session, "rechnung")
    path = path_of(pages, "jonas")
    answer = ada.fill(path, **{f"group.{technik}": "off", f"group.{rechnung}": "ro"})
    assert answer.status_code == 303
    page = ada.get(f"{path}/history")
    assert "Permission in &#34;technik&#34;" in page
    assert "Permission in &#34;rechnung&#34;" in page
    assert "Permission in &#34;vertrieb&#34;" not in page
    with pages.database.read() as session:
        groups = {row.group_id for row in staff(session, "jonas").permissions}
    assert rechnung in groups
    assert technik not in groups


def test_whoever_is_slower_is_told(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages, "jonas")
    shown = ada.form(path)
    with pages.database.write() as session:
        jonas = staff(session, "jonas")
        jonas.first_name = "Joe"
    answer = ada.send(path, shown, last_name="Neu")
    assert answer.status_code == 409
    assert form_of(answer).value("last_name") == "Neu"
    with pages.database.read() as session:
        assert staff(session, "jonas").last_name == "Weber"


def test_a_role_that_is_none_is_refused(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(path_of(pages, "jonas"), role="root").status_code == 422
    answer = ada.fill(path_of(pages, "jonas"), **{"group.1": "admin"})
    assert answer.status_code == 400
    with pages.database.read() as session:
        assert session.scalars(select(Staff).where(Staff.login == "jonas")).one().role is Role.AGENT
