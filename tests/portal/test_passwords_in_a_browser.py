"""A forgotten password in Chromium: every step is accessible and fits, with and without scripts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from core.models import Staff
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.links import link_in, mailed
from tests.support.portal import RunningPortal, SignIn

Shoot = Callable[[Page, str], None]
NEW = "ein ganz neues Kennwort"
WORDS = {
    "de": ("Kennwort vergessen?", "Postfach", "gilt nicht mehr", "Kennwort ist gesetzt"),
    "en": ("Forgot your password?", "your mail", "no longer good", "password is set"),
}


@pytest.mark.parametrize(
    ("size", "dark", "locale", "javascript"),
    [
        pytest.param(DESKTOP, False, "de-DE", True, id="wide-light-de"),
        pytest.param(PHONE, True, "de-DE", True, id="phone-dark-de"),
        pytest.param(DESKTOP, True, "en-GB", True, id="wide-dark-en"),
        pytest.param(PHONE, False, "en-GB", False, id="phone-light-en-no-scripts"),
    ],
)
def test_a_customer_chooses_a_new_password(
    portal: RunningPortal,
    open_page: OpenPage,
    shoot: Shoot,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    size: tuple[int, int],
    dark: bool,
    locale: str,
    javascript: bool,
) -> None:
    forgot, asked, gone, done = WORDS[locale[:2]]
    page = open_page(size=size, dark=dark, locale=locale, javascript=javascript)

    def look(name: str) -> None:
        expect(page.locator("h1")).to_have_count(1)
        shoot(page, f"password-{name}-{request.node.callspec.id}")
        if javascript:
            assert_accessible(page)
            assert_no_horizontal_overflow(page)

    page.goto(portal.address("/sign-in"))
    look("sign-in")
    go_through(page.get_by_role("link", name=forgot))
    look("ask")
    page.fill("#login", "anna@muster.example")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(asked)
    look("asked")
    path = link_in(mailed(portal.database, tmp_path))
    page.goto(portal.address(path))
    look("choose")
    page.fill("#password", "kurz")
    page.fill("#repeated", "anders")
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".error-summary")).to_be_visible()
    look("refused")
    page.fill("#password", NEW)
    page.fill("#repeated", NEW)
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".alert-success")).to_contain_text(done)
    look("set")
    page.fill("#login", "anna")
    page.fill("#password", NEW)
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".rail-account")).to_be_attached()
    page.goto(portal.address(path))
    expect(page.locator("h1")).to_contain_text(gone)
    look("gone")


def test_staff_find_their_way_from_their_own_sign_in(
    portal: RunningPortal, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(size=PHONE)
    page.goto(portal.address("/staff/sign-in"))
    go_through(page.locator("text=Kennwort vergessen?"))
    page.fill("#login", "jonas")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Auch ein Admin kann Ihnen ein neues Kennwort")
    page.goto(portal.address(link_in(mailed(portal.database, tmp_path))))
    page.fill("#password", NEW)
    page.fill("#repeated", NEW)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page).to_have_url(portal.address("/staff/sign-in"))


@pytest.mark.parametrize(
    ("size", "dark", "locale"),
    [(DESKTOP, False, "de-DE"), (PHONE, True, "en-GB")],
    ids=["wide-light-de", "phone-dark-en"],
)
def test_an_admin_invites(
    portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    size: tuple[int, int],
    dark: bool,
    locale: str,
) -> None:
    page = open_page(size=size, dark=dark, locale=locale)
    sign_in(page, "ada")
    with portal.database.read() as session:
        jonas = session.scalars(select(Staff.id).where(Staff.login == "jonas")).one()
    for name, path in (("customer-user", "customer-users/1"), ("staff", f"staff/{jonas}")):
        page.goto(portal.address(f"/admin/{path}/password"))
        section = page.locator("section", has=page.locator("#by-mail"))
        for step in ("before", "after"):
            shoot(page, f"invite-{name}-{step}-{request.node.callspec.id}")
            assert_accessible(page)
            assert_no_horizontal_overflow(page)
            if step == "before":
                go_through(section.locator("button"))
                expect(section.locator(".chip")).to_be_visible()
    assert "jonas" in mailed(portal.database, tmp_path)
    page.reload()
    expect(section).to_contain_text("gilt bis" if locale == "de-DE" else "good until")
