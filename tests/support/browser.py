"""Chromium for tests, and what every page must fulfil.

``page`` is a page of a new browser context, ``open_page`` makes more (phone, dark, without
JavaScript, another language). Whatever a page does wrong by itself fails its test at the end: an
error on the console, a failed part, a request to another host. ``accept_problem`` names one that
the test provokes on purpose.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP = (1280, 900)
PHONE = (360, 740)
OWN_HOSTS = ("127.0.0.1", "localhost")
SECONDS = 30.0  # for what a page shows, on a machine however busy
SHOTS_FOLDER = pytest.StashKey[Path | None]()


class OpenPage(Protocol):
    """Makes a page in a browser context of its own: own cookies, own preferences."""

    def __call__(
        self,
        *,
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        javascript: bool = True,
        locale: str = "de-DE",
    ) -> Page: ...


class Look(NamedTuple):
    """How somebody looks at a page: what ``open_page`` takes. As text it is its name."""

    size: tuple[int, int]
    dark: bool
    locale: str

    def __str__(self) -> str:
        device = "phone" if self.size == PHONE else "wide"
        return f"{device}-{'dark' if self.dark else 'light'}-{self.locale[:2]}"


def looks(*names: str) -> pytest.MarkDecorator:
    """Run a test once for each look named, such as "phone-dark-de"; it gets them as ``look``."""
    known = {
        str(look): look
        for look in map(Look._make, product((DESKTOP, PHONE), (False, True), ("de-DE", "en-GB")))
    }
    return pytest.mark.parametrize("look", [known[name] for name in names], ids=names)


class Problems:
    """What pages did wrong in this test."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._accepted: list[re.Pattern[str]] = []

    def accept(self, pattern: str) -> None:
        """Take problems that match ``pattern`` as meant."""
        self._accepted.append(re.compile(pattern))

    def unaccepted(self) -> list[str]:
        """Return what nobody meant."""
        return [
            problem
            for problem in self._found
            if not any(pattern.search(problem) for pattern in self._accepted)
        ]

    def watch(self, page: Page) -> None:
        """Note everything that goes wrong in ``page`` from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._found.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # A failed load is noted with its address by _response.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self._found.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.hostname not in OWN_HOSTS:
            self._found.append(f"foreign request: {request.url}")

    def _response(self, response: Response) -> None:
        # The status of the page itself is the test's own business.
        if response.status >= 400 and not response.request.is_navigation_request():
            self._found.append(f"failed part: {response.status} {response.url}")


def pytest_configure(config: pytest.Config) -> None:
    expect.set_options(timeout=SECONDS * 1000)
    # Taken out of the environment: Schalter refuses variables of its prefix that it does not know.
    folder = os.environ.pop("SCHALTER_SHOTS", None)
    config.stash[SHOTS_FOLDER] = Path(folder) if folder else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


# By module, not by session: while Playwright runs, this thread has a running event loop, and tests
# elsewhere could not start one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium as installed on this machine."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("browser tests: chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page_problems() -> Iterator[Problems]:
    """Collects what the pages of this test do wrong, and fails the test for it."""
    problems = Problems()
    yield problems
    unaccepted = problems.unaccepted()
    if unaccepted:
        pytest.fail("\n".join(unaccepted), pytrace=False)


@pytest.fixture
def accept_problem(page_problems: Problems) -> Callable[[str], None]:
    """Names, as a regular expression, a problem that the test provokes on purpose."""
    return page_problems.accept


@pytest.fixture
def open_page(chromium: Browser, page_problems: Problems) -> Iterator[OpenPage]:
    """Makes watched pages, each in a browser context of its own."""
    contexts = []

    def opened(
        *,
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        javascript: bool = True,
        locale: str = "de-DE",
    ) -> Page:
        width, height = size
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            locale=locale,
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        page_problems.watch(page)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page on a desktop screen, light, in German."""
    return open_page()


@pytest.fixture
def shoot(pytestconfig: pytest.Config) -> Callable[[Page, str], None]:
    """Keeps a picture of the whole page where ``SCHALTER_SHOTS`` names a folder."""
    folder = pytestconfig.stash[SHOTS_FOLDER]

    def keep(page: Page, name: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{name}.png", full_page=True)

    return keep


def go_through(link_or_button: Locator) -> None:
    """Click, and wait until the page that this leads to is there.

    For what is then read or looked at at once. Where the next step is an ``expect`` or a field of
    the new page, a plain click is enough: those wait by themselves.
    """
    with link_or_button.page.expect_navigation():
        link_or_button.click()


def assert_accessible(page: Page) -> None:
    """Fail with the list of violations that axe finds in the page as it stands."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def assert_no_horizontal_overflow(page: Page) -> None:
    """Fail with what sticks out when the page is wider than its window."""
    outside = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.body.querySelectorAll("*")]
                .filter((element) => element.getBoundingClientRect().right > width + 1)
                .map((element) => element.outerHTML.slice(0, 120));
        }"""
    )
    assert not outside, f"{page.url} is wider than its window:\n" + "\n".join(outside)
