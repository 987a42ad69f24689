"""The admin pages in Chromium: the handbook's chapter from end to end, and each page's looks."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select

from core.accounts.groups import GroupValues, save_group
from core.models import CustomerUserGroup
from core.words import Permission
from tests.portal.admin.firm import (
    SETUP,
    account_named,
    group_id,
    let_mail_come_back,
    make_findable,
)
from tests.support.browser import (
    DESKTOP,
    PHONE,
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
    looks,
)
from tests.support.portal import RunningPortal, SignIn

Shoot = Callable[[Page, str], None]

PAGES = {
    "customer-users": "/admin/customer-users",
    "customer-users-none": "/admin/customer-users?q=zzz",
    "customer-user-new": "/admin/customer-users/new",
    "customer-user": "/admin/customer-users/5",
    "customer-user-bouncing": "/admin/customer-users/1",
    "customer-user-password": "/admin/customer-users/5/password",
    "customer-user-history": "/admin/customer-users/5/history",
    "customers": "/admin/customers",
    "customer-new": "/admin/customers/new",
    "customer": "/admin/customers/3",
    "customer-history": "/admin/customers/3/history",
    "groups": "/admin/groups",
    "group-new": "/admin/groups/new",
    "group": "/admin/groups/1",
    "permissions": "/admin/permissions",
    "permissions-one-group": "/admin/permissions?group=2",
    "permissions-customers": "/admin/permissions/customers",
    "queues": "/admin/queues",
    "queue-new": "/admin/queues/new",
    "queue": "/admin/queues/4",
    "queue-answers": "/admin/queues/4/answers",
    "queue-answers-own-words": "/admin/queues/4/answers/new-ticket",
    "templates": "/admin/templates",
    "template-new": "/admin/templates/new",
    "template": "/admin/templates/1",
    "template-history": "/admin/templates/1/history",
    "staff": "/admin/staff",
    "staff-new": "/admin/staff/new",
    "staff-account": "/admin/staff/1",
    "staff-password": "/admin/staff/1/password",
    "settings": "/admin/settings",
    "configuration": "/admin/settings/configuration",
    "settings-history": "/admin/settings/history",
    "audit": "/admin/audit",
}

# Pixels of empty page below its last line, where the page is longer than its window.
BELOW_THE_FOOT = """(() => {
    const page = document.documentElement;
    const foot = document.querySelector(".page-foot").getBoundingClientRect().bottom;
    return page.scrollHeight > page.clientHeight ? page.scrollHeight - scrollY - foot : 0;
})()"""


@looks("wide-light-en", "phone-dark-de")
def test_every_page_is_accessible_and_fits(
    busy_portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    look: Look,
) -> None:
    with busy_portal.database.write() as session:
        let_mail_come_back(session, "anna")
    page = open_page(**look._asdict())
    sign_in(page, "ada")
    for name, path in PAGES.items():
        answer = page.goto(busy_portal.address(path))
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == look.locale[:2]
        assert page.locator("h1").count() == 1
        assert_no_horizontal_overflow(page)
        assert page.evaluate(BELOW_THE_FOOT) < 100, path
        assert_accessible(page)
        shoot(page, f"admin-{name}-{look}")


def test_the_chapter_of_the_handbook(
    portal: RunningPortal, page: Page, open_page: OpenPage, sign_in: SignIn
) -> None:
    with portal.database.write() as session:
        make_findable(session)
    portal.change_settings(customer_group_support=False)
    sign_in(page, "ada")

    # "Legen Sie hierzu zuerst über die Gruppenverwaltung die Gruppe an …"
    go_through(page.get_by_role("link", name="Gruppen", exact=True))
    go_through(page.get_by_role("link", name="Neue Gruppe"))
    page.get_by_label("Name").fill("bau")
    go_through(page.get_by_role("button", name="Gruppe anlegen"))
    expect(page.get_by_role("status").first).to_contain_text("„bau“ ist angelegt")

    # "… erstellen Sie … die Queues und ordnen diese der gerade angelegten Gruppe zu."
    go_through(page.get_by_role("link", name="Queues", exact=True))
    go_through(page.get_by_role("link", name="Neue Queue"))
    page.locator("#name").fill("Bauprojekte")
    page.locator("#group").select_option("bau")
    page.locator("#addresses").fill("bau@example.org")
    go_through(page.get_by_role("button", name="Queue anlegen"))
    expect(page.get_by_role("row", name=re.compile("Bauprojekte"))).to_contain_text(
        "bau@example.org"
    )

    # "Mit Hilfe des Formulars … kann ein neuer Kunden-Account erstellt werden."
    go_through(page.get_by_role("link", name="Kunden Benutzer", exact=True))
    go_through(page.get_by_role("link", name="Neuer Kunden Benutzer"))
    for field in ("Vorname", "Nachname", "Benutzername", "E-Mail", "Kunden#"):
        expect(page.locator("label", has_text=re.compile(f"^{field}\\s*\\*$"))).to_have_count(1)
    page.locator("#first_name").fill("Ida")
    page.locator("#last_name").fill("Vogt")
    page.locator("#login").fill("ida")
    page.locator("#email").fill("ida@vogt.example")
    page.locator("#customer_number").fill("ida@vogt.example")
    page.locator("#create_customer").check()
    go_through(page.get_by_role("button", name="Kunden Benutzer anlegen"))
    password = page.locator("#once").input_value()
    go_through(page.get_by_role("link", name="Ich habe es notiert"))
    expect(page.locator("h1")).to_have_text("Ida Vogt")

    # "… aktivieren Sie mit Hilfe des Konfigurationsparameters CustomerGroupSupport …"
    go_through(page.get_by_role("link", name="Kunden Benutzer <-> Gruppen"))
    go_through(page.get_by_role("link", name="Zur Einstellung"))
    page.get_by_label("Kundengruppen verwenden").check()
    page.get_by_label("rechnung").check()  # CustomerGroupAlwaysGroups
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.get_by_role("status").first).to_contain_text("Gespeichert")

    # "Über den Link »Kunden Benutzer <-> Gruppen« können Sie nun die Zuordnung … vornehmen."
    go_through(page.get_by_role("link", name="Kunden Benutzer <-> Gruppen"))
    page.locator("#search").fill("vogt")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Ida Vogt, bau").select_option("rw")
    expect(page.locator("[data-matrix-status]")).to_contain_text("Gespeichert: Ida Vogt, bau.")

    # "… später im Webinterface für Kunden auch nur die entsprechenden Queues …"
    customer = open_page()
    customer.goto(portal.address("/sign-in"))
    customer.fill("#login", "ida")
    customer.fill("#password", password)
    go_through(customer.locator("main button[type=submit]"))
    customer.goto(portal.address("/tickets/new"))
    offered = customer.locator("[name=queue]").locator("xpath=ancestor::label")
    assert sorted(name.split("\n")[0] for name in offered.all_inner_texts()) == [
        "Bauprojekte",
        "Rechnung",
    ]

    # "… kann ein einmal im System angelegter Kunde nicht entfernt werden. … »ungültig« …"
    go_through(page.get_by_role("link", name="Vogt, Ida"))
    page.locator("#valid").select_option("invalid")
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.get_by_role("status").first).to_contain_text("Gespeichert")
    customer.goto(portal.address("/tickets"))
    expect(customer.locator("#login")).to_be_visible()


def test_the_chapter_works_without_javascript(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn
) -> None:
    with portal.database.write() as session:
        make_findable(session)
    page = open_page(javascript=False)
    sign_in(page, "ada")
    page.goto(portal.address("/admin/groups/new"))
    page.locator("#name").fill("bau")
    go_through(page.get_by_role("button", name="Gruppe anlegen"))
    page.goto(portal.address("/admin/permissions"))
    page.locator("#search").fill("jones")
    go_through(page.get_by_role("button", name="Suchen"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Nora Jones, bau").select_option("rw")
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.locator("main")).to_contain_text("1 Berechtigung geändert.")
    expect(page.get_by_label("Nora Jones, bau")).to_have_value("rw")
    go_through(page.get_by_role("link", name="Jones, Nora"))
    page.locator("#phone").fill("0301")
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.locator("main")).to_contain_text("Gespeichert.")
    expect(page.locator("#phone")).to_have_value("0301")


def test_search_as_you_type(busy_portal: RunningPortal, page: Page, sign_in: SignIn) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/customer-users"))
    page.locator("#search").press_sequentially("öztü", delay=20)
    expect(page.locator("[data-result]")).to_contain_text("3 Kunden Benutzer gefunden")
    expect(page).to_have_url(re.compile("q=%C3%B6zt%C3%BC"))
    page.locator("#filter-valid").select_option("invalid")
    expect(page.locator(".empty")).to_contain_text("Kein Kunden Benutzer passt dazu.")


def test_a_search_that_fails_because_somebody_leaves_does_not_call_them_back(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/customer-users"))
    searches: list[Route] = []
    links: list[Route] = []
    page.route(re.compile(r"\?q="), lambda route: searches.append(route))
    page.route("**/admin/groups", lambda route: links.append(route))
    with page.expect_request(re.compile(r"\?q=")):
        page.locator("#search").fill("öztü")
    with page.expect_request("**/admin/groups"):
        page.get_by_role("link", name="Gruppen", exact=True).click(no_wait_after=True)
    searches[0].abort()  # as Firefox does by itself
    page.wait_for_timeout(300)  # in which a script could act on that
    links[0].continue_()
    expect(page.locator("h1")).to_have_text("Gruppen")


def test_a_cell_saves_itself(busy_portal: RunningPortal, page: Page, sign_in: SignIn) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/permissions?q=schröder"))
    assert not page.get_by_role("button", name="Speichern").is_visible()
    cell = page.get_by_label("Bert Schröder, technik")
    cell.select_option("rw")
    expect(page.locator("[data-matrix-status]")).to_have_text(
        "Gespeichert: Bert Schröder, technik. Es gilt: Lesen und schreiben, hier vergeben."
    )
    expect(cell).to_be_focused()
    cell.select_option("off")
    expect(page.locator("[data-matrix-status]")).to_contain_text("Keine Berechtigung.")
    with busy_portal.database.read() as session:
        bert, technik = account_named(session, "bert").id, group_id(session, "technik")
        assert session.get(CustomerUserGroup, (bert, technik)) is None


def test_a_cell_that_somebody_else_has_changed_shows_theirs(
    busy_portal: RunningPortal,
    page: Page,
    sign_in: SignIn,
    accept_problem: Callable[[str], None],
) -> None:
    accept_problem("failed part: 409")
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/permissions?q=schröder"))
    with busy_portal.database.write() as session:
        bert, technik = account_named(session, "bert").id, group_id(session, "technik")
        row = session.scalars(
            select(CustomerUserGroup).where(
                CustomerUserGroup.customer_user_id == bert, CustomerUserGroup.group_id == technik
            )
        ).one()
        row.permission = Permission.RW
    with page.expect_navigation():
        page.get_by_label("Bert Schröder, technik").select_option("off")
    expect(page.get_by_role("alert")).to_contain_text("bert – technik")
    assert_accessible(page)
    assert page.get_by_label("Bert Schröder, technik").input_value() == "off"
    with busy_portal.database.read() as session:
        assert session.get_one(CustomerUserGroup, (bert, technik)).permission is Permission.RW


def test_a_cell_that_hides_tickets_asks_first(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn, shoot: Shoot
) -> None:
    busy_portal.add_ticket("carol", "Technik", "Drucker")
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/permissions?q=smith"))
    with page.expect_navigation():
        page.get_by_label("Carol Smith, technik").select_option("off")
    expect(page.locator("h1")).to_have_text("Tickets vor Kunden verbergen?")
    expect(page.locator(".question")).to_contain_text("1 offenes Ticket")
    assert_accessible(page)
    shoot(page, "admin-confirm")
    go_through(page.get_by_role("button", name="Trotzdem speichern"))
    expect(page.get_by_role("status").first).to_contain_text("1 Berechtigung geändert.")


def test_many_groups_at_a_phone_s_width(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    with busy_portal.database.write() as session:
        for number in range(4):
            save_group(session, SETUP, GroupValues(name=f"gruppe-{number}"))
    page = open_page(size=PHONE)
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/permissions"))
    assert_no_horizontal_overflow(page)
    assert_accessible(page)
    shoot(page, "admin-permissions-many-phone")
    page.locator("#filter-group").select_option(label="technik")
    expect(page).to_have_url(re.compile("group="))
    expect(page.get_by_label("Anna Müller, technik")).to_be_visible()
    page.get_by_label("Anna Müller, technik").select_option("ro")
    expect(page.locator("[data-matrix-status]")).to_contain_text("Gespeichert")


def test_errors_stand_at_their_fields_and_get_the_focus(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    for name, size, dark in (("wide", DESKTOP, True), ("phone", PHONE, False)):
        page = open_page(size=size, dark=dark)
        sign_in(page, "ada")
        page.goto(busy_portal.address("/admin/customer-users/new"))
        page.locator("#login").fill("anna")
        page.locator("#email").fill("bert@muster.example")
        go_through(page.get_by_role("button", name="Kunden Benutzer anlegen"))
        summary = page.locator(".error-summary")
        expect(summary).to_be_focused()
        expect(summary.get_by_role("link", name="Vorname")).to_be_visible()
        expect(summary.get_by_role("link", name="„anna“ öffnen")).to_be_visible()
        assert_accessible(page)
        assert_no_horizontal_overflow(page)
        shoot(page, f"admin-errors-{name}")
        summary.get_by_role("link", name="Nachname").click()
        expect(page.locator("#last_name")).to_be_focused()


def test_the_page_about_somebody_who_was_faster(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    first, second = open_page(), open_page(dark=True)
    for page in (first, second):
        sign_in(page, "ada")
        page.goto(busy_portal.address("/admin/customer-users/2"))
    first.locator("#phone").fill("0301")
    go_through(first.get_by_role("button", name="Speichern"))
    expect(first.get_by_role("status").first).to_contain_text("Gespeichert")
    second.locator("#mobile").fill("0170")
    go_through(second.get_by_role("button", name="Speichern"))
    expect(second.get_by_role("heading", name="Das wurde inzwischen geändert")).to_be_visible()
    assert second.locator("#phone").input_value() == "0301"
    assert second.locator("#mobile").input_value() == "0170"
    assert_accessible(second)
    shoot(second, "admin-conflict")


def test_a_password_is_shown_once_and_can_be_copied(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    page = open_page(size=PHONE)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/staff/1/password"))
    go_through(page.get_by_role("button", name="Einmalkennwort erzeugen"))
    password = page.locator("#once").input_value()
    page.get_by_role("button", name="Kopieren").click()
    expect(page.get_by_role("button", name="Kopiert")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == password
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    shoot(page, "admin-password-once")


def test_numbers_are_suggested_while_somebody_types(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/customer-users/new"))
    assert page.locator("#known-numbers option").count() == 9
    page.locator("#customer_number").press_sequentially("musterh", delay=20)
    expect(page.locator("#known-numbers option")).to_have_count(1)
    assert page.locator("#known-numbers option").get_attribute("value") == "K-1050"


def test_an_automatic_answer_is_previewed_as_somebody_types(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn, shoot: Shoot
) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/queues"))
    go_through(page.get_by_role("link", name="Technik", exact=True))
    go_through(page.get_by_role("link", name="Automatische Antworten"))
    german = page.locator(".preview[lang=de] .preview-text")
    expect(german).to_contain_text("Guten Tag Erika Beispiel,")
    expect(page.get_by_role("button", name="Vorschau")).to_be_hidden()
    page.locator("#text_de").fill("Hallo {customer_name}, Ticket {ticket_number}.")
    expect(german).to_have_text("Hallo Erika Beispiel, Ticket 100023.")
    expect(page.locator("#text_de")).to_be_focused()
    page.locator("#text_en").fill("Hello {customer}")
    expect(page.locator(".preview[lang=en] .field-error")).to_contain_text("{customer}")
    go_through(page.get_by_role("button", name="Speichern"))
    summary = page.locator(".error-summary")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Text auf Englisch").click()
    expect(page.locator("#text_en")).to_be_focused()
    assert_accessible(page)
    shoot(page, "admin-answers-error")
    page.locator("#text_en").fill("")
    page.locator("#enabled").uncheck()
    go_through(page.get_by_role("button", name="Speichern"))
    expect(page.get_by_role("status").first).to_contain_text("Gespeichert")
    expect(page.locator(".answer[aria-current]")).to_contain_text("aus")
    go_through(page.get_by_role("button", name="Standardtexte"))
    expect(page.locator("#text_de")).to_have_value(re.compile("vielen Dank"))
    expect(page.locator(".notice")).to_contain_text("noch nicht gespeichert")
    assert_accessible(page)
    shoot(page, "admin-answers-reset")


@pytest.mark.parametrize("path", ["queues/1/answers/new-ticket", "templates/1", "queues/1"])
def test_previews_work_without_javascript(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, path: str
) -> None:
    page = open_page(javascript=False)
    sign_in(page, "ada")
    page.goto(busy_portal.address(f"/admin/{path}"))
    field = page.locator("#signature" if path == "queues/1" else "[id^=text]").first
    field.fill("{queue}, {organisation}: ein {falsch}")
    go_through(page.get_by_role("button", name="Vorschau"))
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Beispiel Support: ein {falsch}")
    expect(preview).to_contain_text("Den Platzhalter {falsch} gibt es nicht.")
    assert field.input_value() == "{queue}, {organisation}: ein {falsch}"


def test_a_template_is_written_with_a_preview(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn
) -> None:
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/queues"))
    go_through(page.get_by_role("link", name="Antwortvorlagen"))
    go_through(page.get_by_role("link", name="Neue Vorlage"))
    page.locator("#name").fill("Termin")
    page.locator("#language").select_option("de")
    page.locator("#text").fill("Guten Tag {customer_name},")
    expect(page.locator("#preview")).to_contain_text("Guten Tag Erika Beispiel,")
    with page.expect_navigation():
        page.locator("#name").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("„Termin“ ist angelegt")
    expect(page.get_by_role("row", name=re.compile("Termin"))).to_contain_text("Deutsch")


def test_an_address_is_good_again(
    busy_portal: RunningPortal, page: Page, sign_in: SignIn, shoot: Shoot
) -> None:
    with busy_portal.database.write() as session:
        let_mail_come_back(session, "anna")
    sign_in(page, "ada")
    page.goto(busy_portal.address("/admin/customer-users?q=muster"))
    expect(page.get_by_role("row", name=re.compile("Müller"))).to_contain_text("kommt zurück")
    shoot(page, "admin-customer-users-bouncing")
    go_through(page.get_by_role("link", name="Müller, Anna"))
    go_through(page.get_by_role("button", name="Die Adresse stimmt wieder"))
    expect(page.get_by_role("status").first).to_contain_text("wird wieder Mail gesendet")
    expect(page.get_by_role("button", name="Die Adresse stimmt wieder")).to_have_count(0)
