"""*Read now*: an admin has a source read whole, and sees what becomes of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select

from core.claims import claimed
from core.config import Config
from core.db import Database
from core.models import AuditEvent, CustomerSource, now
from core.sources.mirroring.passes import read_all, state_of
from core.sources.mirroring.schedule import Reader, reading
from core.sources.mirroring.wishes import UNHEARD_AFTER
from core.sources.records import SourceRecord
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import make_findable
from tests.sources.crm import ANNA, Crm, logins
from tests.sources.records import ANNA as ANNA_LISTED
from tests.sources.records import Listed
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn, token_of
from tests.support.processes import wait_until

PATH = "/admin/sources"
READ = f"{PATH}/crm/read"
Configure = Callable[..., None]
CLARA = ANNA | {"id": 3, "login": "clara", "mail": "clara@neu.example", "number": "N-1"}
TAKE_AWAY = 'ALTER TABLE "Kunden Benutzer" RENAME TO away'
COMMAND = "schalter sources sync crm"


@pytest.fixture
def crm_of_firm(crm: Crm, configure: Configure) -> Crm:
    """A source with one account that nobody has here, read only when asked for."""
    configure(crm.section(sync_minutes=0))
    crm.hold(CLARA)
    return crm


def put(database: Database, **values: object) -> None:
    """Let it be known of the source what it is."""
    with database.write() as session:
        state = state_of(session, "crm")
        for name, value in values.items():
            setattr(state, name, value)


def stored(database: Database) -> CustomerSource:
    with database.read() as session:
        return session.get_one(CustomerSource, "crm")


def events(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        wanted = select(AuditEvent).where(AuditEvent.action == "reading-asked")
        return list(session.scalars(wanted))


def work(database: Database, crm: Crm) -> None:
    """Do what the worker does for the source when it looks."""
    Reader(database, crm.section(sync_minutes=0), ["crm"]).run_due()


def click(admin: Admin, path: str = PATH) -> None:
    """Press the button that a page has."""
    shown = admin.form(path)
    assert admin.send(shown.action, shown).status_code == 303


@pytest.mark.parametrize("path", [PATH, f"{PATH}/crm"])
def test_a_click_has_it_read(pages: RunningPortal, crm_of_firm: Crm, ada: Admin, path: str) -> None:
    shown = ada.form(path)
    assert shown.action == READ
    assert "Read now" in ada.get(path)
    answer = ada.send(READ, shown)
    assert (answer.status_code, answer.location) == (303, path)
    page = ada.get(path)
    assert "Reading the source &#34;crm&#34; is asked for." in page
    assert "The worker begins within a few seconds." in page
    assert "Read now</" not in page
    assert READ not in page  # nothing to click on until it has begun
    assert COMMAND in page
    (event,) = events(pages.database)
    assert event.actor_name == "ada"

    work(pages.database, crm_of_firm)
    assert "clara" in logins(pages.database)
    page = ada.get(path)
    assert READ in page
    assert "The worker begins" not in page


def test_the_log_tells_who_has_asked(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    click(ada)
    page = ada.get("/admin/audit")
    assert "reading asked for" in page
    assert "Customer source" in page
    assert "crm" in page


def test_clicking_twice_is_clicking_once(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    shown = ada.form(PATH)
    for _time in range(2):  # the second from a page that was opened before
        assert ada.send(READ, shown).status_code == 303
    assert len(events(pages.database)) == 1
    work(pages.database, crm_of_firm)
    before = stored(pages.database).last_pass_at
    work(pages.database, crm_of_firm)
    assert stored(pages.database).last_pass_at == before


def test_while_it_is_read_one_more_can_be_asked_for(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    seen: list[str] = []

    def records() -> Iterator[SourceRecord]:
        yield ANNA_LISTED
        seen.append(ada.get(PATH))
        click(ada)
        seen.append(ada.get(PATH))

    read_all(pages.database, Listed("crm", []), ["crm"], records())
    during, asked_again = seen
    assert "being read" in during
    assert "Read once more" in during
    assert "Asked for once more: " in asked_again
    assert READ not in asked_again
    assert "The worker begins within a few seconds." in ada.get(PATH)


def test_no_worker_is_there(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    put(pages.database, read_asked_at=now() - 2 * UNHEARD_AFTER)
    for path in (PATH, f"{PATH}/crm"):
        page = ada.get(path)
        assert "No worker has begun since." in page
        assert "<code>schalter worker</code>" in page
        assert COMMAND in page


def test_a_failed_try_is_told_and_can_be_repeated(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    crm_of_firm.execute(TAKE_AWAY)
    for _time in range(2):
        click(ada)
        work(pages.database, crm_of_firm)
        for path in (PATH, f"{PATH}/crm"):
            page = ada.get(path)
            assert page.count("no such table: Kunden Benutzer") == 1  # said once, not twice
            assert "not reachable" in page
            assert "Last try: " in page
            assert READ in page
    assert stored(pages.database).read_asked_at is None
    put(pages.database, last_error="", last_error_at=None)  # a look-up has had an answer since
    page = ada.get(PATH)
    assert "not reachable" not in page
    assert "no such table: Kunden Benutzer" in page
    put(pages.database, read_error="")
    assert "the log of the worker says why" in ada.get(PATH)


def test_a_lost_half_is_told_with_the_command(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    persons = [
        CLARA | {"id": number, "login": f"user{number}", "mail": f"u{number}@neu.example"}
        for number in range(50)
    ]
    crm_of_firm.hold(*persons)
    click(ada)
    work(pages.database, crm_of_firm)
    crm_of_firm.hold(*persons[:5])
    click(ada)
    work(pages.database, crm_of_firm)
    for path in (PATH, f"{PATH}/crm"):
        page = ada.get(path)
        assert "schalter sources sync crm --accept-loss" in page
        assert READ in page


def test_a_pass_that_was_broken_off(pages: RunningPortal, crm_of_firm: Crm, ada: Admin) -> None:
    put(pages.database, read_began_at=now() - timedelta(minutes=5))
    page = ada.get(PATH)
    assert "broken off" in page
    assert READ in page
    with claimed(pages.database, "source-crm"):
        assert "being read" in ada.get(PATH)


def test_on_each_database(pages_everywhere: RunningPortal, crm_of_firm: Crm) -> None:
    pages = pages_everywhere
    with pages.database.write() as session:
        make_findable(session)
    ada = admin_of(pages)
    click(ada)
    assert "The worker begins within a few seconds." in ada.get(PATH)
    work(pages.database, crm_of_firm)
    assert "1 account, 1 customer" in ada.get(PATH)
    put(pages.database, read_began_at=now())
    assert "broken off" in ada.get(PATH)
    with claimed(pages.database, "source-crm"):
        assert "being read" in ada.get(PATH)


def test_only_admins_may_ask(pages: RunningPortal, crm_of_firm: Crm) -> None:
    for login, home, status in (("jonas", "/staff/", 403), ("anna", "/tickets", 404)):
        client = pages.client(login)
        token = token_of(client, home)
        assert client.post(READ, data={"csrf_token": token}).status_code == status
    nobody = pages.app.test_client()
    answer = nobody.post(READ, data={"csrf_token": token_of(nobody, "/staff/sign-in")})
    assert answer.status_code == 401
    assert events(pages.database) == []


def test_a_link_or_a_forged_form_asks_for_nothing(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    ada.get(READ, status=405)
    assert ada.client.post(READ).status_code == 400
    assert events(pages.database) == []


def test_only_a_source_of_the_configuration_is_read(
    pages: RunningPortal, crm_of_firm: Crm, ada: Admin
) -> None:
    shown = ada.form(PATH)
    for name in ("none", "CRM", "x" * 3000):
        assert ada.send(f"{PATH}/{name}/read", shown).status_code == 404
    assert events(pages.database) == []


def row_of(page: Page) -> Locator:
    return page.locator("#source-crm")


LOCALES = pytest.mark.parametrize("locale", ["de-DE", "en-GB"])
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE])


@LOCALES
@SIZES
def test_the_page_follows_the_worker(
    portal: RunningPortal,
    crm_of_firm: Crm,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    locale: str,
    size: tuple[int, int],
) -> None:
    german = locale == "de-DE"
    page = open_page(size=size, locale=locale, dark=german == (size == PHONE))
    sign_in(page, "ada")
    page.goto(portal.address(PATH))

    def look(what: str) -> None:
        assert_accessible(page)
        assert_no_horizontal_overflow(page)
        shoot(page, f"read-now-{locale}-{size[0]}-{what}")

    look("0-before")
    go_through(row_of(page).get_by_role("button"))
    asked = "Der Worker beginnt in wenigen Sekunden." if german else "The worker begins"
    expect(row_of(page)).to_contain_text(asked)
    look("1-asked")
    page.goto(portal.address(f"{PATH}/crm"))
    look("2-asked-on-its-page")
    page.goto(portal.address(PATH))
    with reading(portal.database, Config(customer_sources=[crm_of_firm.section(sync_minutes=0)])):
        expect(row_of(page).get_by_role("button")).to_be_visible(timeout=60_000)
    answers = "antwortet" if german else "answers"
    expect(row_of(page)).to_contain_text(answers)
    expect(row_of(page)).not_to_contain_text(asked)
    expect(page.locator("[data-goes-on-status]")).not_to_be_empty()
    look("3-read")


@LOCALES
def test_how_it_may_stand_looks_well(
    portal: RunningPortal,
    crm_of_firm: Crm,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    locale: str,
) -> None:
    desktop = open_page(size=DESKTOP, locale=locale, dark=locale == "en-GB")
    phone = open_page(size=PHONE, locale=locale, dark=True)
    for page in (desktop, phone):
        sign_in(page, "ada")
    past = now() - timedelta(minutes=5)
    lost = f"it lacks the records of 45 of 50 valid accounts; run: {COMMAND} --accept-loss"
    stands: dict[str, dict[str, object]] = {
        "unheard": {"read_asked_at": past},
        "under-way": {"read_began_at": past},
        "asked-again": {"read_began_at": past, "read_asked_at": now()},
        "broken-off": {"read_began_at": past},
        "failed": {"read_failed_at": past, "read_error": lost},
        "lost": {
            "read_failed_at": past,
            "read_error": lost,
            "last_error": lost,
            "last_error_at": past,
        },
    }
    nothing: dict[str, object] = {
        "read_asked_at": None,
        "read_began_at": None,
        "read_failed_at": None,
        "read_error": "",
    }
    for name, values in stands.items():
        put(portal.database, **(nothing | values))
        with ExitStack() as stack:
            if name in ("under-way", "asked-again"):
                stack.enter_context(claimed(portal.database, "source-crm"))
            for page, where in ((desktop, "1280"), (phone, "360")):
                for path, what in ((PATH, "list"), (f"{PATH}/crm", "page")):
                    page.goto(portal.address(path))
                    assert_accessible(page)
                    assert_no_horizontal_overflow(page)
                    shoot(page, f"stands-{name}-{locale}-{where}-{what}")


def test_the_page_of_a_source_follows_too(
    portal: RunningPortal, crm_of_firm: Crm, open_page: OpenPage, sign_in: SignIn
) -> None:
    """What came of it is shown as well: here a conflict."""
    crm_of_firm.hold(CLARA, ANNA)
    page = open_page(locale="en-GB")
    sign_in(page, "ada")
    page.goto(portal.address(f"{PATH}/crm"))
    expect(page.locator("#conflicts-found tr[data-row]")).to_have_count(0)
    page.get_by_role("button", name="Read now").click()
    expect(page.locator("#state")).to_contain_text("The worker begins")
    for _time in range(2):  # it looks, and looks again
        with page.expect_response("**/admin/sources/crm", timeout=60_000):
            pass
    work(portal.database, crm_of_firm)
    expect(page.locator("#conflicts-found tr[data-row]")).to_have_count(1, timeout=60_000)
    expect(page.get_by_role("button", name="Read now")).to_be_visible()


def test_without_javascript(
    portal: RunningPortal, crm_of_firm: Crm, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(locale="en-GB", javascript=False)
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    row_of(page).get_by_role("button", name="Read now").click()
    expect(row_of(page)).to_contain_text("The worker begins")
    work(portal.database, crm_of_firm)
    wait_until(lambda: "clara" in logins(portal.database), "the account")
    page.reload()
    expect(row_of(page).get_by_role("button", name="Read now")).to_be_visible()
