"""Authentication-Results: the strict parser, and whose results are believed (threat I6)."""

import time

import pytest

from core.mail.authentication.findings import Dmarc, DmarcPolicy, Result, Signature, Spf
from core.mail.authentication.results import (
    MethodResult,
    fields_of,
    parse_field,
    read_results,
)
from core.mail.message import parse

NONE, PASS, FAIL = Result.NONE, Result.PASS, Result.FAIL
RELAY = "mx.example.org"

# What real software writes, and the corners of the grammar (RFC 8601 2.2, appendix B).
FIELDS: list[tuple[str, list[tuple[str, str, dict[str, str]]]]] = [
    ("mx.example.org; none", []),
    ("mx.example.org 1; none", []),
    ("mx.example.org;none", []),
    ("mx.example.org;", []),
    (
        'mx.example.org;\tdkim=pass (2048-bit key) header.d=k.de header.i=@k.de header.b="a/b="',
        [("dkim", "pass", {"header.d": "k.de", "header.i": "@k.de", "header.b": "a/b="})],
    ),
    (
        "mx.example.org; spf=pass (domain of a@k.de designates 192.0.2.1 as permitted sender) "
        "smtp.mailfrom=a@k.de; dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=k.de",
        [
            ("spf", "pass", {"smtp.mailfrom": "a@k.de"}),
            ("dmarc", "pass", {"header.from": "k.de"}),
        ],
    ),
    (
        'mx.example.org; dmarc=fail reason="SPF not aligned (relaxed); \\"x\\"" header.from=k.de '
        "(policy=quarantine)",
        [("dmarc", "fail", {"reason": 'SPF not aligned (relaxed); "x"', "header.from": "k.de"})],
    ),
    (
        "mx.example.org (a (nested \\) one)) 1 (b) ; (c) dkim (d) / (e) 1 (f) = (g) pass (h) "
        "header (i) . (j) d (k) = (l) k.de (m)",
        [("dkim", "pass", {"header.d": "k.de"})],
    ),
    ("MX.Example.ORG; DKIM=PASS Header.D=K.de", [("dkim", "pass", {"header.d": "K.de"})]),
    (
        'mx.example.org; spf=pass smtp.mailfrom="a b"@k.de',
        [("spf", "pass", {"smtp.mailfrom": "a b@k.de"})],
    ),
    ("mx.example.org; x-new=odd", [("x-new", "odd", {})]),
]

MALFORMED = [
    "",
    ";",
    "; dkim=pass header.d=k.de",
    "mx.example.org",  # no results at all, not even "none"
    "mx.example.org 2; dkim=pass header.d=k.de",  # a version that nobody knows
    "mx.example.org dkim=pass header.d=k.de",
    "(mx.example.org) mx.example.org; dkim=pass",  # a comment before the name
    '"mx.example.org"; dkim=pass header.d=k.de',
    "mx.example.org; dkim",
    "mx.example.org; dkim=",
    "mx.example.org; =pass",
    "mx.example.org; dkim=pass header.d",
    "mx.example.org; dkim=pass header.d=",
    "mx.example.org; dkim=pass headerd=k.de",
    "mx.example.org; dkim=pass (open header.d=k.de",
    "mx.example.org; dkim=pass (open \\)",
    'mx.example.org; dkim=pass reason="open header.d=k.de',
    "mx.example.org; dkim=pass header.d=k.de header.d=evil.example",
    "mx.example.org; none; dkim=pass header.d=k.de",
    "mx.example.org; dkim=pass header.d=k.de; none",
    "mx.example.org; dkim=pass" + " (" * 9 + ")" * 9,
    "mx.example.org" + "; dkim=pass" * 51,
    "mx.example.org; dkim=pass header.d=" + "k" * 9000,
]


@pytest.mark.parametrize(("value", "expected"), FIELDS, ids=[row[0][:60] for row in FIELDS])
def test_a_field_is_read(value: str, expected: list[tuple[str, str, dict[str, str]]]) -> None:
    field = parse_field(value.encode())
    assert field is not None
    assert field.authserv_id.lower() == RELAY
    found = [(each.method, each.result, dict(each.properties)) for each in field.results]
    assert found == expected


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: value[:60])
def test_a_malformed_field_is_dropped(value: str) -> None:
    assert parse_field(value.encode()) is None


def test_comments_are_kept_for_the_policy() -> None:
    field = parse_field(b"mx; dmarc=fail (p=reject (x)) header.from=k.de (dis=none)")
    assert field is not None
    assert field.results == (
        MethodResult("dmarc", "fail", " p=reject (x) dis=none", (("header.from", "k.de"),)),
    )


@pytest.mark.parametrize(
    "unit", ["(", ")", "\\", '"', ";", "=", ".", " ", "a", "a=", "(a)", ";a=b", " a.b=c", "\xff"]
)
def test_a_hostile_field_takes_no_time(unit: str) -> None:
    began = time.process_time()
    for start in ("", "mx", "mx;", "mx; a=b", "mx; a=b c.d="):
        parse_field((start + unit * 8000).encode()[:8000])
    assert time.process_time() - began < 10


RECEIVED = b"Received: from client by mx.example.org; Wed, 1 Jan 2025 00:00:00 +0000"
OURS = b"Authentication-Results: mx.example.org; dkim=pass header.d=k.de"
FORGED = b"Authentication-Results: mx.example.org; dkim=pass header.d=bank.example"
OTHER = b"Authentication-Results: mx.evil.example; dkim=pass header.d=bank.example"
FROM = b"From: anna@k.de"

