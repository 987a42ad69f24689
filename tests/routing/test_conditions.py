"""Which mail fits which conditions: a table for every field and operator."""

import time
from dataclasses import replace

import pytest

from core.mail.message import parse, unreadable
from core.routing import conditions as engine
from core.routing.conditions import OPERATORS, fits
from core.routing.content import MAX_MATCHED, Content
from core.routing.rule import Conditions, Field, Group, Join, Operator
from core.routing.rule import Test as Condition
from tests.routing.contents import BARE, CONTENT, groups, one

F, Op, ALL, ANY = Field, Operator, Join.ALL, Join.ANY

TABLE: list[tuple[Conditions, bool]] = [
    (Conditions(), True),
    (Conditions((), ANY), True),
    (one(F.SUBJECT, Op.CONTAINS, "grusse"), True),  # case, umlaut dots and ß
    (one(F.SUBJECT, Op.CONTAINS, "GRÜSSE ZUR"), True),
    (one(F.SUBJECT, Op.CONTAINS, "Mahnung"), False),
    (one(F.SUBJECT, Op.CONTAINS, "Mahnung", negated=True), True),
    (one(F.SUBJECT, Op.BEGINS, "Grüße"), True),
    (one(F.SUBJECT, Op.BEGINS, "zur"), False),
    (one(F.SUBJECT, Op.ENDS, "4711"), True),
    (one(F.SUBJECT, Op.ENDS, "zur"), False),
    (one(F.SUBJECT, Op.EQUALS, "grüße zur rechnung 4711"), True),
    (one(F.SUBJECT, Op.EQUALS, "Rechnung"), False),
    (one(F.SUBJECT, Op.MATCHES, r"rechnung\s+\d{4}$"), True),
    (one(F.SUBJECT, Op.MATCHES, r"^rechnung"), False),
    (one(F.SUBJECT, Op.MATCHES, "("), False),
    (one(F.SUBJECT, Op.MATCHES, "(", negated=True), False),  # what cannot be asked never holds
    (one(F.TEXT, Op.CONTAINS, "straße in munchen"), True),
    (one(F.FROM, Op.EQUALS, "ANNA@muster.example"), True),
    (one(F.FROM, Op.WITHIN, "muster.example"), True),
    (one(F.FROM, Op.WITHIN, "uster.example"), False),
    (one(F.FROM, Op.WITHIN, "mail.muster.example"), False),
    (one(F.MAIL_FROM, Op.WITHIN, "Muster.Example."), True),
    (one(F.MAIL_FROM, Op.WITHIN, "not a domain"), False),
    (one(F.RECIPIENT, Op.BEGINS, "vertrieb@"), True),
    (one(F.HEADER, Op.EQUALS, "einkauf", "x-TEAM"), True),  # any of several fields
    (one(F.HEADER, Op.EQUALS, "einkauf", "x-teams"), False),
    (one(F.HEADER, Op.EXISTS, "", "X-Team"), True),
    (one(F.HEADER, Op.EXISTS, "", "X-Empty"), False),
    (one(F.HEADER, Op.EXISTS, "", "X-Empty", negated=True), True),
    (one(F.HEADER, Op.EXISTS, "", "X-Ümlaut"), False),
    (one(F.ATTACHMENT, Op.ENDS, ".pdf"), True),
    (one(F.ATTACHMENT, Op.ENDS, ".exe"), False),
    (one(F.SIZE, Op.MORE, "1999"), True),
    (one(F.SIZE, Op.MORE, "2000"), False),
    (one(F.SIZE, Op.MORE, "many"), False),
    (one(F.SIZE, Op.CONTAINS, "2"), False),  # an operator that is none of the field's
    (one(F.EVIDENCE, Op.EQUALS, "verified"), True),
    (one(F.EVIDENCE, Op.EQUALS, "neutral"), False),
    (one(F.CUSTOMER_NUMBER, Op.EQUALS, "K-1000"), True),
    (one(F.CUSTOMER_USER, Op.EQUALS, "bert"), False),
    (one(F.PEER, Op.WITHIN, "192.0.2.0/24"), True),
    (one(F.PEER, Op.WITHIN, "198.51.100.0/24"), False),
    (one(F.PEER, Op.EQUALS, "192.0.2.7"), True),
    (one(F.PEER, Op.WITHIN, "nowhere"), False),
    (groups(ALL, (ALL, (True, True)), (ANY, (False, True))), True),
    (groups(ALL, (ALL, (True, True)), (ALL, (False, True))), False),
    (groups(ANY, (ALL, (False, True)), (ANY, (False, True))), True),
    (groups(ANY, (ALL, (False, True)), (ANY, (False, False))), False),
]


@pytest.mark.parametrize(("conditions", "expected"), TABLE)
def test_table(conditions: Conditions, expected: bool) -> None:
    assert fits(conditions, CONTENT) is expected


def test_a_mapped_address_is_in_its_network() -> None:
    peer = replace(CONTENT, peer="::ffff:192.0.2.7")
    assert fits(one(F.PEER, Op.WITHIN, "192.0.2.0/24"), peer)


@pytest.mark.parametrize("field", list(Field))
def test_what_is_missing_fits_only_a_negated_test(field: Field) -> None:
    for operator in OPERATORS[field]:
        if field in {F.SIZE, F.EVIDENCE, F.RECIPIENT}:
            continue  # every mail has these
        value = "192.0.2.0/24" if field is F.PEER else "example.org"
        assert not fits(one(field, operator, value, "X-Nothing"), BARE)
        assert fits(one(field, operator, value, "X-Nothing", negated=True), BARE)


ODD = (
    b"\x00\xff\xfe",
    b"Subject: \xff\xed\xa0\x80\r\nX-Team: =?x?q?=ff?=\r\n\r\n\xff",
    b":\n" * 999,
)


@pytest.mark.parametrize("raw", ODD)
def test_odd_bytes_never_raise(raw: bytes) -> None:
    for message in (parse(raw), unreadable(raw)):
        content = replace(CONTENT, message=message, mail_from="\udcff@x", sender="\udcff")
        for field, operators in OPERATORS.items():
            for operator in operators:
                fits(one(field, operator, "a\udcff", "X-Team"), content)


def test_what_is_told_of_each_test() -> None:
    found = groups(ANY, (ALL, (True, False)), (ANY, (False,)))
    assert engine.tested(found, CONTENT) == ((True, False), (False,))


def test_no_more_is_read_than_a_rule_asks_for() -> None:
    content: Content = replace(CONTENT, message=parse(CONTENT.message.raw))
    either = Conditions(
        (Group((Condition(F.SIZE, Op.MORE, "1"), Condition(F.TEXT, Op.CONTAINS, "x")), ANY),)
    )
    assert fits(either, content)
    assert "text" not in vars(content.message)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*a){20}b", "(a|a)*b", "(a?){100}a{100}b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    text = b"Subject: x\n\n" + b"a" * 200_000 + b"!"
    content = replace(CONTENT, message=parse(text))
    begin = time.monotonic()
    fits(one(F.TEXT, Op.MATCHES, pattern), content)
    assert time.monotonic() - begin < 60  # a backtracking engine needs ages


def test_a_pattern_looks_at_the_beginning_only() -> None:
    text = b"Subject: x\n\n" + b"a" * MAX_MATCHED + b" ende"
    content = replace(CONTENT, message=parse(text))
    assert not fits(one(F.TEXT, Op.MATCHES, "ende"), content)
    assert fits(one(F.TEXT, Op.CONTAINS, "ende"), content)
