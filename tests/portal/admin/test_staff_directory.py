"""Staff from a directory on the pages: signing in, what is locked, and keeping an account here."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from core.directory.client import Directory
from portal.admin.fixed import CONFIG
from portal.app import Portal
from portal.staff_directory import set_staff_directory, staff_directory
from tests.accounts.directory import PASSWORD, PEOPLE, TECHNICIANS, section_of
from tests.portal.admin.browsing import Admin, form_of, signs_in
from tests.portal.admin.firm import group_id
from tests.support.browser import (
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import PASSWORD as LOCAL_PASSWORD
from tests.support.portal import RunningPortal, SignIn, staff
from tests.support.slapd import Slapd, run_slapd

SIGN_IN = "/staff/sign-in"
LIST = "/admin/staff"
AWAY = "the directory of staff does not answer at the moment"


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    """The directory with everybody."""
    with run_slapd(PEOPLE) as running:
        yield running


@pytest.fixture
def connect(shared_app: Portal, slapd: Slapd) -> Iterator[Callable[[RunningPortal], None]]:
    """Give pages the directory of staff."""
    before = dict(shared_app.extensions)

    def connect(pages: RunningPortal) -> None:
        config = before[CONFIG].model_copy(update={"staff_directory": section_of(slapd)})
        pages.database.managed_groups = config.managed_groups
        shared_app.extensions[CONFIG] = config
        set_staff_directory(shared_app, config)

    yield connect
    with shared_app.app_context():
        directory = staff_directory()
        assert directory is not None
        directory.close()
    shared_app.extensions.update(before)


@pytest.fixture
def anna(pages: RunningPortal, connect: Callable[[RunningPortal], None]) -> str:
    """The page of Anna, who is kept in the directory and has signed in."""
    connect(pages)
    assert signs_in(pages, SIGN_IN, "anna", PASSWORD)
    return path_of(pages, "anna")


def path_of(pages: RunningPortal, login: str) -> str:
    with pages.database.read() as session:
        return f"{LIST}/{staff(session, login).id}"


def test_who_is_kept_there_is_told_apart(pages: RunningPortal, ada: Admin, anna: str) -> None:
    listed = ada.get(LIST)
    assert listed.count("kept in the directory") == 1
    shown = ada.get(anna)
    assert "Last seen there" in shown
    for field in ("first_name", "last_name", "login", "email", "role", "valid"):
        assert f'name="{field}"' not in shown
    assert "kept in the directory" not in ada.get(path_of(pages, "jonas"))
    history = ada.get(f"{anna}/history")
    assert "staff directory" in history


def test_only_groups_that_it_does_not_decide_can_be_changed(
    pages: RunningPortal, ada: Admin, anna: str
) -> None:
    with pages.database.read() as session:
        technik, rechnung = group_id(session, "technik"), group_id(session, "rechnung")
    assert ada.form(anna).names("group.") == [f"group.{rechnung}"]
    answer = ada.fill(anna, **{f"group.{rechnung}": "ro", f"group.{technik}": "off"})
    assert answer.status_code == 303
    with pages.database.read() as session:
        groups = {row.group.name: row.permission for row in staff(session, "anna").permissions}
    assert groups == {"rechnung": "ro", "technik": "rw", "vertrieb": "rw"}


@pytest.mark.parametrize("change", [{"role": "admin"}, {"login": "x"}, {"valid": "invalid"}])
def test_what_is_sent_all_the_same_is_refused(
    ada: Admin, anna: str, change: dict[str, str]
) -> None:
    answer = ada.fill(anna, **change)
    assert answer.status_code == 422
    assert "kept in the directory of staff: please change it there" in answer.text


def test_no_password_is_given_here(pages: RunningPortal, ada: Admin, anna: str) -> None:
    shown = ada.form(f"{anna}/password")
    assert shown.action == f"{anna}/keep-here"
    for path in (f"{anna}/password", f"{anna}/invite"):
        assert ada.send(path, shown).status_code == 422
    with pages.database.read() as session:
        assert staff(session, "anna").password_hash is None


def test_they_do_not_change_their_password_here(pages: RunningPortal, anna: str) -> None:
    client = Admin(pages.app.test_client())
    client.fill(SIGN_IN, login="anna", password=PASSWORD)
    page = client.get("/staff/account/password")
    assert "kept in the directory of staff: please change it there" in page
    assert 'name="old_password"' not in page


def test_an_account_is_kept_here_from_now_on(pages: RunningPortal, ada: Admin, anna: str) -> None:
    answer = ada.send(f"{anna}/keep-here", ada.form(f"{anna}/password"))
    assert answer.headers["Location"] == f"{anna}/password"
    assert "It has no password yet." in ada.get(f"{anna}/password")
    answer = ada.fill(f"{anna}/password")
    (made_up,) = re.findall(r'id="once" value="([^"]+)"', answer.text)
    assert not signs_in(pages, SIGN_IN, "anna", PASSWORD)
    assert signs_in(pages, SIGN_IN, "anna", made_up)
    assert 'name="login"' in ada.get(anna)


def test_while_it_is_away_a_local_admin_signs_in_at_once(
    pages: RunningPortal, slapd: Slapd, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slapd.pause()
    texts = []
    for login, password in (("anna", PASSWORD), ("nobody", "x"), ("ada", "wrong")):
        client = Admin(pages.app.test_client())
        answer = client.fill(SIGN_IN, login=login, password=password)
        found = re.findall(r'role="alert".*?</div>', answer.text, re.DOTALL)
        texts.append(found[0])
    assert AWAY in texts[0]
    assert len(set(texts)) == 1
    asked: list[object] = []
    for question in ("search", "read", "bind_as"):
        monkeypatch.setattr(Directory, question, lambda *each, **_more: asked.append(each))
    assert signs_in(pages, SIGN_IN, "ada", LOCAL_PASSWORD)
    assert asked == []


def test_the_page_of_the_configuration_shows_it(ada: Admin, anna: str) -> None:
    page = ada.get("/admin/settings/configuration")
    assert f"{TECHNICIANS}: technik: rw" in page
    assert "key: entryUUID; login: uid; email: mail" in page
    assert "None" not in page


def test_customers_know_nothing_of_it(
    pages: RunningPortal, slapd: Slapd, connect: Callable[[RunningPortal], None]
) -> None:
    connect(pages)
    client = Admin(pages.app.test_client())
    answer = client.fill("/sign-in", login="dora", password=PASSWORD)
    assert form_of(answer).value("login") == "dora"
    assert "BIND" not in slapd.log


def test_an_admin_of_the_directory_in_a_browser(
    portal: RunningPortal,
    connect: Callable[[RunningPortal], None],
    slapd: Slapd,
    sign_in: SignIn,
    open_page: OpenPage,
    shoot: Callable[[Page, str], None],
) -> None:
    connect(portal)
    page = open_page()
    page.goto(portal.address(SIGN_IN))
    page.fill("#login", "bert@firm.example")
    page.fill("#password", PASSWORD)
    go_through(page.locator("main button[type=submit]"))
    page.wait_for_selector(".rail-account")
    page.goto(portal.address("/staff/account/password"))
    expect(page.get_by_text("Dies steht im Verzeichnis der Mitarbeiter")).to_be_visible()
    assert_accessible(page)
    page.goto(portal.address(LIST))
    go_through(page.get_by_role("link", name="Bert Groß", exact=True))
    expect(page.get_by_text("Dieses Konto wird im Verzeichnis")).to_be_visible()
    assert_accessible(page)
    shoot(page, "staff-directory")
    go_through(page.get_by_role("link", name="Kennwort", exact=True))
    expect(page.get_by_role("button", name="Konto hier führen")).to_be_visible()
    assert_accessible(page)
    shoot(page, "staff-directory-password")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert_no_horizontal_overflow(page)

    slapd.stop()
    other = open_page()
    other.goto(portal.address(SIGN_IN))
    other.fill("#login", "anna")
    other.fill("#password", PASSWORD)
    go_through(other.locator("main button[type=submit]"))
    expect(other.get_by_role("alert")).to_contain_text("derzeit nicht erreichbar")
    shoot(other, "staff-directory-away")
    page.reload()  # who is signed in goes on
    expect(page.get_by_role("button", name="Konto hier führen")).to_be_visible()
