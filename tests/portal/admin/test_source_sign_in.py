"""Testing a sign-in against customer sources: what each says, and what signing in would say."""

import logging
from collections.abc import Callable

import pytest
from sqlalchemy import select

from core.accounts.throttle import ACCOUNT_LIMIT
from core.models import AuditEvent, CustomerUser, SignInThrottle, WebSession
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import make_findable
from tests.sources import firm as directory
from tests.sources.crm import ANNA, PASSWORD, WITH_PASSWORD, Crm, read
from tests.sources.firm import PEOPLE, section_of
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.clocks import stop_delays
from tests.support.portal import PASSWORD as KEPT_HERE
from tests.support.portal import RunningPortal, SignIn
from tests.support.slapd import run_slapd

PATH = "/admin/source-trials/sign-in"
Configure = Callable[..., None]
CLARA = ANNA | {"id": 3, "login": "clara", "mail": "clara@neu.example", "number": "N-1"}
EMIL = CLARA | {"id": 4, "login": "emil", "mail": "emil@neu.example", "gueltig": 0}


@pytest.fixture
def held(pages: RunningPortal, crm: Crm, configure: Configure) -> Crm:
    """A source of which Clara and Emil, who is invalid, were read; they have a password."""
    crm.hold(CLARA, EMIL)
    crm.give_passwords()
    configure(crm.section(**WITH_PASSWORD))
    read(pages.database, crm.section(**WITH_PASSWORD))
    return crm


def tried(ada: Admin, login: str, password: str = PASSWORD, status: int = 200) -> str:
    answer = ada.fill(PATH, login=login, password=password)
    assert answer.status_code == status
    page = answer.get_data(as_text=True)
    assert password not in page
    return page


def events(pages: RunningPortal) -> list[tuple[str, int | None, object]]:
    with pages.database.read() as session:
        found = session.scalars(select(AuditEvent).where(AuditEvent.action == "sign-in-tested"))
        return [(each.object_name, each.object_id, each.after) for each in found]


@pytest.mark.parametrize("login", ["clara", "CLARA", "clara@neu.example"])
def test_the_right_password(pages: RunningPortal, held: Crm, ada: Admin, login: str) -> None:
    page = tried(ada, login)
    assert "clara would be signed in." in page
    assert "right" in page
    with pages.database.read() as session:
        assert session.query(WebSession).count() == 1  # Ada's own
        account = session.query(CustomerUser).filter_by(login="clara").one()
    assert events(pages) == [("clara", account.id, {"signs_in": True})]


