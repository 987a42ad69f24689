"""Clamd and rspamd are asked over real sockets, in time, and believed no more than they should."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import Config, ContentChecksSection, load_config
from core.content_checks import MAX_ANSWER, check_content
from core.errors import ConfigError
from core.health import State, check_content_checks
from core.intake.incoming import Envelope
from core.mail.content_check import CLEAN, ContentVerdict
from core.words import Protocol
from tests.support.checkers import (
    EICAR,
    FOUND,
    MAX_BYTES,
    STALL,
    TRICKLE,
    Checker,
    clamd,
    http,
    rspamd,
)
from tests.support.processes import free_port

ENVELOPE = Envelope(
    mail_from="anna@müster.example",
    recipients=("vertrieb@example.org", "technik@example.org"),
    protocol=Protocol.SMTP,
    peer="192.0.2.1",
    helo="client.example",
)
MAIL = b"From: anna@muster.example\r\nSubject: Frage\r\n\r\nGuten Tag\r\n"
MALWARE = ContentVerdict(malware="Eicar-Test-Signature")


@pytest.fixture
def scanner() -> Iterator[Checker]:
    with clamd() as running:
        yield running


@pytest.fixture
def filter_() -> Iterator[Checker]:
    with rspamd() as running:
        yield running


def asked(
    raw: bytes = MAIL, seconds: int = 5, *, clamd: str = "", rspamd: str = ""
) -> ContentVerdict:
    """Return what the checkers at these places say."""
    section = ContentChecksSection(clamd=clamd, rspamd=rspamd, timeout_seconds=seconds)
    verdict = check_content(section, ENVELOPE, raw)
    assert verdict is not None
    return verdict


def test_nobody_is_asked() -> None:
    assert check_content(ContentChecksSection(), ENVELOPE, MAIL) is None


# clamd


def test_a_clean_mail(scanner: Checker) -> None:
    assert asked(clamd=scanner.place) == CLEAN
    assert scanner.mails == [MAIL]


def test_a_mail_of_several_pieces(scanner: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.content_checks._PIECE", 7)
    assert asked(MAIL + EICAR, clamd=scanner.place) == MALWARE
    assert scanner.mails == [MAIL + EICAR]


def test_a_socket_file(tmp_path: Path) -> None:
    with clamd(tmp_path / "clamd.sock") as scanner:
        assert asked(MAIL + EICAR, clamd=scanner.place) == MALWARE


def test_a_mail_too_big_for_clamd(scanner: Checker) -> None:
    """It stops reading and hangs up; its answer may be lost with the connection."""
    verdict = asked(b"x" * 40 * MAX_BYTES, clamd=scanner.place)
    assert verdict.failed
    assert not verdict.malware
    assert scanner.mails == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"stream: Can't open file ERROR\n", "clamd: stream: Can't open file ERROR"),
        (b"HTTP/1.1 400 Bad Request\r\n", "clamd: HTTP/1.1 400 Bad Request"),
        (b"stream: OK", "clamd: stream: OK"),
        (b"", "clamd: it closed the connection"),
    ],
    ids=["error", "garbage", "cut off", "closed"],
)
def test_a_bad_answer_of_clamd(scanner: Checker, answer: bytes, reason: str) -> None:
    scanner.answer = answer
    assert asked(clamd=scanner.place) == ContentVerdict(failed=reason)


def test_an_endless_answer_of_clamd(scanner: Checker) -> None:
    scanner.answer = b"x" * 20 * MAX_ANSWER
    assert asked(clamd=scanner.place).failed == "clamd: " + "x" * 200


# rspamd


def test_a_mail_that_is_no_spam(filter_: Checker) -> None:
    assert asked(rspamd=filter_.place) == CLEAN
    assert filter_.mails == [MAIL]
    told = [each for each in filter_.headers if each[0] in {"From", "Rcpt", "IP", "Helo"}]
    assert told == [
        ("From", "<anna@müster.example>"),
        ("Rcpt", "<vertrieb@example.org>"),
        ("Rcpt", "<technik@example.org>"),
        ("IP", "192.0.2.1"),
        ("Helo", "client.example"),
    ]


def test_spam(filter_: Checker) -> None:
    filter_.answer = http(b'{"action": "reject", "score": 17.04, "symbols": {}}')
    assert asked(rspamd=filter_.place) == ContentVerdict(spam="reject (17.0)")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"{}", "503 Busy"), "status 503"),
        (http(b"<html>"), "its answer is no JSON"),
        (http(b" " * (MAX_ANSWER + 1)), "its answer is too long"),
        (b"\x00\xff\x00", "no http: "),
        (b"", "no http: remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "its answer is no JSON"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 20 * MAX_ANSWER, "no http: "),
    ],
    ids=["status", "no JSON", "too long", "garbage", "closed", "cut off", "endless header"],
)
def test_a_bad_answer_of_rspamd(filter_: Checker, answer: bytes, reason: str) -> None:
    filter_.answer = answer
    failed = asked(rspamd=filter_.place).failed
    assert failed.startswith(f"rspamd: {reason}")
    assert len(failed) <= 208


# Both


@pytest.mark.parametrize("answer", [STALL, TRICKLE], ids=["silence", "byte by byte"])
def test_all_has_one_deadline(answer: bytes, scanner: Checker, filter_: Checker) -> None:
    scanner.answer = filter_.answer = answer
    for name, places in (
        ("clamd", {"clamd": scanner.place}),
        ("rspamd", {"rspamd": filter_.place}),
        ("clamd: timed out; rspamd", {"clamd": scanner.place, "rspamd": filter_.place}),
    ):
        begin = time.monotonic()
        assert asked(seconds=1, **places) == ContentVerdict(failed=f"{name}: timed out")
        # One deadline for both, and however many bytes come: they would go on for a minute.
        assert 0.9 < time.monotonic() - begin < 20


def test_both_are_heard(scanner: Checker, filter_: Checker) -> None:
    scanner.answer = FOUND
    filter_.answer = b""
    verdict = asked(clamd=scanner.place, rspamd=filter_.place)
    assert verdict.malware == MALWARE.malware
    assert verdict.failed.startswith("rspamd: ")


def test_nobody_is_there(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    assert asked(clamd=place).failed == "clamd: connection refused"
    assert asked(rspamd=f"http://{place}").failed == "rspamd: connection refused"
    assert asked(clamd=f"unix:{tmp_path}/none").failed == "clamd: no such file or directory"
    assert asked(clamd=f"{'x' * 70}.example:3310").failed == "clamd: no host name"


# schalter check


def checked(clamd: str = "", rspamd: str = "") -> list[tuple[str, State, str]]:
    """Return the lines of ``schalter check`` about checkers."""
    config = Config(content_checks=ContentChecksSection(clamd=clamd, rspamd=rspamd))
    return [(each.name, each.state, each.text) for each in check_content_checks(config)]


def test_checkers_that_answer(scanner: Checker, filter_: Checker) -> None:
    assert checked() == []
    assert checked(clamd=scanner.place, rspamd=filter_.place) == [
        ("clamd", State.OK, f"{scanner.place} answers"),
        ("rspamd", State.OK, f"{filter_.place} answers"),
    ]


def test_checkers_that_do_not(
    scanner: Checker, filter_: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.health.SECONDS", 0.3)
    scanner.answer, filter_.answer = b"220 mail.example.org ESMTP\r\n", STALL
    (one, other) = checked(clamd=scanner.place, rspamd=filter_.place)
    assert one[1:] == (
        State.FAILED,
        f"{scanner.place}: it does not answer ping as clamd does: all mail is held",
    )
    assert other[1] is State.FAILED
    assert "timed out" in other[2] or "no answer" in other[2]


# The configuration


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("clamd", '"clamd"', 'must be "host:port", "unix:PATH" or ""'),
        ("clamd", '"unix:"', 'must be "host:port", "unix:PATH" or ""'),
        ("rspamd", '"127.0.0.1:11333"', 'must be "http://host:port" or ""'),
        ("rspamd", '"https://rspamd.example:443"', 'must be "http://host:port" or ""'),
        ("rspamd", '"http://a:b@rspamd.example:80"', 'must be "http://host:port" or ""'),
        ("rspamd", '"http://rspamd.example:11333/x"', 'must be "http://host:port" or ""'),
        ("rspamd", '"http://rspamd.example:99999"', 'must be "host:port"'),
        ("timeout_seconds", "0", "greater than or equal to 1"),
    ],
)
def test_a_bad_value(tmp_path: Path, key: str, value: str, told: str) -> None:
    file = tmp_path / "schalter.toml"
    file.write_text(f"[content_checks]\n{key} = {value}\n")
    with pytest.raises(ConfigError) as error:
        load_config(str(file))
    assert str(error.value).startswith(f"{file}: content_checks.{key}: ")
    assert told in str(error.value)


def test_good_values() -> None:
    for place in ("127.0.0.1:3310", "unix:/run/clamav/clamd.ctl", "[::1]:3310"):
        assert ContentChecksSection(clamd=place).clamd == place
    for url in ("http://127.0.0.1:11333", "http://rspamd.internal:80", "http://[::1]:11333"):
        assert ContentChecksSection(rspamd=url).rspamd == url
