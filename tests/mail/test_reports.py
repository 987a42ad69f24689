"""Delivery reports: read in the formats of many mail servers, and total whatever the bytes are.

``REPORT_FUZZ_MUTANTS`` is the number of mutants; each depends on its number alone.
"""

import os
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.message import parse, unreadable
from core.mail.reports import (
    MAX_DIAGNOSTIC,
    MAX_RECIPIENTS,
    Action,
    Report,
    ReportedRecipient,
    is_about_address,
    read_report,
    status_in,
)
from tests.mail.report_corpus import described_report, expected_report, raw_report, report_names
from tests.mail.storage import is_clean

NAMES = report_names()
CORPUS = [raw_report(name) for name in NAMES]
MUTANTS = int(os.environ.get("REPORT_FUZZ_MUTANTS", "1500"))
PIECES = (
    *(b"\r\n", b"\n", b"\r\n\r\n", b"\0", b"\xff", b"\xe2\x80\xae", b":", b";", b"<", b">", b"  "),
    *(b"Action: failed\r\n", b"Action:", b"Status: 5.1.1\r\n", b"Status: 4", b"550-5.1.1 "),
    *(b"Final-Recipient: rfc822;", b"Original-Recipient: utf-8; \\x{", b"Diagnostic-Code: smtp;"),
    *(b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n"),
    *(b"X-Failed-Recipients: a@b,", b"Hi. This is the ", b"\n\n<a@b>:\n", b"(" * 30, b"\t" * 30),
)
ANNA = ReportedRecipient("anna@muster.example", Action.FAILED, "5.1.1", "no such user")


def a_report(status_part: bytes) -> bytes:
    """Return a message with this delivery-status part."""
    return (
        b"From: MAILER-DAEMON@muster.example\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + status_part + b"\r\n--b--\r\n"
    )


def check(raw: bytes) -> None:
    """Read a report and check what holds for all of them."""
    report = read_report(parse(raw))
    if report is None:
        return
    assert len(report.recipients) <= MAX_RECIPIENTS
    for each in report.recipients:
        for text in (each.address, each.original, each.status, each.diagnostic, each.reason):
            assert is_clean(text)
            assert "\n" not in text
            assert len(text) <= MAX_DIAGNOSTIC + 12
        assert each.failed or not each.hard
        assert each.hard or not each.blames_address
    assert report.about("anna@muster.example").recipients or not report.recipients
    assert report.hard <= report.failed


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_read_as_expected(name: str) -> None:
    assert described_report(read_report(parse(raw_report(name)))) == expected_report(name)


def test_the_corpus_is_what_it_says() -> None:
    assert len(NAMES) >= 24
    assert all(b"\r\n" in raw for raw in CORPUS)  # the bytes came through version control


def test_what_was_not_read_is_no_report() -> None:
    assert read_report(unreadable(raw_report("postfix"))) is None
    assert read_report(parse(b"")) is None


def test_a_huge_report_is_read_in_part_and_soon() -> None:
    group = (
        b"Final-Recipient: rfc822; n%d@muster.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    )
    groups = b"Reporting-MTA: dns; x\r\n\r\n" + b"".join(group % n for n in range(20_000))
    one = b"Final-Recipient: rfc822;" + b"a" * 500_000 + b"\r\nAction: failed\r\n"
    folded = (
        b"Action: failed\r\nDiagnostic-Code: smtp; 550-5.1.1 x\r\n" + b" 550-5.1.1 y\r\n" * 90_000
    )
    blanks = b"Action: failed\r\nDiagnostic-Code: smtp;" + b" \t" * 900_000 + b"\r\n"
    brackets = b"Action: failed\r\nFinal-Recipient: rfc822;" + b" (" * 900_000 + b"\r\n"
    began = time.process_time()
    found = [read_report(parse(a_report(part))) for part in (groups, one, folded, blanks, brackets)]
    assert time.process_time() - began < 20
    counts = [len(report.recipients) if report else None for report in found]
    assert counts == [MAX_RECIPIENTS, 0, 1, 1, 1]  # the second ends before its action
    for part in (groups, one, folded, blanks, brackets):
        check(a_report(part))


def test_the_mail_that_came_back_may_be_huge() -> None:
    raw = raw_report("postfix").replace(b"Subject: [Ticket", b"X: y\r\n" * 200_000 + b"Subject: [T")
    report = read_report(parse(raw))
    assert report is not None
    assert report.hard


def test_direction_marks_turn_nothing_around() -> None:
    part = (
        "Action: failed\r\nDiagnostic-Code: smtp; 550 \u202eevil\u202c\u200f \u0000 x\r\n".encode()
    )
    report = read_report(parse(a_report(part)))
    assert report is not None
    assert report.recipients[0].diagnostic == "550 evil x"


def test_what_it_says_of_one_recipient() -> None:
    bert = replace(ANNA, address="bert@muster.example", action=Action.DELAYED, status="4.2.2")
    alias = replace(ANNA, address="a.muster@inner.example", original="Anna@MUSTER.example")
    assert Report((ANNA, bert)).about("bert@muster.example") == Report((bert,))
    assert Report((alias, bert)).about("anna@muster.example") == Report((alias,))
    assert Report((ANNA, bert)).about("team@muster.example") == Report((ANNA, bert))
    assert Report((replace(ANNA, address=""),)).about("anna@muster.example").failed
    assert not Report().failed


@pytest.mark.parametrize(
    ("action", "status", "failed", "hard", "blames_address"),
    [
        (Action.FAILED, "5.1.1", True, True, True),
        (Action.FAILED, "5.2.1", True, True, True),
        (Action.FAILED, "", True, True, True),
        (Action.FAILED, "4.4.7", True, False, False),  # given up after days
        (Action.FAILED, "5.3.4", True, True, False),  # the mail was too large for their system
        (Action.FAILED, "5.6.1", True, True, False),
        (Action.FAILED, "5.7.1", True, True, False),
        (Action.DELAYED, "4.4.1", False, False, False),
        (Action.DELAYED, "5.1.1", False, False, False),
        (Action.DELIVERED, "2.1.5", False, False, False),
    ],
)
def test_how_bad_it_is(
    action: Action, status: str, failed: bool, hard: bool, blames_address: bool
) -> None:
    each = ReportedRecipient("a@b.example", action, status, "")
    assert (each.failed, each.hard, each.blames_address) == (failed, hard, blames_address)
    report = Report((each,))
    assert (report.failed, report.hard) == (failed, hard)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.1.1 User unknown", "5.1.1"),
        ("(#5.1.1)", "5.1.1"),
        ("No such user: 5.1.10.", "5.1.10"),
        ("5.1.1.9 refused", ""),
        ("192.5.1.1 refused", ""),
        ("550 No such user", ""),
        ("3.1.1 9.9.9", ""),
        ("", ""),
    ],
)
def test_the_status_in_a_servers_words(text: str, status: str) -> None:
    assert status_in(text) == status


