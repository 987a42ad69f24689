"""The pages of routing rules in Chromium: their looks, and what scripts add."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.browser import (
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    looks,
)
from tests.support.portal import RunningPortal, SignIn

Shoot = Callable[[Page, str], None]
PATHS = {
    "rules": "/admin/rules",
    "rule-new": "/admin/rules/new",
    "rule": "/admin/rules/1",
    "rule-history": "/admin/rules/1/history",
    "rule-delete": "/admin/rules/1/delete",
}


@looks("wide-light-en", "phone-dark-de")
def test_every_page_is_accessible_and_fits(
    busy_portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    look: Look,
) -> None:
    page = open_page(**look._asdict())
    sign_in(page, "ada")
    for name, path in PATHS.items():
        page.goto(busy_portal.address(path))
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
        shoot(page, f"{name}-{look}")


def test_rules_are_moved_with_keys_and_dragged(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(locale="en-GB")
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/rules"))
    names = page.locator(".rules .row-link")
    expect(names).to_have_text(["Mahnungen", "Alles zählen"])
    with page.expect_navigation():
        page.get_by_role("button", name='Move "Alles zählen" up').press("Enter")
    expect(names).to_have_text(["Alles zählen", "Mahnungen"])
    expect(page.get_by_role("button", name='Move "Alles zählen" down')).to_be_focused()
    rows = page.locator(".rules tbody tr")
    with page.expect_navigation():
        rows.nth(1).drag_to(rows.nth(0))
    expect(names).to_have_text(["Mahnungen", "Alles zählen"])


def test_only_what_fits_a_field_is_offered(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(locale="en-GB")
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/rules/new"))
    field = page.get_by_label("Condition 1.1: what is looked at")
    name = page.get_by_label("Condition 1.1: name of the header field")
    expect(name).to_be_hidden()
    field.select_option("header")
    expect(name).to_be_visible()
    field.select_option("size")
    expect(name).to_be_hidden()
    expect(page.get_by_label("Condition 1.1: comparison").locator("option")).to_have_text(
        ["is more than"]
    )
    page.locator("#name").fill("Große Mails")
    page.get_by_label("Condition 1.1: value").fill("5000000")
    with page.expect_navigation():
        page.locator("#name").press("Enter")  # saves, and removes no condition
    expect(page.locator(".rules .row-link")).to_have_count(3)
    expect(page.locator(".rules")).to_contain_text('Size in bytes is more than "5000000"')