PLACES: list[tuple[str, list[bytes], int]] = [
    ("on top", [OURS, RECEIVED, FROM], 1),
    ("below what the relay wrote", [RECEIVED, OURS, RECEIVED, FROM], 1),
    ("several", [RECEIVED, OURS, OURS, FROM], 2),
    ("beside what filters write",
     [b"Return-Path: <a@k.de>", RECEIVED, b"X-Spam-Status: No", b"DMARC-Filter: x", OURS,
      b"DKIM-Filter: x", OURS, FROM], 2),
    ("another case", [OURS.replace(b"mx.example.org", b"MX.Example.Org"), FROM], 1),
    ("with a comment behind", [OURS.replace(b"org;", b"org (we);"), FROM], 1),
    ("below a second Received", [RECEIVED, RECEIVED, FORGED, FROM], 0),
    ("below From", [RECEIVED, FROM, FORGED], 0),
    ("below a signature", [RECEIVED, b"DKIM-Signature: v=1", FORGED, FROM], 0),
    ("below the block", [RECEIVED, OURS, RECEIVED, FORGED, FROM], 1),
    ("below another server's", [RECEIVED, OTHER, FORGED, FROM], 0),
    ("another server's", [RECEIVED, OTHER, FROM], 0),
    ("a longer name", [OURS.replace(b"org;", b"org.evil.example;"), FROM], 0),
    ("a shorter name", [OURS.replace(b"mx.example.org", b"example.org"), FROM], 0),
    ("a quoted name", [OURS.replace(b"mx.example.org", b'"mx.example.org"'), FROM], 0),
    ("the name in a comment",
     [OURS.replace(b"mx.example.org", b"(mx.example.org) mx.evil.example"), FROM], 0),
    ("a comment before the name", [OURS.replace(b"mx.", b"(x) mx."), FROM], 0),
    ("a malformed one ends the block", [RECEIVED, b"Authentication-Results: mx", FORGED, FROM], 0),
    ("nothing", [RECEIVED, FROM], 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "count"), [row[1:] for row in PLACES], ids=[r[0] for r in PLACES]
)
def test_whose_results_are_believed(lines: list[bytes], count: int) -> None:
    message = parse(b"\r\n".join([*lines, b"", b"text"]))
    assert len(fields_of(message.parts[0].fields, RELAY)) == count


def mail(*results: str) -> bytes:
    """Return a mail whose relay has written these results, one field for each."""
    fields = "".join(f"Authentication-Results: {RELAY}; {each}\r\n" for each in results)
    return (f"{fields}From: anna@k.de\r\n\r\ntext").encode()


READ = [
    (["dkim=pass header.d=K.de"], None, (Signature(PASS, "k.de"),), None),
    (["dkim=pass header.i=@k.de"], None, (Signature(PASS, "k.de"),), None),
    (["dkim=pass"], None, (), None),
    (["spf=softfail smtp.mailfrom=a@k.de"], Spf(Result.SOFTFAIL, "k.de"), (), None),
    (["spf=hardfail smtp.mailfrom=k.de"], Spf(FAIL, "k.de"), (), None),
    (["spf=pass smtp.helo=k.de"], None, (), None),
    (["spf=odd smtp.mailfrom=k.de"], Spf(NONE, "k.de"), (), None),
    (["dmarc=pass header.from=k.de"], None, (), Dmarc(DmarcPolicy.UNKNOWN, PASS)),
    (["dmarc=fail (p=reject dis=none) header.from=k.de"], None, (),
     Dmarc(DmarcPolicy.REJECT, FAIL)),
    (["dmarc=fail header.from=k.de (policy=quarantine)"], None, (),
     Dmarc(DmarcPolicy.QUARANTINE, FAIL)),
    (["dmarc=fail header.from=k.de policy.dmarc=none"], None, (), Dmarc(DmarcPolicy.NONE, FAIL)),
    (["dmarc=fail (sp=none) header.from=k.de"], None, (), Dmarc(DmarcPolicy.UNKNOWN, FAIL)),
    (["dmarc=none header.from=k.de"], None, (), Dmarc(DmarcPolicy.NONE, NONE)),
    (["dmarc=temperror header.from=k.de"], None, (), Dmarc(DmarcPolicy.UNKNOWN, Result.TEMPERROR)),
    (["dmarc=pass header.from=other.example"], None, (), None),
    (["dmarc=pass"], None, (), None),
    (["dkim=fail header.d=k.de", "dkim=pass header.d=k.de"], None,
     (Signature(FAIL, "k.de"), Signature(PASS, "k.de")), None),
]  # fmt: skip


@pytest.mark.parametrize(("results", "spf", "signatures", "dmarc"), READ, ids=str)
def test_what_is_found(
    results: list[str], spf: Spf | None, signatures: tuple[Signature, ...], dmarc: Dmarc | None
) -> None:
    found = read_results(parse(mail(*results)), RELAY, "k.de")
    assert (found.spf, found.signatures, found.dmarc) == (spf, signatures, dmarc)
    assert not found.problem


@pytest.mark.parametrize(
    "results",
    [
        ["dmarc=pass header.from=k.de", "dmarc=fail (p=reject) header.from=k.de"],
        ["spf=pass smtp.mailfrom=k.de", "spf=fail smtp.mailfrom=k.de"],
        ["spf=pass smtp.mailfrom=k.de; spf=pass smtp.mailfrom=evil.example"],
    ],
    ids=str,
)
def test_results_that_contradict_each_other_do_not_count(results: list[str]) -> None:
    assert read_results(parse(mail(*results)), RELAY, "k.de").problem


def test_a_header_that_cannot_be_read_proves_nothing() -> None:
    raw = mail("dkim=pass header.d=k.de").replace(
        b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 300 + b"\r\n"
    )
    assert read_results(parse(raw), RELAY, "k.de").problem
