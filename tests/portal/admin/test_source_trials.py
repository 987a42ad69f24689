"""Trying customer sources: rows, the accounts that they are here, and what mail would do."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from core.models import (
    AuditEvent,
    Customer,
    CustomerUser,
    CustomerUserAddress,
    Mail,
    RecordConflict,
)
from core.sources.trying.trial import MAX_FOUND
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import make_findable
from tests.sources.crm import ANNA, STORED, WITH_PASSWORD, Crm, read
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

PATH = "/admin/source-trials"
Configure = Callable[..., None]
CLARA = ANNA | {
    "id": 3,
    "login": "clara",
    "mail": "clara@neu.example",
    "mail2": "c@neu.example",
    "number": "N-1",
    "firma": "Neu & Söhne",
}


@pytest.fixture
def held(crm: Crm, configure: Configure) -> Crm:
    """A source that has Clara, who was never read."""
    crm.hold(CLARA)
    configure(crm.section())
    return crm


def trial(ada: Admin, text: str, by: str = "") -> str:
    return ada.get(f"{PATH}?q={text}&by={by}")


def stored(pages: RunningPortal) -> list[int]:
    """Return how much there is of all that bringing records in changes."""
    with pages.database.read() as session:
        models = (CustomerUser, Customer, CustomerUserAddress, RecordConflict, AuditEvent, Mail)
        return [session.scalars(select(func.count()).select_from(each)).one() for each in models]


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("clara", ""),
        ("CLARA", "login"),
        ("clara@neu.example", ""),
        ("C@NEU.example", "address"),
        ("N-1", ""),
        ("n-1", "number"),
        ("%20clara%20", ""),
    ],
)
def test_what_is_typed_is_recognised(held: Crm, ada: Admin, text: str, by: str) -> None:
    page = trial(ada, text, by)
    assert "not here yet" in page
    assert "Neu &amp; Söhne" in page
    assert "Mail from clara@neu.example" in page


@pytest.mark.parametrize(
    ("text", "by"), [("clara", "number"), ("N-1", "login"), ("clara", "address"), ("x", "")]
)
def test_what_nobody_has(held: Crm, ada: Admin, text: str, by: str) -> None:
    assert "Nothing found." in trial(ada, text, by)


def test_a_login_that_looks_like_an_address(held: Crm, ada: Admin) -> None:
    held.hold(CLARA | {"login": "me@else.example"})
    assert "Mail from clara@neu.example" in trial(ada, "me@else.example")


def test_nothing_is_recorded(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    before = stored(pages)
    assert "not here yet" in trial(ada, "clara")
    assert stored(pages) == before
    held.hold(ANNA, CLARA | {"mail": "nonsense"})
    assert "Login already taken" in trial(ada, "anna")
    assert "Faulty record" in trial(ada, "clara")
    assert stored(pages) == before


def test_mail_is_decided_as_if_the_record_were_here(
    pages: RunningPortal, held: Crm, ada: Admin
) -> None:
    """Its Kunden# has an account here already, whose customer writes to Vertrieb."""
    held.hold(CLARA | {"number": "K-1000"})
    page = trial(ada, "clara")
    _before, _mail, mails = page.partition("Mail from clara@neu.example")
    assert "if its sender is verified" in mails
    vertrieb = mails.partition("vertrieb@example.org")[2]
    assert "Account may write to the queue" in vertrieb
    rechnung = mails.partition("rechnung@example.org")[2].partition("technik@")[0]
    assert "Queue not permitted" in rechnung
    assert "Unknown sender" not in mails


def test_an_address_of_nobody_is_that_of_a_stranger(held: Crm, ada: Admin) -> None:
    page = trial(ada, "who@else.example")
    assert "Mail from who@else.example" in page
    assert "Unknown sender" in page


def test_an_address_that_another_record_has_too(held: Crm, ada: Admin) -> None:
    held.hold(CLARA, CLARA | {"id": 4, "login": "dora"})
    page = trial(ada, "clara", "login")
    assert "Address of several accounts" in page
    assert ">dora<" not in page


