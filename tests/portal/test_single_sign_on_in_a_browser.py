"""Signing in with Chromium through Glewlwyd, a real provider that shares no code with ours."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from core.config import Config, SingleSignOnSection, WebSection
from core.db import Database
from core.health import State, check_single_sign_on
from core.models import AuditEvent
from core.secret_key import ensure_secret_key
from portal.app import create_app
from portal.limits import limiter
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
)
from tests.support.glewlwyd import PASSWORD, Glewlwyd, NoGlewlwyd, run_glewlwyd
from tests.support.portal import RunningPortal, fill
from tests.support.processes import free_port
from tests.support.serving import serving
from tests.support.single_sign_on import sessions_of

Shoot = Callable[[Page, str], None]
SECRET = "a secret between the two of them"


@pytest.fixture(scope="module")
def glewlwyd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glewlwyd]:
    """Glewlwyd with the people of our organisation, and one whose address it has not verified."""
    try:
        with run_glewlwyd(tmp_path_factory.mktemp("glewlwyd")) as running:
            running.add_user("anna", "anna@muster.example")
            running.add_user("jonas", "jonas@example.org")
            running.add_user("mallory", "carol@acme.example", verified=False)
            running.add_user("nobody", "nobody@example.org")
            yield running
    except NoGlewlwyd as reason:
        pytest.skip(f"single sign-on: {reason}")


@pytest.fixture
def config(glewlwyd: Glewlwyd, tmp_path: Path) -> Config:
    """A configuration in which Glewlwyd may say who somebody is."""
    url = f"http://127.0.0.1:{free_port()}"
    client = f"schalter-{url.rpartition(':')[2]}"
    glewlwyd.add_client(client, SECRET, f"{url}/sign-on/glewlwyd/callback")
    (tmp_path / "client-secret").write_text(SECRET)
    key = str(tmp_path / "secret.key")
    ensure_secret_key(key)
    return Config(
        web=WebSection(public_url=url),
        secret_key_file=key,
        single_sign_on=[
            SingleSignOnSection(
                name="glewlwyd",
                label="Glewlwyd",
                issuer=glewlwyd.issuer,
                client_id=client,
                client_secret_file=str(tmp_path / "client-secret"),
                accounts="both",
            )
        ],
    )


@pytest.fixture
def served(config: Config, sqlite_database: Database) -> Iterator[RunningPortal]:
    """The portal at the address to which Glewlwyd leads back."""
    fill(sqlite_database)
    app = create_app(config, sqlite_database)
    limiter.reset()
    port = int(config.public_url.rpartition(":")[2])
    with serving(app, port):
        yield RunningPortal(config.public_url, sqlite_database, app)


@pytest.fixture
def accept_glewlwyd(accept_problem: Callable[[str], None]) -> None:
    """Its pages ask for translations that it does not have, and whether somebody is signed in."""
    accept_problem(r"^failed part: 40[14] http://localhost:")


def sign_in_there(page: Page, login: str) -> None:
    """Fill in the sign-in page of Glewlwyd, and let it tell us what it knows."""
    page.fill("#username", login)
    page.fill("#password", PASSWORD)
    page.click("#loginbut")
    for scope in ("email", "profile"):
        page.check(f"#grant-{scope}")
    page.click("#root .btn-primary:has-text('Zugang'), #root .btn-primary:has-text('Grant')")
    go_on(page)


def go_on(page: Page) -> None:
    """Let Glewlwyd lead back."""
    page.click("#root .card-footer .btn-success")


LOOKS = [
    pytest.param(DESKTOP, False, "de-DE", id="wide-light-de"),
    pytest.param(DESKTOP, True, "en-GB", id="wide-dark-en"),
    pytest.param(PHONE, True, "de-DE", id="phone-dark-de"),
    pytest.param(PHONE, False, "en-GB", id="phone-light-en"),
]


@pytest.mark.parametrize(("size", "dark", "locale"), LOOKS)
@pytest.mark.parametrize("path", ["/sign-in", "/staff/sign-in"])
def test_the_sign_in_pages_offer_it(
    served: RunningPortal,
    open_page: OpenPage,
    shoot: Shoot,
    request: pytest.FixtureRequest,
    path: str,
    size: tuple[int, int],
    dark: bool,
    locale: str,
) -> None:
    page = open_page(size=size, dark=dark, locale=locale)
    page.goto(served.address(path))
    words = "Anmelden mit Glewlwyd" if locale == "de-DE" else "Sign in with Glewlwyd"
    expect(page.get_by_role("button", name=words)).to_be_visible()
    expect(page.locator("#login")).to_be_focused()
    shoot(page, f"sign-on-{request.node.callspec.id}".replace("/", "-"))
    assert_accessible(page)
    assert_no_horizontal_overflow(page)


def test_a_customer_signs_in(
    served: RunningPortal, page: Page, shoot: Shoot, accept_glewlwyd: None
) -> None:
    page.goto(served.address("/tickets/new"))
    page.click("text=Anmelden mit Glewlwyd")
    shoot(page, "sign-on-glewlwyd")
    sign_in_there(page, "anna")
    expect(page).to_have_url(served.address("/tickets/new"))
    expect(page.locator(".rail-account")).to_contain_text("Anna Müller")
    assert sessions_of(served) == ["anna"]
    with served.database.read() as session:
        (event,) = session.scalars(select(AuditEvent)).all()
        assert (event.action, event.after) == ("signed-in", {"provider": "Glewlwyd"})
    page.goto(served.address("/tickets"))
    page.click(".rail-account button:has-text('Abmelden'), button:has-text('Abmelden')")
    expect(page.locator("main")).to_contain_text("Sie sind abgemeldet.")
    assert sessions_of(served) == []
    page.click("text=Anmelden mit Glewlwyd")  # which still knows her
    go_on(page)
    expect(page).to_have_url(served.address("/tickets"))


def test_a_member_of_staff_signs_in_with_a_phone(
    served: RunningPortal, open_page: OpenPage, accept_glewlwyd: None
) -> None:
    page = open_page(size=PHONE, dark=True, locale="en-GB")
    page.goto(served.address("/staff/tickets"))
    page.click("text=Sign in with Glewlwyd")
    sign_in_there(page, "jonas")
    expect(page).to_have_url(served.address("/staff/tickets"))
    assert sessions_of(served) == ["jonas"]


@pytest.mark.parametrize(
    ("login", "sentence"),
    [
        ("mallory", "Glewlwyd hat Ihre Identität nicht so bestätigt, wie es hier nötig ist."),
        ("nobody", "Zu Ihrer Anmeldung mit Glewlwyd gibt es hier kein Konto."),
    ],
)
def test_who_has_no_account_is_told_so(
    login: str,
    sentence: str,
    served: RunningPortal,
    open_page: OpenPage,
    shoot: Shoot,
    accept_glewlwyd: None,
) -> None:
    page = open_page(size=PHONE)
    page.goto(served.address("/tickets/new"))
    page.click("text=Anmelden mit Glewlwyd")
    sign_in_there(page, login)
    expect(page.locator(".alert")).to_contain_text(sentence)
    expect(page).to_have_url(served.address("/sign-in?next=/tickets/new"))
    shoot(page, f"sign-on-refused-{login}")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    assert sessions_of(served) == []


def test_two_tabs_of_one_browser(served: RunningPortal, page: Page, accept_glewlwyd: None) -> None:
    page.goto(served.address("/tickets/new"))
    page.click("text=Anmelden mit Glewlwyd")
    other = page.context.new_page()
    other.goto(served.address("/sign-in"))
    other.click("text=Anmelden mit Glewlwyd")
    other.wait_for_selector("#username")
    sign_in_there(page, "anna")
    expect(page).to_have_url(served.address("/tickets/new"))
    other.reload()
    go_on(other)
    expect(other).to_have_url(served.address("/tickets"))


def test_without_scripts_the_page_leads_on_as_well(
    served: RunningPortal, open_page: OpenPage, glewlwyd: Glewlwyd
) -> None:
    page = open_page(javascript=False)
    page.goto(served.address("/sign-in"))
    page.click("text=Anmelden mit Glewlwyd")
    page.wait_for_url(f"{glewlwyd.url}/login.html?**")


def test_the_check_finds_it_as_it_should_be(glewlwyd: Glewlwyd, config: Config) -> None:
    (check,) = check_single_sign_on(config)
    assert check.state is State.OK
    assert check.text == (
        f"{glewlwyd.issuer} answers; redirect URI: {config.public_url}/sign-on/glewlwyd/callback"
    )
