"""The tools of the tests themselves."""

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from playwright.sync_api import Page
from sqlalchemy import text

from core.db import Database
from tests.support.browser import (
    PHONE,
    OpenPage,
    Problems,
    assert_accessible,
    assert_no_horizontal_overflow,
)
from tests.support.processes import ProcessFailed, free_port, run_process
from tests.support.serving import serving


def test_a_database_is_migrated(database: Database) -> None:
    with database.read() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar()


@pytest.mark.parametrize("_again", ["first", "second"])
def test_a_database_belongs_to_one_test(database: Database, _again: str) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE left_behind (id INTEGER)"))


def test_a_process_is_waited_for_and_stopped() -> None:
    port = free_port()
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    with run_process(*command) as process:
        process.wait_for_port(port)
        assert process.stop() != 0
        assert process.child.poll() is not None


def test_a_process_that_dies_shows_why() -> None:
    with (
        run_process(sys.executable, "-c", "raise SystemExit('no disk')") as process,
        pytest.raises(ProcessFailed, match="no disk"),
    ):
        process.wait_for_port(free_port())


def test_a_good_page_has_no_problems(page: Page, page_problems: Problems) -> None:
    page.set_content("<html lang=de><title>Tickets</title><main><h1>Tickets</h1></main>")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    assert page_problems.unaccepted() == []


@pytest.mark.parametrize(
    ("markup", "problem"),
    [
        ("<script>console.error('lost')</script>", "console: lost"),
        ("<script>missing()</script>", "script error: missing is not defined"),
        ("<img src='http://tracker.example/x.png'>", "foreign request: http://tracker.example"),
    ],
)
def test_a_page_problem_is_noticed(
    page: Page, page_problems: Problems, markup: str, problem: str
) -> None:
    page.route("**/x.png", lambda route: route.abort())
    page.set_content(markup)
    assert [found for found in page_problems.unaccepted() if problem in found]
    page_problems.accept(problem)


def test_an_inaccessible_page_is_noticed(page: Page) -> None:
    page.set_content("<html lang=de><title>Tickets</title><main><h1>Tickets</h1><input></main>")
    with pytest.raises(AssertionError, match="label"):
        assert_accessible(page)


def test_a_page_too_wide_for_a_phone_is_noticed(open_page: OpenPage) -> None:
    page = open_page(size=PHONE)
    page.set_content("<main><table id=wide width=800><td>Kunden#</table></main>")
    with pytest.raises(AssertionError, match="wide"):
        assert_no_horizontal_overflow(page)


def test_a_browser_may_go_away_before_it_has_read_an_answer() -> None:
    """As one does at the end of a test, while it still fetches scripts."""
    is_gone, is_closed = Event(), Event()

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            yield b"*"
            is_gone.wait(20)

        def close(self) -> None:
            is_closed.set()

    def app(_environ: object, start_response: Callable[..., object]) -> Answer:
        start_response("200 OK", [("Content-Length", "1")])
        return Answer()

    with serving(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as browser:
            # Closing then resets the connection, whatever is still to come.
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while not browser.recv(1000).endswith(b"*"):
                pass
        is_gone.set()
        assert is_closed.wait(20)