def test_differences_are_marked(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    read(pages.database, held.section())
    assert "differs" not in trial(ada, "clara")
    assert "agrees" in trial(ada, "clara")
    held.execute("UPDATE \"Kunden Benutzer\" SET tel = '0228 2', firma = 'Neu AG'")
    page = trial(ada, "clara")
    assert page.count('class="is-different"') == 2
    assert "0228 1" in page
    assert "0228 2" in page
    with pages.database.read() as session:
        account = session.query(CustomerUser).filter_by(login="clara").one()
        assert f'<a href="/admin/customer-users/{account.id}">clara</a>' in page
        assert account.phone == "0228 1"


def test_a_copy_that_cannot_be_renewed(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    read(pages.database, held.section())
    held.execute("UPDATE \"Kunden Benutzer\" SET mail = 'nonsense'")
    page = trial(ada, "clara")
    assert "cannot be renewed" in page
    assert "nonsense" in page


def test_an_account_that_is_invalid(pages: RunningPortal, held: Crm, ada: Admin) -> None:
    held.hold(CLARA | {"gueltig": 0})
    read(pages.database, held.section())
    page = trial(ada, "clara")
    assert "not valid" in page
    assert "Account invalid" in page


def test_the_raw_row_hides_passwords(crm: Crm, configure: Configure, ada: Admin) -> None:
    crm.hold(CLARA)
    crm.give_passwords()
    crm.execute("ALTER TABLE \"Kunden Benutzer\" ADD COLUMN api_token TEXT DEFAULT 'geheim'")
    configure(crm.section(**WITH_PASSWORD))
    page = trial(ada, "clara")
    assert "<code>api_token</code>" in page
    assert page.count("•••") == 2
    assert STORED not in page
    assert "geheim" not in page


def test_two_sources_in_their_order(crm: Crm, erp: Crm, configure: Configure, ada: Admin) -> None:
    crm.hold(CLARA)
    erp.hold(CLARA | {"id": 9, "vorname": "Klara"})
    configure(erp.section("erp"), crm.section("crm"))
    page = trial(ada, "clara")
    assert page.index("sources/erp") < page.index("sources/crm")
    _erp, _crm, second = page.partition("sources/crm")
    assert "is not brought in" in second
    assert "of the source &#34;erp&#34; has the login" in second


def test_one_that_is_away_does_not_hide_the_rest(
    crm: Crm, erp: Crm, configure: Configure, ada: Admin
) -> None:
    crm.hold(CLARA)
    erp.execute('DROP TABLE "Kunden Benutzer"')
    configure(erp.section("erp", when_away="defer"), crm.section("crm"))
    page = trial(ada, "clara")
    assert "It does not answer: no such table: Kunden Benutzer" in page
    assert "Mail is deferred (451)" in page
    assert "Mail from clara@neu.example" in page


@pytest.mark.parametrize(
    ("when_away", "told"),
    [("hold", "Customer source did not answer"), ("defer", "It is deferred (451)")],
)
def test_whether_somebody_is_a_stranger_only_the_one_that_is_away_knows(
    pages: RunningPortal, held: Crm, ada: Admin, configure: Configure, when_away: str, told: str
) -> None:
    read(pages.database, held.section())
    held.execute('DROP TABLE "Kunden Benutzer"')
    configure(held.section(when_away=when_away))
    page = trial(ada, "who@else.example")
    assert told in page
    assert "Unknown sender" not in page
    # Who is known from the last good copy is decided as always.
    page = trial(ada, "clara@neu.example")
    assert told not in page
    assert "Queue not permitted" in page


def test_more_than_are_shown(held: Crm, ada: Admin) -> None:
    many = [CLARA | {"id": n, "login": f"p{n}", "mail": f"p{n}@neu.example"} for n in range(9)]
    held.hold(*many)
    page = trial(ada, "N-1")
    assert page.count("<h3>") == MAX_FOUND
    assert "There are more." in page


def test_odd_texts_are_found_nowhere(held: Crm, ada: Admin) -> None:
    for text in ("%00", "%ED%A0%80", "x" * 5000, "%25", "'", "%22%3E%3Cscript%3E"):
        page = trial(ada, text)
        assert "<script>" not in page.partition("<main")[2]


def test_without_sources_it_leads_to_how_to_connect_one(ada: Admin) -> None:
    assert "No customer source is configured." in ada.get(PATH)


def test_only_admins_try(pages: RunningPortal, held: Crm) -> None:
    Admin(pages.client("jonas")).get(f"{PATH}?q=clara", status=403)
    assert pages.client("anna").get(f"{PATH}?q=clara").status_code == 404


def test_a_directory(pages: RunningPortal, configure: Configure, ada: Admin) -> None:
    with run_slapd(PEOPLE) as slapd:
        configure(section_of(slapd))
        page = trial(ada, "carla")
        assert "not here yet" in page
        assert "<code>proxyAddresses</code>" in trial(ada, "a.muster@firm.example")
        assert page.count("carla@other.example") >= 3
    assert "It does not answer" in trial(ada, "carla")


def test_on_each_database(pages_everywhere: RunningPortal, crm: Crm, configure: Configure) -> None:
    with pages_everywhere.database.write() as session:
        make_findable(session)
    crm.hold(ANNA, CLARA)
    configure(crm.section())
    before = stored(pages_everywhere)
    ada = admin_of(pages_everywhere)
    assert "not here yet" in trial(ada, "clara")
    assert "is not brought in" in trial(ada, "anna")
    assert stored(pages_everywhere) == before


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_is_readable_in_a_browser(
    portal: RunningPortal, held: Crm, open_page: OpenPage, sign_in: SignIn, size: tuple[int, int]
) -> None:
    read(portal.database, held.section())
    held.execute("UPDATE \"Kunden Benutzer\" SET tel = '0228 2'")
    page = open_page(size=size, dark=size is PHONE, locale="de-DE")
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    page.fill("#search", "clara")
    go_through(page.locator("main form button[type=submit]"))
    page.wait_for_selector("text=Mail von clara@neu.example")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
