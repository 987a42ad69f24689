"""The bars of the pages: list and ticket page of customer and staff against a bare Flask page."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from http.cookiejar import CookieJar
from statistics import median
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

from tests.bench.organisation import AGENT, CUSTOMER, PASSWORD, sqlite_folder
from tests.bench.report import Bar, at_least, at_most
from tests.bench.servers import program, run_load, send_load, yardstick

CONNECTIONS = 8
TICKETS = 2_000
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Visitor:
    """Somebody who is signed in to a portal."""

    def __init__(self, port: int, sign_in: str, login: str) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._cookies = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self._cookies))
        form = {"login": login, "password": PASSWORD, "csrf_token": self._token(sign_in)}
        self._opener.open(self._base + sign_in, urlencode(form).encode()).close()

    @property
    def cookie(self) -> str:
        """The value of the Cookie field that the load client sends."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)

    def first_ticket(self, path: str) -> str:
        """Return the address of the first ticket of a list."""
        found = re.search(rf'href="({re.escape(path)}/[0-9a-z]{{26}})', self._page(path))
        assert found is not None, f"no ticket in {path}"
        return found[1]

    def _page(self, path: str) -> str:
        with self._opener.open(self._base + path) as answer:
            return str(answer.read().decode())

    def _token(self, path: str) -> str:
        found = _TOKEN.search(self._page(path))
        assert found is not None, f"no form in {path}"
        return found[1]


def measure(rounds: int, requests: int) -> Iterator[Bar]:
    """Measure each page and the bare one in turn; then the memory of the portal."""
    with ExitStack() as stack:
        url, folder = stack.enter_context(sqlite_folder())
        with program("gateway", url, folder) as gateway:
            send_load(gateway.port, 10, TICKETS, "mixed", 1)
        portal = stack.enter_context(program("portal", url, folder))
        bare = stack.enter_context(yardstick("bare_page"))
        for who, sign_in, login, path in (
            ("customer", "/sign-in", CUSTOMER, "/tickets"),
            ("staff", "/staff/sign-in", AGENT, "/staff/tickets"),
        ):
            visitor = Visitor(portal.port, sign_in, login)
            for what, page in (("list", path), ("ticket page", visitor.first_ticket(path))):
                pairs = [
                    (_rate(portal.port, page, visitor.cookie, requests), _rate(bare.port, "/"))
                    for _round in range(rounds)
                ]
                yield at_least(
                    f"{who}'s {what} / bare Flask page",
                    median(ours / yardstick for ours, yardstick in pairs),
                    0.25,
                    f"{median(ours for ours, _yardstick in pairs):.0f}/s, "
                    f"bare {median(yardstick for _ours, yardstick in pairs):.0f}/s",
                )
        yield at_most("memory of the portal", portal.peak_memory, 120, unit=" MB")


def _rate(port: int, path: str, cookie: str = "", requests: int = 1_000) -> float:
    more = [cookie] if cookie else []
    return float(run_load("http_load", port, CONNECTIONS, requests, path, *more)["rate"])
