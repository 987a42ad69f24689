"""Held mail in Chromium: several at once, the missing right, into a ticket, taking back."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from core.models import Delivery
from core.words import Evidence
from tests.portal.staff.day import Day, stored
from tests.portal.staff.test_in_browser import sign_in
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)

Shoot = Callable[[Page, str], None]


@pytest.mark.parametrize(
    ("look", "size", "dark", "javascript"),
    [("wide-light", DESKTOP, False, True), ("phone-dark", PHONE, True, False)],
)
def test_several_are_discarded_and_taken_back(
    served_day: Day,
    open_page: OpenPage,
    shoot: Shoot,
    look: str,
    size: tuple[int, int],
    dark: bool,
    javascript: bool,
) -> None:
    page = open_page(size=size, dark=dark, javascript=javascript)
    sign_in(page, served_day, "ada")

    def look_at(name: str) -> None:
        shoot(page, f"{name}-{look}")
        assert_no_horizontal_overflow(page)
        if javascript:
            assert_accessible(page)

    page.goto(served_day.pages.address("/staff/held"))
    for subject in ("Anfrage: Lieferung", "Nachfrage zu meinem Angebot"):
        page.get_by_role("checkbox", name=f"Auswählen: {subject}").check()
    look_at("held-chosen")
    go_through(page.get_by_role("button", name="Verwerfen …"))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Mehrere zurückgehaltene Mails verwerfen?"
    )
    look_at("held-discard-several")
    page.get_by_label("Grund").fill("Werbung")
    go_through(page.get_by_role("button", name="Mails verwerfen"))
    expect(page.get_by_text("Verworfen (2)")).to_be_visible()
    look_at("held-settled")
    go_through(page.get_by_role("button", name="Rückgängig"))
    expect(page.get_by_text("2 Mails warten wieder.")).to_be_visible()
    for subject in ("Anfrage: Lieferung", "Nachfrage zu meinem Angebot"):
        page.get_by_role("checkbox", name=f"Auswählen: {subject}").check()
    go_through(page.get_by_role("button", name="Freigeben, wo das Konto feststeht"))
    expect(page.get_by_text("Freigegeben (1)")).to_be_visible()
    expect(page.get_by_text("Kein Konto hat diese Adresse")).to_be_visible()
    look_at("held-released-several")


@pytest.mark.parametrize(
    ("look", "size", "dark"), [("wide-light", DESKTOP, False), ("phone-dark", PHONE, True)]
)
def test_a_right_is_given_with_the_release(
    served_day: Day, open_page: OpenPage, shoot: Shoot, look: str, size: tuple[int, int], dark: bool
) -> None:
    page = open_page(size=size, dark=dark)
    sign_in(page, served_day, "ada")
    page.goto(served_day.pages.address(served_day.held_url("forbidden")))
    go_through(page.get_by_role("button", name="Freigeben"))
    give = page.get_by_label("Dem Konto dieses Recht geben und dann freigeben")
    expect(give).to_be_visible()
    shoot(page, f"held-right-{look}")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    give.check()
    go_through(page.get_by_role("button", name="Freigeben"))
    expect(page.get_by_role("status").filter(has_text="Die Mail ist freigegeben")).to_be_visible()


def test_a_mail_goes_into_a_ticket_and_a_discard_is_taken_back(
    served_day: Day, open_page: OpenPage, shoot: Shoot
) -> None:
    page = open_page()
    sign_in(page, served_day, "jonas")
    with served_day.pages.database.read() as session:
        number = str(stored(served_day, session, "offer").number)
    page.goto(served_day.pages.address(served_day.held_url("number")))
    page.get_by_role("radio", name="Anna Müller").check()
    page.get_by_label("oder zum Ticket mit der Nummer hinzufügen").fill(number)
    go_through(page.get_by_role("button", name="Freigeben"))
    go_through(page.get_by_role("status").get_by_role("link", name=number))
    expect(page.get_by_role("heading", level=1)).to_have_text("Angebot für 50 Ersatzfilter")
    expect(page.get_by_text("Maschine 7 steht seit 6 Uhr.")).to_be_visible()
    page.goto(served_day.pages.address(served_day.held_url("stranger") + "/discard"))
    page.get_by_label("Grund").fill("Werbung")
    go_through(page.get_by_role("button", name="Mail verwerfen"))
    undo = page.get_by_role("button", name="Rückgängig")
    expect(undo).to_be_visible()
    shoot(page, "held-undo")
    assert_accessible(page)
    go_through(undo)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Anfrage: Lieferung")
    expect(page.get_by_text("1 Mail wartet wieder.")).to_be_visible()


def test_the_list_answers_to_keys(served_day: Day, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/held"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    with page.expect_navigation():
        page.keyboard.press("o")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Anfrage: Lieferung")
    with page.expect_navigation():
        page.keyboard.press("#")
    expect(page.get_by_role("heading", level=1)).to_have_text("Zurückgehaltene Mail verwerfen?")
    page.go_back()
    page.keyboard.press("e")
    expect(page.get_by_role("radio").first).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_text("ablehnen oder verwerfen")).to_be_visible()


def test_rows_are_ticked_by_key_and_all_at_once(served_day: Day, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/held"))
    boxes = page.locator('tbody input[type="checkbox"]')
    count = boxes.count()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(boxes.nth(0)).to_be_checked()
    every = page.get_by_label("Alle auf dieser Seite auswählen")
    every.check()
    expect(page.locator('tbody input[type="checkbox"]:checked')).to_have_count(count)
    boxes.nth(1).uncheck()
    expect(every).not_to_be_checked()
    assert_accessible(page)
    with page.expect_navigation():
        page.keyboard.press("#")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Mehrere zurückgehaltene Mails verwerfen?"
    )


@pytest.mark.parametrize(
    ("size", "dark", "is_shown"),
    [((1600, 900), False, True), ((1600, 900), True, True), (DESKTOP, False, False)],
)
def test_the_list_is_beside_the_mail_where_there_is_room(
    served_day: Day,
    open_page: OpenPage,
    shoot: Shoot,
    size: tuple[int, int],
    dark: bool,
    is_shown: bool,
) -> None:
    page = open_page(size=size, dark=dark)
    sign_in(page, served_day, "ada")
    page.goto(served_day.pages.address(served_day.held_url("stranger")))
    beside = page.get_by_role("navigation", name="Weitere zurückgehaltene Mails")
    shoot(page, f"held-beside-{'dark' if dark else 'light'}-{size[0]}")
    assert_no_horizontal_overflow(page)
    assert_accessible(page)
    if not is_shown:
        expect(beside).to_be_hidden()
        return
    here = page.get_by_role("heading", level=1).inner_text()
    expect(beside.locator("[aria-current]")).to_contain_text(here)
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text(here)


@pytest.mark.parametrize(
    ("look", "size", "dark"), [("wide-light", DESKTOP, False), ("phone-dark", PHONE, True)]
)
def test_a_mail_is_refused(
    served_day: Day, open_page: OpenPage, shoot: Shoot, look: str, size: tuple[int, int], dark: bool
) -> None:
    with served_day.pages.database.write() as session:
        delivery = session.get_one(Delivery, served_day.held["stranger"])
        delivery.mail.evidence = Evidence.VERIFIED
    page = open_page(size=size, dark=dark)
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address(served_day.held_url("stranger")))
    go_through(page.get_by_role("link", name="Ablehnen …"))
    page.get_by_text("Was der Absender liest").click()
    shoot(page, f"held-refuse-{look}")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    go_through(page.get_by_role("button", name="Ablehnen und Absender informieren"))
    expect(page.get_by_text("ihr Absender bekommt Bescheid")).to_be_visible()
