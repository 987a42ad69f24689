"""The pages of customers in Chromium: every page is accessible and fits, and the main things work.

Every test fails by itself for an error on the console or a request to another host.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from core.mail.uploads import Upload
from core.models import WebSession
from core.words import FollowUp, TicketState
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import PASSWORD, RunningPortal, SignIn

Shoot = Callable[[Page, str], None]
LONG = "Zugang zum Fernwartungssystem funktioniert seit gestern nicht mehr, bitte dringend prüfen"
HTML_MAIL = """\
From: Anna Müller <anna@muster.example>
To: vertrieb@example.org
Subject: Preisliste
Message-ID: <liste@muster.example>
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<style>td { color: #0a0 }</style><p>Unsere <b>Preisliste</b>:</p>
<table width="900"><tr><td>Artikel mit einem sehr langen Namen</td><td>12,00 EUR</td></tr></table>
<img src="https://tracker.example/p.gif"><script>document.title = "gekapert"</script>
<blockquote>Zitat</blockquote>
""".encode()


@pytest.fixture
def pages_to_look_at(portal: RunningPortal) -> dict[str, str]:
    """Every page of customers in every state that looks different."""
    ticket = portal.add_ticket(
        "anna", "Vertrieb", LONG, files=[Upload("Grundriss Büro.pdf", "application/pdf", b"%PDF")]
    )
    portal.add_answer(ticket, "Guten Tag,\n\n> bitte helfen Sie\n> uns\n\ngerne.\n" + "x" * 300)
    closed = portal.add_ticket("anna", "Technik", "Drucker druckt nicht")
    portal.set_state(closed, TicketState.CLOSED)
    mail = portal.add_mail(HTML_MAIL, "anna@muster.example", "vertrieb@example.org")
    assert mail is not None
    for state in TicketState:
        portal.set_state(portal.add_ticket("anna", "Technik", f"Anliegen {state}"), state)
    with portal.database.read() as session:
        article = portal.ticket(session, mail).articles[0].id
    return {
        "list": "/tickets",
        "list-of-firm": "/tickets?scope=company&tab=all",
        "found": "/tickets?q=drucker&tab=all",
        "nothing-found": "/tickets?q=gibtesnicht",
        "ticket": f"/tickets/{ticket}",
        "closed": f"/tickets/{closed}",
        "close": f"/tickets/{ticket}/close",
        "mail": f"/tickets/{mail}",
        "original": f"/tickets/{mail}/messages/{article}",
        "new": "/tickets/new",
        "preferences": "/account/preferences",
        "password": "/account/password",
        "sessions": "/account/sessions",
        "data": "/account/data",
        "missing": "/nothing",
    }


@pytest.mark.parametrize(
    ("size", "dark", "locale"),
    [
        pytest.param(DESKTOP, False, "de-DE", id="wide-light-de"),
        pytest.param(PHONE, True, "de-DE", id="phone-dark-de"),
        pytest.param(DESKTOP, True, "en-GB", id="wide-dark-en"),
        pytest.param(PHONE, False, "en-GB", id="phone-light-en"),
    ],
)
def test_every_page_is_accessible_and_fits(
    portal: RunningPortal,
    pages_to_look_at: dict[str, str],
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    request: pytest.FixtureRequest,
    size: tuple[int, int],
    dark: bool,
    locale: str,
) -> None:
    look = request.node.callspec.id
    page = open_page(size=size, dark=dark, locale=locale)
    page.goto(portal.address("/sign-in"))
    check(page, shoot, f"sign-in-{look}")
    sign_in(page, "anna")
    for name, path in pages_to_look_at.items():
        page.goto(portal.address(path))
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("data-bs-theme") == ("dark" if dark else "light")
        assert page.locator("html").get_attribute("lang") == locale[:2]
        check(page, shoot, f"{name}-{look}")
    page.goto(portal.address("/tickets/new"))
    page.locator("form[enctype]").evaluate("form => form.noValidate = true")
    go_through(page.locator("form[enctype] button[type=submit]"))
    expect(page.locator(".error-summary")).to_be_focused()
    check(page, shoot, f"errors-{look}")


def check(page: Page, shoot: Shoot, name: str) -> None:
    shoot(page, name)
    assert_accessible(page)
    assert_no_horizontal_overflow(page)


def test_who_may_use_no_queue_and_has_no_ticket(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    page = open_page(size=PHONE)
    sign_in(page, "nora")
    expect(page.locator(".empty")).to_contain_text("Noch keine Tickets")
    check(page, shoot, "no-tickets")
    go_through(page.locator(".empty a"))
    expect(page.locator(".empty")).to_contain_text("support@example.org")
    check(page, shoot, "no-queue")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_customer_writes_a_ticket_and_replies(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, tmp_path: Path, javascript: bool
) -> None:
    file = tmp_path / "Größe.txt"
    file.write_text("Inhalt")
    page = open_page(javascript=javascript)
    sign_in(page, "anna")
    go_through(page.locator("text=Neues Ticket").first)
    page.get_by_label("Technik").check()
    page.get_by_label("Betreff").fill("Drucker druckt nicht")
    page.get_by_label("Nachricht").fill("Guten Tag,\n\ner piept nur.")
    page.set_input_files("input[type=file]", [file])
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".alert-success")).to_contain_text("Sie hat die Nummer 100001.")
    expect(page.locator("h1")).to_have_text("Drucker druckt nicht")
    expect(page.locator(".message-body")).to_contain_text("er piept nur.")
    with page.expect_download() as download:
        page.click(".attachment")
    assert download.value.suggested_filename == "Größe.txt"

    public_id = page.url.rpartition("/")[2]
    portal.add_answer(public_id, "Bitte neu starten.\n\n> er piept nur.")
    go_through(page.locator("text=Meine Tickets").first)
    expect(page.locator(".new-mark")).to_have_text("neue Antwort")
    go_through(page.locator(".row-link"))
    expect(page.locator(".message.is-ours")).to_contain_text("Bitte neu starten.")
    assert not page.locator(".quoted .message-text").is_visible()
    page.click(".quoted summary")
    assert page.locator(".quoted .message-text").is_visible()
    page.get_by_label("Nachricht").fill("Danke, jetzt druckt er.")
    page.get_by_label("Damit ist es erledigt").check()
    go_through(page.locator(".reply button[type=submit]"))
    expect(page.locator(".alert-success")).to_contain_text("das Ticket geschlossen")
    expect(page.locator(".reply .notice")).to_have_text(
        "Dieses Ticket ist geschlossen. Ihre Antwort öffnet es wieder."
    )
    go_through(page.locator("text=Abmelden"))
    expect(page.locator(".alert-success")).to_have_text("Sie sind abgemeldet.")


def test_the_search_works_as_one_types(portal: RunningPortal, page: Page, sign_in: SignIn) -> None:
    for subject in ("Drucker", "Monitor", "Büromöbel"):
        portal.add_ticket("anna", "Technik", subject, text="Text")
    sign_in(page, "anna")
    expect(page.locator("[data-row]")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("buero")
    expect(page.locator("[data-row]")).to_have_count(0)
    page.fill("#search", "")
    page.keyboard.type("büro")
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator(".row-link")).to_have_text("Büromöbel")
    expect(page).to_have_url(re.compile(r"\?q=b%C3%BCro$"))
    expect(page.locator("[data-live-status]")).to_contain_text("1 Ticket gefunden.")
    page.reload()
    expect(page.locator(".row-link")).to_have_text("Büromöbel")


def test_news_are_offered_and_do_not_move_the_rows(
    portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    first = portal.add_ticket("anna", "Technik", "Drucker")
    page.clock.install()
    sign_in(page, "anna")
    portal.add_ticket("anna", "Technik", "Monitor")
    portal.add_answer(first, "Antwort")
    page.clock.run_for(31_000)
    expect(page.locator(".news")).to_have_text("Neu oder geändert – anzeigen (2)")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.click(".news button")
    expect(page.locator("[data-row]")).to_have_count(2)


def test_keys_move_through_the_pages(portal: RunningPortal, page: Page, sign_in: SignIn) -> None:
    for subject in ("Drucker", "Monitor"):
        portal.add_ticket("anna", "Technik", subject)
    sign_in(page, "anna")
    page.keyboard.press("j")
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Drucker")
    page.keyboard.press("r")
    expect(page.get_by_label("Nachricht")).to_be_focused()
    page.keyboard.type("n j k?")
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(page.locator(".message-body").last).to_have_text("n j k?")
    page.locator("body").press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.get_by_label("Tastenkürzel verwenden").uncheck()
    page.click("dialog button")
    page.keyboard.press("n")
    expect(page.locator("h1")).to_have_text("Drucker")


def test_what_was_written_survives_until_it_is_sent(
    portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    sign_in(page, "anna")
    page.goto(portal.address("/tickets/new"))
    page.get_by_label("Betreff").fill("Drucker")
    page.get_by_label("Nachricht").fill("Er piept.")
    page.goto(portal.address("/tickets"))
    page.goto(portal.address("/tickets/new"))
    expect(page.get_by_label("Nachricht")).to_have_value("Er piept.")
    page.get_by_label("Technik").check()
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator("h1")).to_have_text("Drucker")
    page.goto(portal.address("/tickets/new"))
    expect(page.get_by_label("Nachricht")).to_have_value("")
    page.get_by_label("Nachricht").fill("geheim")
    go_through(page.locator("text=Abmelden"))
    assert page.evaluate("localStorage.length") == 0


def test_what_was_written_survives_the_end_of_the_session(
    portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    sign_in(page, "anna")
    page.goto(portal.address("/tickets/new"))
    page.get_by_label("Technik").check()
    page.get_by_label("Betreff").fill("Drucker")
    page.get_by_label("Nachricht").fill("Er piept.")
    with portal.database.write() as session:
        session.execute(delete(WebSession))
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator("h1")).to_have_text("Bitte melden Sie sich neu an")
    expect(page.locator("textarea").last).to_have_value("Er piept.")
    sign_in(page, "anna")
    page.goto(portal.address("/tickets/new"))
    expect(page.get_by_label("Betreff")).to_have_value("Drucker")
    expect(page.get_by_label("Nachricht")).to_have_value("Er piept.")


def test_files_are_listed_and_limited(
    portal: RunningPortal, page: Page, sign_in: SignIn, tmp_path: Path
) -> None:
    portal.change_settings(upload_max_files=2, upload_max_bytes=5000)
    files = []
    for name, size in (("a.txt", 1500), ("b.txt", 10), ("c.txt", 10)):
        file = tmp_path / name
        file.write_bytes(b"x" * size)
        files.append(file)
    sign_in(page, "anna")
    page.goto(portal.address("/tickets/new"))
    page.set_input_files("#files", files[:2])
    expect(page.locator(".upload-list li").first).to_contain_text("1,5\u00a0kB")
    page.set_input_files("#files", files[2:])  # adds to what was chosen
    expect(page.locator(".upload-list li")).to_have_count(3)
    reason = page.locator("#files").evaluate("input => input.validationMessage")
    assert reason == "Zu viele Dateien. Bitte entfernen Sie einige."
    page.get_by_label("Entfernen: b.txt").click()
    expect(page.locator(".upload-list li")).to_have_count(2)
    assert page.locator("#files").evaluate("input => input.validationMessage") == ""


def test_the_original_runs_nothing_and_loads_nothing(
    portal: RunningPortal, page: Page, sign_in: SignIn, accept_problem: Callable[[str], None]
) -> None:
    public_id = portal.add_mail(HTML_MAIL, "anna@muster.example", "vertrieb@example.org")
    sign_in(page, "anna")
    page.goto(portal.address(f"/tickets/{public_id}"))
    expect(page.locator(".message-foot")).to_contain_text(
        "1 Bild aus dem Internet wurde nicht geladen."
    )
    go_through(page.locator("text=Originalformatierung"))
    frame = page.frame_locator(".original-frame")
    expect(frame.locator("b")).to_have_text("Preisliste")
    colour = frame.locator("td").first.evaluate("cell => getComputedStyle(cell).color")
    assert colour == "rgb(0, 170, 0)"
    assert page.title().startswith("Originalformatierung")


def test_a_follow_up_rule_is_said_before_one_writes(
    portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    with portal.database.write() as session:
        ticket = portal.ticket(session, portal_ticket(portal))
        ticket.queue.follow_up = FollowUp.REJECT
        ticket.state = TicketState.CLOSED
        public_id = ticket.public_id
    sign_in(page, "anna")
    page.goto(portal.address(f"/tickets/{public_id}"))
    expect(page.locator(".reply")).to_contain_text("Es nimmt keine Antworten mehr an.")
    expect(page.locator(".reply a")).to_have_text("Neues Ticket")


def portal_ticket(portal: RunningPortal) -> str:
    return portal.add_ticket("anna", "Technik", "Drucker")


def test_a_refused_sign_in_and_the_switch_of_languages(
    portal: RunningPortal, open_page: OpenPage, shoot: Shoot
) -> None:
    page = open_page(size=PHONE, dark=True)
    page.goto(portal.address("/sign-in"))
    page.fill("#login", "anna")
    page.fill("#password", "falsch")
    page.click("[data-reveal-button]")
    expect(page.locator("#password")).to_have_attribute("type", "text")
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".alert-danger")).to_be_focused()
    check(page, shoot, "refused")
    go_through(page.locator("text=English"))
    expect(page.locator("h1")).to_have_text("Sign in")
    page.fill("#login", "anna@muster.example")
    page.fill("#password", PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("My tickets")