def test_a_status_about_the_address() -> None:
    assert [s for s in ("", "5.0.0", "5.1.1", "5.2.2", "5.4.4") if not is_about_address(s)] == []
    assert [s for s in ("5.3.0", "5.6.0", "5.7.26") if is_about_address(s)] == []


@given(st.binary(max_size=400))
def test_any_status_part_is_read(part: bytes) -> None:
    check(a_report(part))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Final-Recipient", "Action", "Status", "Diagnostic-Code", "X"]),
            st.text(max_size=60),
        ),
        max_size=12,
    )
)
def test_any_values_of_the_fields_are_read(fields: list[tuple[str, str]]) -> None:
    lines = [f"{name}: {value}".encode("utf-8", "surrogatepass") for name, value in fields]
    check(a_report(b"\r\n".join(lines)))


def mutant(number: int) -> bytes:
    """Return the mutant of a number: a report of the corpus with one to six changes."""
    rng = random.Random(number)
    raw = bytearray(rng.choice(CORPUS))
    for _change in range(rng.randint(1, 6)):
        at = rng.randint(0, len(raw))
        end = min(len(raw), at + rng.choice((1, 4, 20, 200)))
        match rng.randrange(5):
            case 0:
                raw[at:end] = b""
            case 1:
                raw[at:at] = rng.choice(PIECES)
            case 2:
                raw[at:end] = raw[at:end] * rng.choice((2, 50))
            case 3:
                other = rng.choice(CORPUS)
                raw[at:] = other[rng.randint(0, len(other)) :]
            case _:
                raw[at:end] = rng.randbytes(end - at)
        del raw[100_000:]
    return bytes(raw)


@pytest.mark.parametrize("block", range(5))
def test_no_mutant_breaks_the_reader(block: int) -> None:
    for number in range(block * MUTANTS // 5, (block + 1) * MUTANTS // 5):
        try:
            check(mutant(number))
        except Exception as error:
            raise AssertionError(f"mutant({number}) is not read") from error
