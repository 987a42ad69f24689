"""The pages of customer sources: how each stands, what of it is here, and its conflicts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from core.db import Database
from core.models import CustomerSource, CustomerUser, RecordConflict, now
from core.sources.source import SourceAway
from core.words import SourceConflict, Validity
from portal.admin.sources import in_words
from tests.portal.admin.browsing import Admin
from tests.sources.crm import ANNA, Crm, read
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
)
from tests.support.portal import RunningPortal, SignIn

PATH = "/admin/sources"
Configure = Callable[..., None]
CLARA = ANNA | {"id": 3, "login": "clara", "mail": "clara@neu.example", "number": "N-1"}
DORA = ANNA | {"id": 4, "login": "dora", "mail": "no address", "number": "N-1"}


@pytest.fixture
def crm_of_firm(crm: Crm, configure: Configure) -> Crm:
    """A source with one new account, one whose login is kept here, and a faulty record."""
    configure(crm.section())
    crm.hold(ANNA, CLARA, DORA)
    return crm


def state(database: Database, **values: object) -> None:
    """Let it be known of the source what it is."""
    with database.write() as session:
        found = session.get(CustomerSource, "crm")
        assert found is not None
        for name, value in values.items():
            setattr(found, name, value)


def test_without_sources_it_says_how_to_connect_one(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(PATH)
    assert "Kept in Schalter" in page
    assert "4 accounts, 2 customers" in page
    assert "[[customer_sources]]" in page
    assert "schalter sources sync" not in page
    assert f'href="{PATH}"' in ada.get("/admin/groups")


@pytest.mark.parametrize(
    "path", [PATH, "/admin/source-trials", "/admin/source-trials/sign-in", "/admin/source-renames"]
)
def test_the_navigation_knows_where_one_is(ada: Admin, path: str) -> None:
    page = ada.get(path)
    assert f'<a class="nav-entry" href="{PATH}" aria-current="page">' in page


def test_a_source_that_was_never_read(crm_of_firm: Crm, ada: Admin) -> None:
    page = ada.get(PATH)
    assert "never read" in page
    assert "0 accounts, 0 customers" in page
    assert "schalter sources sync crm" in page
    assert "[[customer_sources]]" not in page


def test_what_was_read_is_counted(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    read(pages.database, crm_of_firm.section())
    page = ada.get(PATH)
    assert "answers" in page
    assert "1 account, 1 customer" in page
    assert "4 accounts, 2 customers" in page  # kept here
    assert f'<a class="above" href="{PATH}/crm#conflicts">2</a>' in page
    assert "too long ago" not in page
    assert "every 60 minutes" in page


def test_a_record_that_is_gone(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    read(pages.database, crm_of_firm.section())
    with pages.database.write() as session:
        account = session.query(CustomerUser).filter_by(login="clara").one()
        account.valid, account.source_gone_at = Validity.INVALID, now()
    page = ada.get(PATH)
    assert "1 not valid, " in page
    assert '<a class="above" href="/admin/source-renames">1 no longer in the source</a>' in page
    assert "1, 1 not valid, 1 no longer in the source" in ada.get(f"{PATH}/crm")


def test_a_source_that_is_away(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    read(pages.database, crm_of_firm.section())
    crm_of_firm.execute('DROP TABLE "Kunden Benutzer"')
    with pytest.raises(SourceAway):
        read(pages.database, crm_of_firm.section())
    state(pages.database, last_error_at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    with pytest.raises(SourceAway):  # again, which changes nothing about since when it is away
        read(pages.database, crm_of_firm.section())
    for path in (PATH, f"{PATH}/crm"):
        page = ada.get(path)
        assert "not reachable" in page
        assert "2026-02-03T04:05:00+00:00" in page
        assert "no such table: Kunden Benutzer" in page
        assert "Mail waits as held mail" in page


@pytest.mark.parametrize(
    ("sync_minutes", "age", "is_old"),
    [
        (60, timedelta(hours=1, minutes=59), False),
        (60, timedelta(hours=2, minutes=1), True),
        (0, timedelta(hours=23), False),
        (0, timedelta(hours=25), True),
    ],
)
def test_a_pass_that_is_too_long_ago(
    pages: RunningPortal,
    crm: Crm,
    configure: Configure,
    ada: Admin,
    sync_minutes: int,
    age: timedelta,
    is_old: bool,
) -> None:
    crm.hold(CLARA)
    configure(crm.section(sync_minutes=sync_minutes))
    read(pages.database, crm.section())
    state(pages.database, last_pass_at=now() - age)
    assert ("too long ago" in ada.get(PATH)) is is_old


def test_the_order_is_that_of_the_configuration(
    crm: Crm, erp: Crm, configure: Configure, ada: Admin
) -> None:
    configure(erp.section("erp"), crm.section("crm"))
    page = ada.get(PATH)
    assert page.index("Kept in Schalter") < page.index("sources/erp") < page.index("sources/crm")


def test_accounts_of_a_source_that_is_configured_no_longer(
    pages: RunningPortal, crm_of_firm: Crm, configure: Configure, ada: Admin
) -> None:
    read(pages.database, crm_of_firm.section())
    configure()
    page = ada.get(PATH)
    assert "not configured" in page
    assert "1 account, 1 customer" in page
    ada.get(f"{PATH}/crm", status=404)


def test_where_a_source_is_hides_what_may_be_a_password(
    configure: Configure, ada: Admin, crm: Crm
) -> None:
    section = crm.section()
    url = "postgresql://reader@crm.example:5433/crm?sslpassword=geheim"
    configure(section.model_copy(update={"url": url}))
    for path in (PATH, f"{PATH}/crm"):
        page = ada.get(path)
        assert "postgresql://reader@crm.example:5433/crm" in page
        assert "geheim" not in page


def test_one_source(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    read(pages.database, crm_of_firm.section())
    page = ada.get(f"{PATH}/crm")
    assert "<code>Kunden#</code>" in page
    assert "<code>mail2</code>" in page
    assert "Database (SQL)" in page
    assert "for 10 seconds" in page


def test_conflicts_lead_to_the_account_that_holds_the_login(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    read(pages.database, crm_of_firm.section())
    page = ada.get(f"{PATH}/crm")
    assert "2 conflicts" in page
    assert "Login already taken" in page
    assert "Das hier geführte Konto „anna“ hat diesen Benutzernamen." in page  # as the firm speaks
    assert '<a class="above" href="/admin/customer-users/1">anna</a>' in page
    assert "Faulty record" in page


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("email: no @; customer_number: empty", "E-mail: no @; Kunden#: empty"),
        ("customer_name: too long", "Name of the customer: too long"),
        ("The login: it is taken. email: x", "The login: it is taken. email: x"),
        ("nothing: x", "nothing: x"),
    ],
)
def test_fields_of_faulty_records_are_called_as_people_call_them(detail: str, told: str) -> None:
    assert in_words(detail) == told


def test_conflicts_by_kind_and_text(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    read(pages.database, crm_of_firm.section())
    assert "dora" not in ada.get(f"{PATH}/crm?kind=login")
    faulty = ada.get(f"{PATH}/crm?kind=faulty")
    assert "dora" in faulty
    assert "(of 2)" in faulty
    assert "anna" in ada.get(f"{PATH}/crm?q=ANNA")
    assert "No conflict matches." in ada.get(f"{PATH}/crm?q=an_a")  # no wildcard
    assert "2 conflicts" in ada.get(f"{PATH}/crm?kind=nonsense")


def test_many_conflicts_come_page_by_page(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    with pages.database.write() as session:
        for number in range(30):
            session.add(
                RecordConflict(
                    source="crm",
                    source_key=str(number),
                    login=f"person{number:02}",
                    kind=SourceConflict.FAULTY,
                    detail="?",
                )
            )
    first = ada.get(f"{PATH}/crm?kind=faulty")
    assert "person24" in first
    assert "person25" not in first
    _before, _rel, rest = first.partition('rel="next" href="')
    second = ada.get(rest.partition('"')[0].replace("&amp;", "&"))
    assert "person25" in second
    assert "person24" not in second


def test_conflicts_of_others_are_not_shown(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    read(pages.database, crm_of_firm.section())
    with pages.database.write() as session:
        other = {"source_key": "1", "login": "of-another", "detail": "?"}
        session.add(RecordConflict(source="erp", kind=SourceConflict.FAULTY, **other))
    page = ada.get(f"{PATH}/crm")
    assert "of-another" not in page
    assert "2 conflicts" in page


def test_no_conflict_is_said(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    crm_of_firm.hold(CLARA)
    read(pages.database, crm_of_firm.section())
    assert "Every record that was read could be brought in." in ada.get(f"{PATH}/crm")


def test_only_admins_see_sources(pages: RunningPortal, crm_of_firm: Crm) -> None:
    for path in (PATH, f"{PATH}/crm"):
        Admin(pages.client("jonas")).get(path, status=403)
        assert pages.client("anna").get(path).status_code == 404


def test_a_source_that_does_not_exist(crm_of_firm: Crm, ada: Admin) -> None:
    for name in ("none", "CRM", "x" * 3000):
        ada.get(f"{PATH}/{name}", status=404)


@pytest.mark.parametrize("locale", ["de-DE", "en-GB"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_is_readable_in_a_browser(
    portal: RunningPortal,
    crm_of_firm: Crm,
    open_page: OpenPage,
    sign_in: SignIn,
    locale: str,
    size: tuple[int, int],
) -> None:
    read(portal.database, crm_of_firm.section())
    page: Page = open_page(size=size, locale=locale, dark=locale == "de-DE")
    sign_in(page, "ada")
    for path in (PATH, f"{PATH}/crm"):
        page.goto(portal.address(path))
        assert_accessible(page)
        assert_no_horizontal_overflow(page)
    page.goto(portal.address(PATH))
    page.locator("#source-crm").get_by_role("link", name="2", exact=True).click()
    page.wait_for_url("**#conflicts")  # not where the rest of the row leads
    page.select_option("#filter-kind", "faulty")
    expect(page.locator("tr[data-row]")).to_have_count(1)
