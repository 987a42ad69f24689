"""Whom a mail is from: rows M1 to M8 of table D."""

from dataclasses import replace

import pytest

from core.intake.identify import AccountFacts, CustomerFacts, MatchKind, identify
from core.mail.customer_numbers import Claim
from core.words import MatchedBy
from tests.intake.facts import ANNA, BEN, MUSTER, OTHER

INVALID = replace(ANNA, valid=False)
BEN_SAME_FIRM = replace(BEN, customer_id=1, customer_number="K-1000")
CUSTOMERS = {"K-1000": MUSTER, "K-2000": OTHER, "K-9": CustomerFacts(9, "K-9", False, frozenset())}

TABLE: list[tuple[str, list[AccountFacts], list[tuple[str, str]], str, MatchKind, str | None]] = [
    # what, accounts of the address, claims (number, where), From domain -> match, login
    ("M1 the address", [ANNA], [], "x.example", MatchKind.ADDRESS, "anna"),
    ("M1 unknown number in text", [ANNA], [("4711", "text")], "", MatchKind.ADDRESS, "anna"),
    ("M1 unknown sub-address", [ANNA], [("news", "recipient")], "", MatchKind.ADDRESS, "anna"),
    ("M2 number agrees", [ANNA], [("K-1000", "text")], "", MatchKind.ADDRESS_AND_NUMBER, "anna"),
    (
        "M2 twice",
        [ANNA],
        [("K-1000", "text"), ("K-1000", "subject")],
        "",
        MatchKind.ADDRESS_AND_NUMBER,
        "anna",
    ),
    (
        "M3 number and domain",
        [],
        [("K-1000", "text")],
        "muster.example",
        MatchKind.KNOWN_DOMAIN,
        None,
    ),
    (
        "M3 not a subdomain",
        [],
        [("K-1000", "text")],
        "mail.muster.example",
        MatchKind.NUMBER_ONLY,
        None,
    ),
    ("M3 not by domain alone", [], [], "muster.example", MatchKind.UNKNOWN, None),
    ("M4 number alone", [], [("K-1000", "header")], "evil.example", MatchKind.NUMBER_ONLY, None),
    ("M5 other customer's number", [ANNA], [("K-2000", "text")], "", MatchKind.CONFLICT, None),
    (
        "M5 one agrees, one not",
        [ANNA],
        [("K-1000", "text"), ("K-2000", "text")],
        "",
        MatchKind.CONFLICT,
        None,
    ),
    ("M5 nobody's number in header", [ANNA], [("K-77", "header")], "", MatchKind.CONFLICT, None),
    (
        "M5 two numbers, no address",
        [],
        [("K-1000", "text"), ("K-2000", "text")],
        "",
        MatchKind.CONFLICT,
        None,
    ),
    ("M5 prefix of the number", [ANNA], [("K-100", "header")], "", MatchKind.CONFLICT, None),
    ("M5 other case", [ANNA], [("k-1000", "header")], "", MatchKind.CONFLICT, None),
    ("M6 nothing", [], [], "", MatchKind.UNKNOWN, None),
    ("M6 nobody's number", [], [("K-77", "text")], "", MatchKind.UNKNOWN, None),
    (
        "M6 wildcards are letters",
        [],
        [("K-%", "text"), ("K-____", "text"), ("*", "text")],
        "",
        MatchKind.UNKNOWN,
        None,
    ),
    ("M7 two accounts", [ANNA, BEN], [], "", MatchKind.AMBIGUOUS, None),
    (
        "M7 settled by number",
        [ANNA, BEN],
        [("K-2000", "text")],
        "",
        MatchKind.ADDRESS_AND_NUMBER,
        "ben",
    ),
    ("M7 same firm", [ANNA, BEN_SAME_FIRM], [("K-1000", "text")], "", MatchKind.AMBIGUOUS, None),
    ("M7 foreign number", [ANNA, BEN], [("K-9", "text")], "", MatchKind.CONFLICT, None),
    ("M8 invalid account", [INVALID], [], "", MatchKind.INVALID_ACCOUNT, "anna"),
    (
        "M8 with its number",
        [INVALID],
        [("K-1000", "text")],
        "muster.example",
        MatchKind.INVALID_ACCOUNT,
        "anna",
    ),
    (
        "M8 two invalid",
        [INVALID, replace(BEN, valid=False)],
        [],
        "",
        MatchKind.INVALID_ACCOUNT,
        None,
    ),
    ("M8 invalid customer's number", [], [("K-9", "text")], "", MatchKind.INVALID_ACCOUNT, None),
    ("valid before invalid", [INVALID, BEN], [], "", MatchKind.ADDRESS, "ben"),
]


@pytest.mark.parametrize(
    ("accounts", "claims", "domain", "kind", "login"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_identify(
    accounts: list[AccountFacts],
    claims: list[tuple[str, str]],
    domain: str,
    kind: MatchKind,
    login: str | None,
) -> None:
    match = identify(accounts, [Claim(*claim) for claim in claims], CUSTOMERS, domain)
    assert match.kind is kind
    assert (match.account.login if match.account else None) == login


def test_every_match_has_a_word_of_the_contract() -> None:
    words = {
        identify(row[1], [Claim(*c) for c in row[2]], CUSTOMERS, row[3]).matched_by for row in TABLE
    }
    assert words == set(MatchedBy)


@pytest.mark.parametrize(
    ("accounts", "matched_by"), [([INVALID], MatchedBy.ADDRESS), ([], MatchedBy.NUMBER)]
)
def test_by_what_an_invalid_account_was_found(
    accounts: list[AccountFacts], matched_by: MatchedBy
) -> None:
    match = identify(accounts, [Claim("K-9", "text")], CUSTOMERS, "")
    assert (match.kind, match.matched_by) == (MatchKind.INVALID_ACCOUNT, matched_by)
