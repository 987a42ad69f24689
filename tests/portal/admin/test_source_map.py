"""The map of a customer source: columns beside a row, what is wrong with it, and the text of it."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from core.config import AnySourceSection, load_config
from core.models import AuditEvent, CustomerUser, RecordConflict
from portal.admin.fixed import CONFIG
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import make_findable
from tests.sources.crm import ANNA, COLUMNS, STORED, WITH_PASSWORD, Crm
from tests.sources.firm import PEOPLE, section_of
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn
from tests.support.slapd import run_slapd

PATH = "/admin/sources/crm/map"
Configure = Callable[..., None]
CLARA = ANNA | {
    "id": 3,
    "login": "clara",
    "mail": "clara@neu.example",
    "mail2": "c@neu.example",
    "number": "N-1",
    "firma": "Neu & Söhne",
    "vorname": "Clara",
}
EMIL = CLARA | {"id": 4, "login": "emil", "mail": "emil@neu.example", "gueltig": 0}


@pytest.fixture
def held(crm: Crm, configure: Configure) -> Crm:
    """A source with two new people, one of them invalid."""
    crm.hold(CLARA, EMIL)
    configure(crm.section())
    return crm


def shown(ada: Admin, status: int = 200, /, **changes: object) -> str:
    answer = ada.fill(PATH, (), **changes)
    assert answer.status_code == status, answer.get_data(as_text=True)[-3000:]
    return answer.get_data(as_text=True)


def value_of(page: str, label: str) -> str:
    """Return what stands beside a field of the form, without its markup."""
    _before, _label, rest = page.partition(f">{label}<")
    row = rest.partition('<div class="map-row">')[0].partition("data-preview>")[2]
    words = html.unescape(row).split('<span class="map-text">')
    return words[1].partition("</span>")[0] if len(words) > 1 else ""


def error_of(page: str, label: str) -> str:
    """Return what is said to be wrong with a field in this row."""
    row = page.partition(f">{label}<")[2].partition('<div class="map-row">')[0]
    error = row.partition("data-preview>")[2].partition('class="field-error">')[2]
    return html.unescape(error.partition("</svg>")[2].partition("</div>")[0]).strip()


def section_in(page: str, folder: Path) -> AnySourceSection:
    """Return the source that is configured by the text on the page."""
    _before, _area, rest = page.partition('id="toml"')
    text = rest.partition(">")[2].partition("</textarea>")[0].removeprefix("\n")
    file = folder / "schalter.toml"
    file.write_text(html.unescape(text), encoding="utf-8")
    (section,) = load_config(str(file)).customer_sources
    return section


def test_it_shows_the_map_beside_a_row(held: Crm, ada: Admin) -> None:
    page = ada.get(PATH)
    assert value_of(page, "E-mail") == "clara@neu.example"
    assert value_of(page, "Name of the customer") == "Neu & Söhne"
    assert value_of(page, "Key") == "3"
    assert value_of(page, "Valid") == "valid"
    assert value_of(page, "Mobile") == ""
    assert "no fault in 2 rows" in page
    assert "The account that it becomes" in page
    for column in ("Kunden#", "vorname", "tel"):
        assert f'<option value="{column}">' in page


def test_the_text_is_the_section(crm: Crm, held: Crm, ada: Admin, tmp_path: Path) -> None:
    assert section_in(ada.get(PATH), tmp_path) == crm.section()


def test_another_column_is_shown_at_once(crm: Crm, held: Crm, ada: Admin, tmp_path: Path) -> None:
    page = shown(ada, mobile="tel", valid_values="0\r\nno", more_addresses="mail2\r\nmail")
    assert value_of(page, "Mobile") == "0228 1"
    assert value_of(page, "Valid") == "invalid"
    assert value_of(page, "More mail addresses") == "c@neu.example, clara@neu.example"
    section = section_in(page, tmp_path)
    columns = crm.section().columns.model_dump()
    wanted = {**columns, "mobile": "tel", "more_addresses": ["mail2", "mail"]}
    assert section == crm.section(columns=wanted, valid_values=["0", "no"])


def test_faults_stand_at_their_fields(held: Crm, ada: Admin) -> None:
    page = shown(ada, email="vorname", customer_number="mail2")
    assert "no fault" not in page
    assert "2 of 2 rows are faulty" in page
    assert "has one @" in error_of(page, "E-mail")
    assert error_of(page, "Login") == ""
    assert "is not brought in" in page
    held.execute('UPDATE "Kunden Benutzer" SET "Kunden#" = NULL')
    assert error_of(shown(ada), "Kunden#") == "Please fill this in."


def test_a_login_that_is_kept_here(held: Crm, ada: Admin) -> None:
    held.hold(ANNA, CLARA)
    page = ada.get(PATH)
    assert "1 of 2 rows is faulty" in page
    assert "The account &#34;anna&#34;, which is kept here, has the login." in page


def test_the_next_row_and_the_one_before(held: Crm, ada: Admin) -> None:
    assert value_of(shown(ada, show="1"), "Login") == "emil"
    page = shown(ada, show="1")
    assert "Row 2 of 2" in page
    assert value_of(shown(ada, sample="1"), "Valid") == "invalid"
    for odd in ("-1", "x", "99999999999999999999", ""):
        assert value_of(shown(ada, show=odd), "Login") == "clara"
    assert value_of(shown(ada, show="700"), "Login") == "emil"


def test_the_next_faulty_row(held: Crm, ada: Admin) -> None:
    held.hold(CLARA, EMIL | {"mail": "nonsense"}, EMIL | {"id": 5, "login": "x"}, ANNA | {"id": 9})
    page = ada.get(PATH)
    assert '<button class="btn btn-sm btn-quiet" type="submit" name="show" value="1">Next f' in page
    page = shown(ada, show="3")
    assert 'name="show" value="1">Next faulty row' in page  # after the last comes the first


def test_a_column_that_is_not_there(held: Crm, ada: Admin) -> None:
    page = shown(ada, phone="telephone")
    assert "It cannot be read like this: no such column" in page
    assert '<option value="tel">' in page  # what there is can still be chosen
    assert "There is no row to show." not in page


@pytest.mark.parametrize(
    "name", ["\0", "x" * 5000, '"; DROP TABLE "Kunden Benutzer"; --', "%s", ":a", "é\ud800", "<b>"]
)
def test_odd_names_of_columns_do_no_harm(held: Crm, ada: Admin, name: str) -> None:
    page = shown(ada, phone=name.encode(errors="replace").decode())
    assert "cannot be read like this" in page or value_of(page, "Login") == "clara"
    assert value_of(ada.get(PATH), "Login") == "clara"


def test_what_the_configuration_would_refuse(crm: Crm, configure: Configure, ada: Admin) -> None:
    crm.hold(CLARA)
    configure(crm.section(writable=["phone"]))
    page = shown(ada, 422, login="", email="")
    assert "The configuration would not be accepted:" in page
    assert page.count("Please fill this in.") >= 2
    assert 'id="toml"' not in page
    page = shown(ada, 422, phone="")
    assert "writable: phone is no field with a column that can be changed" in page


def test_a_source_that_is_away(crm: Crm, configure: Configure, ada: Admin) -> None:
    crm.execute('DROP TABLE "Kunden Benutzer"')
    configure(crm.section())
    page = ada.get(PATH)
    assert "It cannot be read like this: no such table" in page
    assert 'id="toml"' in page


def test_a_password_file_that_is_not_there(crm: Crm, configure: Configure, ada: Admin) -> None:
    configure(crm.section())
    assert "There is no row to show." in ada.get(PATH)
    config = ada.client.application.extensions[CONFIG]
    config.customer_sources[0] = crm.section(password_file="/nowhere/crm.password")
    page = ada.get(PATH)
    assert "password_file /nowhere/crm.password: No such file" in page


@pytest.mark.parametrize("column", ["pw", "PW", "api_token"])
@pytest.mark.parametrize("field", ["title", "more_addresses", "customer_name", "login", "key"])
def test_secrets_stay_hidden_whatever_they_are_chosen_for(
    crm: Crm, configure: Configure, ada: Admin, field: str, column: str
) -> None:
    crm.hold(CLARA)
    crm.give_passwords()
    crm.execute(f"ALTER TABLE \"Kunden Benutzer\" ADD COLUMN api_token TEXT DEFAULT '{STORED}'")
    configure(crm.section(**WITH_PASSWORD))
    page = shown(ada, **{field: column})
    assert "•••" in page
    assert STORED not in page
    assert STORED[:40] not in page


def test_the_column_of_passwords_is_hidden_whatever_it_is_called(
    crm: Crm, configure: Configure, ada: Admin
) -> None:
    crm.hold(CLARA)
    crm.execute(f"ALTER TABLE \"Kunden Benutzer\" ADD COLUMN kw TEXT DEFAULT '{STORED}'")
    configure(crm.section(columns=COLUMNS | {"password": "kw"}))
    for changes in ({"title": "KW"}, {"title": "kw", "password": ""}):
        page = shown(ada, 200, **changes)
        assert value_of(page, "Title") == "•••"
        assert STORED[:40] not in page


def test_nothing_is_recorded(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    def count() -> list[int]:
        with pages.database.read() as session:
            models = (CustomerUser, AuditEvent, RecordConflict)
            return [session.scalars(select(func.count(model.id))).one() for model in models]

    before = count()
    shown(ada, email="vorname")
    shown(ada)
    assert count() == before


def test_only_admins_see_it(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    Admin(pages.client("jonas")).get(PATH, status=403)
    assert pages.client("anna").get(PATH).status_code == 404
    ada.get("/admin/sources/none/map", status=404)
    assert PATH in ada.get("/admin/sources/crm")


def test_on_each_database(pages_everywhere: RunningPortal, crm: Crm, configure: Configure) -> None:
    with pages_everywhere.database.write() as session:
        make_findable(session)
    crm.hold(ANNA, CLARA)
    configure(crm.section())
    page = admin_of(pages_everywhere).get(PATH)
    assert "1 of 2 rows is faulty" in page


def test_a_source_on_postgresql(postgresql_crm: Crm, configure: Configure, ada: Admin) -> None:
    postgresql_crm.hold(CLARA)
    configure(postgresql_crm.section())
    assert value_of(ada.get(PATH), "Login") == "clara"
    assert "cannot be read like this" in shown(ada, phone="telephone")
    assert "cannot be read like this" in shown(ada, phone="x" * 100)


def test_a_directory(configure: Configure, ada: Admin, tmp_path: Path) -> None:
    path = "/admin/sources/firm/map"
    with run_slapd(PEOPLE) as slapd:
        section = section_of(slapd)
        configure(section)
        page = ada.get(path)
        assert value_of(page, "Kunden#") == "K-1000"
        assert '<option value="telephoneNumber">' in page
        assert section_in(page, tmp_path) == section
        page = ada.fill(path, mobile="mail", number_of_all="").get_data(as_text=True)
        assert "@" in value_of(page, "Mobile")
        answer = ada.fill(path, customer_number="", number_of_all="K-7")
        page = answer.get_data(as_text=True)
        assert section_in(page, tmp_path).model_dump()["customer_number"] == "K-7"
        page = ada.fill(path, login="(uid=*)").get_data(as_text=True)
        assert "(uid=*) is no name of an attribute" in page
    assert "cannot be read like this" in ada.get(path)


@pytest.fixture
def page_of_ada(portal: RunningPortal, held: Crm, open_page: OpenPage, sign_in: SignIn) -> Page:
    page = open_page(size=DESKTOP, locale="en-GB")
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    return page


def test_it_is_renewed_as_somebody_types(page_of_ada: Page) -> None:
    page = page_of_ada
    assert_accessible(page)
    expect(page.get_by_role("button", name="Show", exact=True)).to_be_hidden()
    page.fill("#mobile", "tel")
    mobile = page.locator(".map-row", has=page.locator("#mobile"))
    expect(mobile.locator(".map-text")).to_have_text("0228 1")
    expect(page.locator("#toml")).to_have_value(re.compile("mobile = "))
    page.fill("#email", "vorname")
    email = page.locator(".map-row", has=page.locator("#email"))
    expect(email.locator(".field-error")).to_contain_text("has one @")
    expect(page.get_by_text("2 of 2 rows are faulty")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "email"
    assert_accessible(page)
    go_through(page.get_by_role("button", name="Next", exact=True))
    expect(page.get_by_text("Row 2 of 2")).to_be_visible()
    assert page.input_value("#mobile") == "tel"


def test_the_text_is_copied(page_of_ada: Page) -> None:
    page = page_of_ada
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.fill("#mobile", "tel")
    expect(page.locator("#toml")).to_have_value(re.compile("mobile = "))
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert 'mobile = "tel"' in page.evaluate("navigator.clipboard.readText()")


def test_it_works_on_a_phone_without_scripts(
    portal: RunningPortal, held: Crm, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(size=PHONE, dark=True, javascript=False, locale="de-DE")
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    assert_no_horizontal_overflow(page)
    page.fill("#mobile", "tel")
    with page.expect_navigation():
        page.press("#mobile", "Enter")
    mobile = page.locator(".map-row", has=page.locator("#mobile"))
    expect(mobile.locator(".map-text")).to_have_text("0228 1")
    assert_no_horizontal_overflow(page)
