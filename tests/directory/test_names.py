"""Values in filters, and DNs that are written in more ways than one."""

import pytest

from core.directory.client import dn_key, escape

ESCAPED = {
    "anna": "anna",
    "a.b-c_d@firm.example": "a.b-c_d@firm.example",
    "": "",
    "*)(uid=*": "\\2a\\29\\28uid\\3d\\2a",
    "a\\2a": "a\\5c2a",
    " a ": "\\20a\\20",
    "a\0b": "a\\00b",
    "Müller": "M\\c3\\bcller",
    "\ud800": "\\ed\\a0\\80",
    b"\x00A\xff": "\\00A\\ff",
}

SAME = [
    ("cn=Support,ou=Groups,dc=firm", "CN=support, OU=groups,DC=FIRM"),
    ("cn=A\\, B,dc=firm", "cn=A\\2c B,dc=firm"),
    ("cn=Müller,dc=firm", "cn=M\\C3\\BCLLER,dc=firm"),
    ("cn=a+sn=b,dc=firm", "sn=b + cn=a,dc=firm"),
    ("cn=a  b,dc=firm", "cn=a b ,dc=firm"),
    ("cn=\\ a,dc=firm", "cn=a,dc=firm"),
    ("cn=a\\#b,dc=firm", "cn=a#b,dc=firm"),
]
DIFFERENT = [
    ("cn=a,dc=firm", "cn=a,dc=firm,dc=example"),
    ("cn=a\\,dc\\=firm", "cn=a,dc=firm"),
    ("cn=a\\+sn\\=b,dc=firm", "cn=a+sn=b,dc=firm"),
    ("cn=Büro,dc=firm", "cn=Buro,dc=firm"),
    ("cn=a,dc=firm", "ou=a,dc=firm"),
    ("cn=a,ou=b", "ou=b,cn=a"),
    ("cn=a\\\\,ou=b", "cn=a\\,ou=b"),
    ("", "cn=a"),
]


@pytest.mark.parametrize(("value", "escaped"), ESCAPED.items())
def test_a_value_is_nothing_but_a_value(value: str | bytes, escaped: str) -> None:
    assert escape(value) == escaped


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_dn_in_two_spellings(one: str, other: str) -> None:
    assert dn_key(one) == dn_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_dns(one: str, other: str) -> None:
    assert dn_key(one) != dn_key(other)
