"""Replies, notes, merging and outgoing mail in Chromium, with scripts and without."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.portal.staff.day import Day
from tests.portal.staff.test_in_browser import sign_in
from tests.support.browser import (
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)

Shoot = Callable[[Page, str], None]
WITH_AND_WITHOUT = pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "none"])


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    """A file to be sent."""
    path = tmp_path / "Lieferschein.pdf"
    path.write_bytes(b"%PDF-1.7 Lieferschein")
    return path


def assert_accessible_where_scripts_run(page: Page, javascript: bool) -> None:
    """Look at the page with axe, which is a script itself."""
    if javascript:
        assert_accessible(page)


def open_ticket(page: Page, day: Day, name: str, login: str = "jonas") -> None:
    sign_in(page, day, login)
    page.goto(day.pages.address(day.url(name)))


@WITH_AND_WITHOUT
def test_a_reply_from_template_to_mail(
    served_day: Day, open_page: OpenPage, shoot: Shoot, a_file: Path, javascript: bool
) -> None:
    """A template, a wrong copy, somebody else in between, then it is sent, with its file."""
    page = open_page(javascript=javascript)
    open_ticket(page, served_day, "offer")
    expect(page.locator("#note-text")).to_be_hidden()
    page.locator("#reply-text").fill("Guten Morgen!")
    page.get_by_label("Vorlage").select_option("Rückfrage zum Gerät")
    if javascript:
        page.locator("#reply-files").set_input_files(a_file)
    page.get_by_role("button", name="Einfügen").click()
    text = page.locator("#reply-text")
    expect(text).to_have_value(
        "Guten Morgen!\n\nGuten Tag Anna Müller,\n\nwelche Nummer steht auf dem Typenschild?"
        "\n\nJonas Weber"
    )
    if javascript:  # in place: the file is still chosen
        expect(page.locator(".writing-panel-reply .upload-name")).to_have_text("Lieferschein.pdf")
    page.get_by_label("Kopie an (Cc)").fill("lager@muster.example, kein-at")
    go_through(page.get_by_role("button", name="An den Kunden senden"))
    expect(page.locator("#reply-cc-error")).to_contain_text("genau ein @")
    expect(page.locator("#reply-files-help")).to_contain_text("wählen Sie Ihre Dateien")
    shoot(page, f"reply-cc-{javascript}")
    assert_accessible_where_scripts_run(page, javascript)
    served_day.pages.add_answer(served_day.tickets["offer"], "Liegt bereit.", visible=False)
    page.get_by_label("Kopie an (Cc)").fill("lager@muster.example")
    go_through(page.get_by_role("button", name="An den Kunden senden"))
    overtaken = page.get_by_role("alert")
    expect(overtaken).to_contain_text("Während Sie schrieben, kam eine Nachricht")
    expect(page.locator(".new-mark")).to_have_count(1)
    expect(text).to_have_value(re.compile("^Guten Morgen!"))
    shoot(page, f"reply-overtaken-{javascript}")
    assert_accessible_where_scripts_run(page, javascript)
    page.locator("#reply-files").set_input_files(a_file)
    page.get_by_label("Status nach dem Senden").select_option("Geschlossen")
    go_through(page.get_by_role("button", name="An den Kunden senden"))
    expect(page.get_by_role("status").filter(has_text="ist unterwegs")).to_be_visible()
    sent = page.locator(".message.is-ours").last
    expect(sent.locator(".message-to")).to_contain_text("lager@muster.example")
    expect(sent).to_contain_text("Wartet auf den Versand")
    expect(sent).to_contain_text("Lieferschein.pdf")
    expect(page.locator(".ticket-head")).to_contain_text("Geschlossen")
    expect(text).to_have_value("")
    assert_accessible_where_scripts_run(page, javascript)
    go_through(sent.get_by_role("link", name="lager@muster.example"))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "[Ticket#100001] Angebot für 50 Ersatzfilter"
    )


def test_drafts_are_kept_for_each_form_of_each_ticket(
    served_day: Day, open_page: OpenPage, shoot: Shoot
) -> None:
    page = open_page(size=PHONE, dark=True)
    open_ticket(page, served_day, "offer")
    page.locator("label", has_text="Interne Notiz").click()
    page.locator("#note-text").fill("Später anrufen")
    shoot(page, "note-phone-dark")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    page.reload()
    # A note that was begun is not hidden behind an empty reply.
    expect(page.locator("#note-text")).to_be_visible()
    expect(page.locator("#note-text")).to_have_value("Später anrufen")
    page.locator("label", has_text="Antwort an den Kunden").click()
    page.locator("#reply-text").fill("Guten Tag Frau Müller")
    page.goto(served_day.pages.address(served_day.url("delivery")))
    expect(page.locator("#reply-text")).to_have_value("")
    page.goto(served_day.pages.address(served_day.url("offer")))
    expect(page.locator("#reply-text")).to_have_value("Guten Tag Frau Müller")
    expect(page.locator("#reply-text")).to_be_visible()
    page.locator("label", has_text="Interne Notiz").click()
    go_through(page.get_by_role("button", name="Notiz speichern"))
    expect(page.locator(".message.is-internal").last).to_contain_text("Später anrufen")
    expect(page.locator("#note-text")).to_have_value("")


@WITH_AND_WITHOUT
def test_two_tickets_become_one(
    served_day: Day, open_page: OpenPage, shoot: Shoot, javascript: bool
) -> None:
    page = open_page(javascript=javascript)
    open_ticket(page, served_day, "long", "ada")
    number = page.locator("#merge-number")
    number.fill("100004")
    go_through(page.get_by_role("button", name="Zusammenführen …"))
    expect(page.locator("#merge-number-error")).to_contain_text("verschiedenen Kunden")
    assert_accessible_where_scripts_run(page, javascript)
    number.fill("100001")
    go_through(page.get_by_role("button", name="Zusammenführen …"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Zwei Tickets zusammenführen?")
    go_through(page.get_by_role("button", name="Zusammenführen", exact=True))
    expect(page.get_by_role("heading", level=1)).to_have_text("Angebot für 50 Ersatzfilter")
    expect(page.locator(".conversation > li")).to_have_count(4)
    page.goto(served_day.pages.address(served_day.url("long")))
    expect(page.get_by_role("status").first).to_contain_text("Ticket 100002 wurde mit diesem")


@WITH_AND_WITHOUT
def test_a_message_leaves_for_a_ticket_of_its_own(
    served_day: Day, open_page: OpenPage, javascript: bool
) -> None:
    page = open_page(javascript=javascript)
    open_ticket(page, served_day, "closed")
    go_through(page.get_by_role("link", name="Abtrennen …").first)
    expect(page.get_by_role("heading", level=1)).to_have_text("Diese Nachricht abtrennen?")
    go_through(page.get_by_role("button", name="Abtrennen"))
    expect(page.get_by_role("status").first).to_contain_text("dieses eigene Ticket")
    expect(page.locator(".conversation > li")).to_have_count(1)


@WITH_AND_WITHOUT
def test_a_ticket_for_somebody_who_called(
    served_day: Day, open_page: OpenPage, a_file: Path, javascript: bool
) -> None:
    page = open_page(javascript=javascript)
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/tickets"))
    if javascript:
        with page.expect_navigation():
            page.keyboard.press("n")
    else:
        go_through(page.get_by_role("link", name="Neues Ticket"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Neues Ticket: für wen?")
    page.locator("#search").fill("anna")
    if not javascript:
        go_through(page.get_by_role("button", name="Suchen"))
    go_through(page.get_by_role("link", name="Auswählen Anna Müller"))
    page.get_by_label("Queue").select_option("Technik")
    page.get_by_label("Betreff").fill("Ihr Anruf von heute")
    page.get_by_label("Nachricht").fill("Guten Tag Frau Müller,\n\nwie besprochen.")
    page.get_by_label("Dateien").set_input_files(a_file)
    go_through(page.get_by_role("button", name="Ticket anlegen"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Ihr Anruf von heute")
    sent = page.locator(".message.is-ours")
    expect(sent).to_contain_text("Anna Müller <anna@muster.example>")
    expect(sent).to_contain_text("Lieferschein.pdf")


@WITH_AND_WITHOUT
def test_mail_that_failed_is_sent_again_or_not(
    served_day: Day, open_page: OpenPage, javascript: bool
) -> None:
    page = open_page(javascript=javascript)
    sign_in(page, served_day, "jonas")
    page.goto(served_day.pages.address("/staff/"))
    go_through(page.get_by_role("link", name="Nicht gesendete Mail"))
    go_through(page.get_by_role("link", name="werkstatt@acme.example"))
    go_through(page.get_by_role("button", name="Noch einmal senden"))
    expect(page.locator(".ticket-head")).to_contain_text("Wartet auf den Versand")
    go_through(page.get_by_role("button", name="Nicht senden"))
    expect(page.locator(".ticket-head")).to_contain_text("Abgebrochen")
    assert_accessible_where_scripts_run(page, javascript)
    go_through(
        page.get_by_role("navigation", name="Hauptnavigation").get_by_text("Ausgehende Mail")
    )
    go_through(page.get_by_role("link", name="Nicht gesendet"))
    expect(page.get_by_text("Jede Mail konnte gesendet werden.")).to_be_visible()