def test_a_wrong_password(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    page = tried(ada, "clara", "not the password")
    assert "Login or password is not correct." in page
    assert "The password is not that of the account clara." in page
    assert "wrong" in page
    assert events(pages)[0][2] == {"signs_in": False}


def test_an_invalid_record_is_not_asked(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    page = tried(ada, "emil")
    assert "The account emil or its customer is not valid." in page
    assert "not asked" in page


def test_an_account_that_is_invalid_only_here(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    with pages.database.write() as session:
        account = session.query(CustomerUser).filter_by(login="clara").one()
        account.customer.valid = False
    page = tried(ada, "clara")
    assert "The account clara or its customer is not valid." in page
    assert "right" in page


def test_a_record_is_looked_up_as_signing_in_does(
    pages: RunningPortal, held: Crm, ada: Admin
) -> None:
    held.execute("UPDATE \"Kunden Benutzer\" SET id = 9, login = 'new' WHERE id = 3")
    held.execute("UPDATE \"Kunden Benutzer\" SET mail = 'new@neu.example' WHERE id = 9")
    assert "new would be signed in." in tried(ada, "new")
    assert events(pages)[0][0] == "new"


def test_a_record_that_cannot_be_brought_in(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    held.execute("UPDATE \"Kunden Benutzer\" SET id = 9, login = 'new', mail = 'x' WHERE id = 3")
    page = tried(ada, "new")
    assert "Nobody here has this login" in page
    assert "right" in page
    assert events(pages) == [("new", None, {"signs_in": False})]


def test_an_account_that_is_kept_here(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    held.execute("UPDATE \"Kunden Benutzer\" SET login = 'anna' WHERE id = 3")
    page = tried(ada, "anna", KEPT_HERE)
    assert "anna would be signed in." in page
    kept, _crm, there = page.partition("1. crm")
    assert "right" in kept
    assert "wrong" in there
    page = tried(ada, "anna")  # that of her record in the source counts for nothing
    assert "The password is not that of the account anna." in page


def test_a_source_that_is_away(held: Crm, ada: Admin) -> None:
    held.execute('DROP TABLE "Kunden Benutzer"')
    page = tried(ada, "clara")
    assert "not reachable" in page
    assert "The source of the account clara does not answer." in page
    assert "or it cannot be checked" in page


def test_a_source_that_is_configured_no_longer(held: Crm, ada: Admin, configure: Configure) -> None:
    configure()
    assert "The source of the account clara is not configured." in tried(ada, "clara")


def test_a_login_of_nobody_may_be_a_password(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    assert "Nobody here has this login" in tried(ada, "s3cret typed in the wrong field")
    assert events(pages) == [("", None, {"signs_in": False})]


def test_the_password_stands_nowhere(
    pages: RunningPortal, held: Crm, ada: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tried(ada, "clara", "geheim-2026")
    assert "geheim-2026" not in caplog.text
    with pages.database.read() as session:
        for event in session.scalars(select(AuditEvent)):
            assert "geheim" not in f"{event.object_name}{event.before}{event.after}"


def test_too_many_attempts_have_to_wait(
    pages: RunningPortal, held: Crm, ada: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_delays(monkeypatch)
    for _attempt in range(ACCOUNT_LIMIT.free):
        tried(ada, "clara", "not the password")
    page = tried(ada, "clara", status=429)
    assert "Too many attempts" in page
    assert "would be signed in" not in page
    tried(ada, "emil")  # others are not concerned
    with pages.database.write() as session:
        session.query(SignInThrottle).delete()
    assert "would be signed in" in tried(ada, "clara")


def test_a_right_password_makes_wrong_ones_forgotten(held: Crm, ada: Admin) -> None:
    for _round in range(2):
        for _attempt in range(ACCOUNT_LIMIT.free - 1):
            tried(ada, "clara", "not the password")
        assert "would be signed in" in tried(ada, "clara")


def test_what_is_missing_is_said(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    assert ada.fill(PATH, login="clara").status_code == 422
    assert ada.fill(PATH, password="x").status_code == 422
    assert events(pages) == []


def test_only_admins_test(pages: RunningPortal, held: Crm) -> None:
    Admin(pages.client("jonas")).get(PATH, status=403)
    assert pages.client("jonas").post(PATH, data={"login": "clara"}).status_code == 400
    assert pages.client("anna").get(PATH).status_code == 404


def test_it_stands_in_the_audit_log_in_words(held: Crm, ada: Admin) -> None:
    tried(ada, "clara")
    page = ada.get("/admin/audit")
    assert "sign-in tested" in page
    assert "Would be signed in" in page


def test_a_directory(pages: RunningPortal, configure: Configure, ada: Admin) -> None:
    """Of people who are not here; Anna of the directory is not the Anna who is."""
    with run_slapd(PEOPLE) as slapd:
        configure(section_of(slapd))
        _kept, _firm, there = tried(ada, "anna", directory.PASSWORD).partition("1. firm")
        assert "right" in there
        _kept, _firm, there = tried(ada, "anna", "not the password").partition("1. firm")
        assert "wrong" in there
    assert "not reachable" in tried(ada, "anna")


def test_on_each_database(pages_everywhere: RunningPortal, crm: Crm, configure: Configure) -> None:
    with pages_everywhere.database.write() as session:
        make_findable(session)
    crm.hold(CLARA)
    crm.give_passwords()
    configure(crm.section(**WITH_PASSWORD))
    read(pages_everywhere.database, crm.section(**WITH_PASSWORD))
    ada = admin_of(pages_everywhere)
    assert "clara would be signed in." in tried(ada, "clara")
    assert "wrong" in tried(ada, "clara", "not the password")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_is_readable_in_a_browser(
    portal: RunningPortal,
    crm: Crm,
    configure: Configure,
    open_page: OpenPage,
    sign_in: SignIn,
    size: tuple[int, int],
) -> None:
    crm.hold(CLARA)
    configure(crm.section())
    page = open_page(size=size, dark=size is PHONE, locale="de-DE")
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    assert_accessible(page)
    page.fill("#login", "clara")
    page.fill("#password", "falsch")
    go_through(page.locator("main form button[type=submit]"))
    page.wait_for_selector("text=Was die Anmeldung sagen würde")
    assert page.input_value("#password") == ""
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
