"""Mail that clamd and rspamd look at on its way in: filed, or held with the reply of any other."""

import threading
from collections.abc import Iterator

import pytest

from core.config import ContentChecksSection
from core.words import DecisionKind
from gateway.limits import Limits
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, HELLO, MESSAGE, Running
from tests.gateway.test_lmtp import HELLO as LMTP_HELLO
from tests.gateway.transcripts import conversation
from tests.support.checkers import EICAR, STALL, Checker, clamd, http, rspamd
from tests.support.processes import free_port

END = """
    C: QUIT
    S: 221 2.0.0 Bye
    S: (closed)
"""
CLEAN = f"{HELLO}{ENVELOPE}{DATA}{MESSAGE}{ACCEPTED}{END}"
INFECTED = f"""{HELLO}{ENVELOPE}{DATA}
    C: From: anna@muster.example
    C: Subject: Rechnung
    C:
    C: {EICAR.decode()}
    C: .
    {ACCEPTED}{END}
"""
FILED = (DecisionKind.OPEN_TICKET, "allowed")


@pytest.fixture
def scanner() -> Iterator[Checker]:
    with clamd() as running:
        yield running


@pytest.fixture
def filter_() -> Iterator[Checker]:
    with rspamd() as running:
        yield running


def places(seconds: int = 5, *, clamd: str = "", rspamd: str = "") -> ContentChecksSection:
    """Return the section of the configuration that names these checkers."""
    return ContentChecksSection(clamd=clamd, rspamd=rspamd, timeout_seconds=seconds)


def fates(running: Running) -> list[tuple[DecisionKind, str]]:
    """Return what became of each mail, and why."""
    return [(each.decision, each.reason) for each in running.deliveries()]


def why(running: Running) -> str:
    """Return the value that the last step names about the last mail."""
    values: dict[str, str] = running.deliveries()[-1].trace[-1]["values"]
    return next(iter(values.values()))


def checking_threads() -> list[str]:
    """Return the threads that wait for checkers."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("content-check")]


def test_nobody_is_asked_by_default(run: Run, scanner: Checker, filter_: Checker) -> None:
    running = run()
    running.play(INFECTED)
    assert fates(running) == [FILED]
    assert scanner.connections == filter_.connections == 0
    assert checking_threads() == []


def test_a_clean_mail_is_filed(run: Run, scanner: Checker, filter_: Checker) -> None:
    running = run(content_checks=places(clamd=scanner.place, rspamd=filter_.place))
    running.play(CLEAN)
    assert fates(running) == [FILED]
    assert scanner.mails == filter_.mails == running.stored()
    assert ("Helo", "client.example") in filter_.headers
    assert ("IP", "127.0.0.1") in filter_.headers
    assert checking_threads()


@pytest.mark.parametrize("relays", [[], ["127.0.0.1"]], ids=["from outside", "from a relay"])
def test_malware_is_held(run: Run, scanner: Checker, relays: list[str]) -> None:
    running = run(content_checks=places(clamd=scanner.place), trusted_relays=relays)
    running.play(INFECTED)
    assert fates(running) == [(DecisionKind.HOLD, "malware")]
    assert why(running) == "Eicar-Test-Signature"
    assert running.tickets() == 0


def test_malware_over_lmtp_is_held(run: Run, scanner: Checker) -> None:
    running = run(content_checks=places(clamd=scanner.place))
    with conversation(running.lmtp) as client:
        client.play(INFECTED.replace(HELLO, LMTP_HELLO))
    assert fates(running) == [(DecisionKind.HOLD, "malware")]


def test_spam_is_held(run: Run, filter_: Checker) -> None:
    filter_.answer = http(b'{"action": "add header", "score": 7.5}')
    running = run(content_checks=places(rspamd=filter_.place))
    running.play(CLEAN)
    assert fates(running) == [(DecisionKind.HOLD, "spam")]
    assert why(running) == "add header (7.5)"


def test_a_checker_that_is_away(run: Run) -> None:
    running = run(content_checks=places(clamd=f"127.0.0.1:{free_port()}"))
    running.play(CLEAN)
    assert fates(running) == [(DecisionKind.HOLD, "content-not-checked")]
    assert why(running) == "clamd: connection refused"


def test_a_checker_that_says_nothing(run: Run, scanner: Checker) -> None:
    scanner.answer = STALL
    running = run(content_checks=places(1, clamd=scanner.place))
    running.play(CLEAN)
    assert fates(running) == [(DecisionKind.HOLD, "content-not-checked")]
    assert why(running) == "clamd: timed out"


def test_too_much_to_check(run: Run, scanner: Checker) -> None:
    """What does not get its turn in time is held, and never lost."""
    scanner.answer = STALL
    limits = Limits(content_checks=1, check_waiting_seconds=0.1)
    running = run(limits=limits, content_checks=places(30, clamd=scanner.place))
    first = threading.Thread(target=running.play, args=(CLEAN,))
    first.start()
    while not scanner.connections:
        threading.Event().wait(0.01)
    running.play(CLEAN.replace("Frage", "Zweite"))
    assert why(running) == "too much to check at once"
    scanner.over.set()  # the first has been waited for all the while
    first.join()
    assert fates(running) == [(DecisionKind.HOLD, "content-not-checked")] * 2
