"""The staff pages in Chromium: every page is accessible and fits, and the main things work.

Every test fails by itself for an error on the console or a request to another host.
"""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from core.accounts.sessions import start_session
from tests.portal.staff.day import Day, pages_of
from tests.support.browser import (
    PHONE,
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
    looks,
)
from tests.support.portal import staff

Shoot = Callable[[Page, str], None]


def sign_in(page: Page, day: Day, login: str) -> None:
    """Give a browser the session of somebody."""
    with day.pages.database.write() as session:
        token = start_session(session, staff(session, login), peer="127.0.0.1", agent="Firefox")
    page.context.add_cookies([{"name": "schalter", "value": token, "url": day.pages.url}])


@looks("wide-light-de", "phone-dark-en")
def test_every_page_is_accessible_and_fits(
    served_day: Day,
    open_page: OpenPage,
    shoot: Shoot,
    look: Look,
) -> None:
    page = open_page(**look._asdict())
    sign_in(page, served_day, "ada")
    for name, path in pages_of(served_day).items():
        answer = page.goto(served_day.pages.address(path))
        assert answer is not None
        assert answer.status == 200, path
        shoot(page, f"{name}-{look}")
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
        assert page.locator("html").get_attribute("lang") == look.locale[:2]


def test_an_agents_pages_are_accessible_too(
    served_day: Day, open_page: OpenPage, shoot: Shoot
) -> None:
    """What an agent sees differs: no admin pages, and tickets that can only be read."""
    page = open_page(size=PHONE, locale="de-DE")
    sign_in(page, served_day, "rolf")
    for name, path in (("dashboard", "/staff/"), ("ticket", served_day.url("offer"))):
        page.goto(served_day.pages.address(path))
        shoot(page, f"agent-{name}")
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
    expect(page.get_by_text("Sie dürfen dieses Ticket lesen")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "none"])
def test_a_day_at_the_counter(served_day: Day, open_page: OpenPage, javascript: bool) -> None:
    """From the dashboard to a held mail, its release, the ticket, a note and a change."""
    page = open_page(javascript=javascript)
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/"))
    go_through(page.get_by_role("link", name="Zurückgehaltene Mail").last)
    go_through(page.get_by_role("link", name="Anfrage: Lieferung von 200 Stück"))
    search = page.get_by_label("Anderes Konto suchen")
    search.fill("anna")
    if not javascript:
        go_through(page.locator("#release").get_by_role("button", name="Suchen"))
    page.get_by_role("radio", name="Anna Müller").check()
    page.get_by_label("Adresse des Absenders für dieses Konto merken").check()
    go_through(page.get_by_role("button", name="Freigeben"))
    expect(page.get_by_role("status").filter(has_text="Die Mail ist freigegeben")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Störung an Maschine 7, Kunden# K-1000"
    )
    go_through(page.get_by_role("status").get_by_role("link"))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Anfrage: Lieferung von 200 Stück bis Ende Januar möglich?"
    )
    page.locator("label", has_text="Interne Notiz").click()
    page.locator("#note-text").fill("Angebot bis Freitag")
    go_through(page.get_by_role("button", name="Notiz speichern"))
    note = page.locator(".message.is-internal")
    expect(note).to_contain_text("Angebot bis Freitag")
    expect(note).to_contain_text("für den Kunden nicht sichtbar")
    page.get_by_label("Status", exact=True).select_option("Offen")
    page.get_by_label("Besitzer").select_option("Jonas Weber")
    go_through(page.get_by_role("button", name="Speichern", exact=True))
    expect(page.get_by_role("status").filter(has_text="Gespeichert")).to_be_visible()
    expect(page.get_by_label("Besitzer")).to_have_value(str(staff_id(served_day, "jonas")))


def staff_id(day: Day, login: str) -> int:
    with day.pages.database.read() as session:
        return staff(session, login).id


def test_a_stale_form_says_what_was_chosen(served_day: Day, open_page: OpenPage) -> None:
    mine, theirs = open_page(), open_page(locale="en-GB")
    for page, login in ((mine, "jonas"), (theirs, "ada")):
        sign_in(page, served_day, login)
        page.goto(served_day.pages.address(served_day.url("offer")))
    theirs.get_by_label("State", exact=True).select_option("Closed")
    go_through(theirs.get_by_role("button", name="Save", exact=True))
    mine.get_by_label("Priorität").select_option("Dringend")
    go_through(mine.get_by_role("button", name="Speichern", exact=True))
    alert = mine.get_by_role("alert")
    expect(alert).to_contain_text("Status ist jetzt: Geschlossen.")
    expect(mine.get_by_label("Priorität")).to_have_value("urgent")
    assert_accessible(mine)
    go_through(mine.get_by_role("button", name="Speichern", exact=True))
    expect(mine.locator(".ticket-head")).to_contain_text("Geschlossen")
    expect(mine.locator(".ticket-head")).to_contain_text("Dringend")


def test_a_move_that_hides_is_confirmed(served_day: Day, open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(size=PHONE)
    sign_in(page, served_day, "ada")
    page.goto(served_day.pages.address(served_day.url("delivery")))
    page.get_by_label("Queue").select_option("Rechnung")
    page.get_by_label("Besitzer").select_option("niemand")
    go_through(page.get_by_role("button", name="Speichern", exact=True))
    expect(page.get_by_role("heading", level=1)).to_have_text("Ticket vor dem Kunden verbergen?")
    shoot(page, "confirm-move")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    go_through(page.get_by_role("button", name="Trotzdem verschieben"))
    expect(page.get_by_text("Bert Schröder sieht dieses Ticket nicht")).to_be_visible()


def test_lists_answer_as_one_types_and_to_keys(served_day: Day, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/tickets"))
    page.keyboard.press("/")
    page.keyboard.type("handbuch")
    expect(page.locator(".row-link")).to_have_text(["Wo finde ich das Handbuch?"])
    expect(page).to_have_url(re.compile("q=handbuch"))
    page.get_by_label("Queue").select_option("Vertrieb")
    expect(page.get_by_text("Kein Ticket passt.")).to_be_visible()
    go_through(page.get_by_role("link", name="Alle zeigen"))
    expect(page.locator(".row-link")).to_have_count(5)
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Angebot für 50 Ersatzfilter")
    page.keyboard.press("r")
    expect(page.locator("#reply-text")).to_be_focused()
    page.locator("h1").click()
    page.keyboard.press("n")
    expect(page.locator("#note-text")).to_be_focused()
    expect(page.locator("#reply-text")).to_be_hidden()


def test_ones_own_account_works_for_staff(served_day: Day, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/"))
    go_through(page.get_by_role("link", name="Jonas Weber"))
    page.locator("#language").select_option("English")
    page.get_by_label("Dunkel").check()
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.get_by_role("heading", level=1)).to_have_text("My account")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    for tab in ("Password", "Sessions", "My data"):
        go_through(page.get_by_role("link", name=tab, exact=True))
        assert_accessible(page)
    go_through(page.get_by_role("link", name="Dashboard"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")
