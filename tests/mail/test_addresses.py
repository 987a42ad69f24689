"""Mail addresses: which are the same, which may be in an envelope, and what a From field says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.mail.addresses import (
    MAX_FROM_FIELD,
    FromResult,
    address_key,
    check_new_address,
    domain_key,
    has_no_reader,
    is_valid_envelope_address,
    parse_from,
    split_subaddress,
)
from tests.mail.growth import grows_linearly
from tests.mail.storage import is_clean


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("anna@muster.example", "anna@muster.example"),
        ("  Anna@MUSTER.Example ", "anna@muster.example"),
        ("MÜLLER@Bücher.example", "müller@xn--bcher-kva.example"),
        ("mu\u0308ller@bu\u0308cher.example", "müller@xn--bcher-kva.example"),
        ("müller@XN--BCHER-KVA.example", "müller@xn--bcher-kva.example"),
        ("anna@straße.example", "anna@xn--strae-oqa.example"),
        ("anna@ｍｕｓｔｅｒ.example", "anna@muster.example"),  # UTS 46, as resolvers do it
        ("straße@muster.example", "straße@muster.example"),
        ("anna+shop@muster.example", "anna+shop@muster.example"),
        ("o'neil_{x}~=a/b@muster.example", "o'neil_{x}~=a/b@muster.example"),
        ("root@localhost", "root@localhost"),
        ("田中@例え.jp", "田中@xn--r8jz45g.jp"),
    ],
)
def test_the_key_of_an_address(address: str, key: str) -> None:
    assert address_key(address) == key


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "@muster.example",
        "anna@",
        "anna@muster..example",
        "anna@-muster.example",
        "anna@muster.example.",
        "a b@muster.example",
        "a@b@muster.example",
        ".a@muster.example",
        "a..b@muster.example",
        '"a"@muster.example',
        "a@[192.0.2.1]",
        "a\0@muster.example",
        "a\u202eb@muster.example",
        "a\u200bb@muster.example",
        "a@muster\u3000.example",
        "a@" + "ü" * 64 + ".example",
        "a@xn--\u00fc.example",
        "\u212a@muster.example",  # the Kelvin sign, whose lower case is an ASCII k
        "x" * 250 + "@muster.example",
        "a@\ud800.example",
    ],
)
def test_what_is_no_address(address: str) -> None:
    assert address_key(address) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@muster.example", "strasse@muster.example"),
        ("anna@straße.example", "anna@strasse.example"),
        ("anna+x@muster.example", "anna@muster.example"),
        ("an.na@muster.example", "anna@muster.example"),
        ("аnna@muster.example", "anna@muster.example"),  # with a Cyrillic а
        ("ſupport@muster.example", "support@muster.example"),  # with a long s
    ],
)
def test_what_only_looks_alike_is_another_address(one: str, other: str) -> None:
    assert address_key(one) != address_key(other)


@given(st.emails() | st.text(max_size=40))
def test_the_key_of_a_key_is_itself(address: str) -> None:
    key = address_key(address)
    if key is not None:
        assert address_key(key) == key
        assert address_key(address.upper()) in {key, None} or not address.isascii()


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("Muster.EXAMPLE.", "muster.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("a_b.example", None),
        ("", None),
        ("a..b", None),
        ("\u00ad", None),
    ],
)
def test_domains(domain: str, key: str | None) -> None:
    assert domain_key(domain) == key


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("support@x.example", ("support@x.example", None)),
        ("support+K-1000@x.example", ("support@x.example", "K-1000")),
        ("support+a+b@x.example", ("support@x.example", "a+b")),
        ("support+@x.example", ("support@x.example", None)),
        ("+a@x.example", ("+a@x.example", None)),
    ],
)
def test_sub_addresses(address: str, parts: tuple[str, str | None]) -> None:
    assert split_subaddress(address) == parts


@pytest.mark.parametrize(
    ("address", "valid"),
    [
        ("anna@muster.example", True),
        ("postmaster", True),
        ("Postmaster", True),
        ("müller@bücher.example", True),
        ("x" * 80 + "@muster.example", True),  # bounce addresses are longer than RFC 5321 has it
        ("", False),
        ("anna", False),
        ("anna@muster.example>", False),
        ("<anna@muster.example", False),
        ("an\rna@muster.example", False),
        ("an\0na@muster.example", False),
        ("an\x7fna@muster.example", False),
        ("an\u202ena@muster.example", False),
        ('"an na"@muster.example', False),
        ("a%b.example@muster.example", False),
        ("a!b@muster.example", False),
        ("@x.example:a@muster.example", False),
        ("a@b@muster.example", False),
        ("anna@[192.0.2.1]", False),
        ("x" * 250 + "@muster.example", False),
    ],
)
def test_addresses_of_envelopes(address: str, valid: bool) -> None:
    assert is_valid_envelope_address(address) is valid


@pytest.mark.parametrize(
    ("entered", "normalised"),
    [
        (" Anna@MUSTER.example ", "Anna@muster.example"),
        ("mu\u0308ller@bücher.example", "müller@bücher.example"),
    ],
)
def test_an_address_that_somebody_enters(entered: str, normalised: str) -> None:
    assert check_new_address(entered) == normalised


@pytest.mark.parametrize(
    ("entered", "reason"),
    [
        ("", "A mail address has one @, as in name@example.org."),
        ("anna", "A mail address has one @, as in name@example.org."),
        ("a@b@muster.example", "A mail address has one @, as in name@example.org."),
        ("a b@muster.example", "Please enter one mail address, without a name and without blanks."),
        ("Anna <a@muster.example>",
         "Please enter one mail address, without a name and without blanks."),
        ("anna@", "This is not a mail address that can be used here."),
        ("anna@localhost", "This is not a mail address that can be used here."),
        ("anna@muster..example", "This is not a mail address that can be used here."),
        ("a\u202eb@muster.example", "This is not a mail address that can be used here."),
    ],
)  # fmt: skip
def test_a_wrong_address_says_what_is_wrong(entered: str, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_new_address(entered, "more_addresses")
    assert caught.value.field == "more_addresses"
    assert caught.value.message == reason


@pytest.mark.parametrize(
    ("value", "address", "name", "display"),
    [
        ("a@x.example", "a@x.example", "", "a@x.example"),
        ("<a@x.example>", "a@x.example", "", "a@x.example"),
        ("Anna <a@x.example>", "a@x.example", "Anna", "Anna <a@x.example>"),
        ("  Anna  Müller\t<a@x.example> ", "a@x.example", "Anna Müller",
         "Anna Müller <a@x.example>"),
        ("Anna\r\n Müller <a@x.example>", "a@x.example", "Anna Müller",
         "Anna Müller <a@x.example>"),
        ('"Müller, Anna" <a@x.example>', "a@x.example", "Müller, Anna",
         "Müller, Anna <a@x.example>"),
        ('"a \\"b\\" c" <a@x.example>', "a@x.example", 'a "b" c', 'a "b" c <a@x.example>'),
        ("A. B. O'Neil <a@x.example>", "a@x.example", "A. B. O'Neil",
         "A. B. O'Neil <a@x.example>"),
        ("=?utf-8?q?M=C3=BCller?= <a@x.example>", "a@x.example", "Müller",
         "Müller <a@x.example>"),
        ("=?utf-8?b?a?= <a@x.example>", "a@x.example", "=?utf-8?b?a?=",
         "=?utf-8?b?a?= <a@x.example>"),
        ("müller@bücher.example", "müller@bücher.example", "", "müller@bücher.example"),
        # an address in the name is shown as part of the name
        ('"v@k.example" <x@evil.example>', "x@evil.example", "v@k.example",
         '"v@k.example" <x@evil.example>'),
        ("=?utf-8?q?v=40k.example?= <x@evil.example>", "x@evil.example", "v@k.example",
         '"v@k.example" <x@evil.example>'),
        ("=?utf-8?q?V_=3Cv=40k.example=3E?= <x@evil.example>", "x@evil.example",
         "V <v@k.example>", '"V <v@k.example>" <x@evil.example>'),
        ("=?utf-8?q?a=0D=0ABcc=3A_b?= <x@evil.example>", "x@evil.example", "a Bcc: b",
         "a Bcc: b <x@evil.example>"),
    ],
)  # fmt: skip
def test_a_clean_from_field(value: str, address: str, name: str, display: str) -> None:
    assert parse_from([value]) == FromResult(address, name, display, None)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "missing"),
        ([""], "missing"),
        ([" \t"], "missing"),
        (["v@k.example", "x@evil.example"], "multiple fields"),
        (["v@k.example", ""], "multiple fields"),
        (["v@k.example, x@evil.example"], "multiple mailboxes"),
        (["v@k.example,"], "multiple mailboxes"),
        (["Müller, Anna <a@x.example>"], "multiple mailboxes"),
        (["g:v@k.example;, x@evil.example"], "multiple mailboxes"),
        (["g: v@k.example;"], "malformed"),
        (["v@k.example <x@evil.example>"], "malformed"),
        (["<v@k.example> <x@evil.example>"], "malformed"),
        (["v@k.example x@evil.example"], "malformed"),
        (["=?utf-8?q?v=40k.example?=@evil.example"], "malformed"),
        (["=?utf-8?q?v=40k.example=3E?=<x@evil.example>y"], "malformed"),
        (["v @ k.example"], "malformed"),
        (["v@ k.example"], "malformed"),
        (["(v@k.example) <x@evil.example>"], "malformed"),
        (["Anna (Einkauf) <a@x.example>"], "malformed"),
        (["a@x.example (Anna)"], "malformed"),
        (["<@r.example:v@k.example>"], "malformed"),
        (["Anna <a@x.example"], "malformed"),
        (["Anna a@x.example>"], "malformed"),
        (["Anna <a@x.example> x"], "malformed"),
        (['"Anna <a@x.example>'], "malformed"),
        (['"a" "@k.example" <x@evil.example'], "malformed"),
        (["<>"], "malformed"),
        (["a@"], "malformed"),
        (["a@["], "malformed"),
        (["a@[192.0.2.1]"], "malformed"),
        (['"'], "malformed"),
        (['"v"@k.example'], "malformed"),
        (["v@k.example\0.evil.example"], "malformed"),
        (["v@k.example\rX: y <x@evil.example>"], "malformed"),
        (["v@k.example\u202e"], "malformed"),
        (["v\u200b@k.example"], "malformed"),
        (["\u212a@k.example"], "malformed"),
        (["v@" + "ü" * 64 + ".example"], "malformed"),
        (["x" * 250 + "@k.example"], "malformed"),
        (["x" * MAX_FROM_FIELD + " <v@k.example>"], "malformed"),
    ],
)  # fmt: skip
def test_a_from_field_that_names_nobody(values: list[str], problem: str) -> None:
    found = parse_from(values)
    assert (found.address, found.name, found.problem) == (None, "", problem)
    assert is_clean(found.display)


@given(st.lists(st.text(alphabet='ab@.<>",;:() \\=?q-\r\n\0ü\u202e', max_size=40), max_size=2))
def test_whatever_is_in_a_from_field(values: list[str]) -> None:
    found = parse_from(values)
    assert (found.address is None) is (found.problem is not None)
    assert is_clean(found.display)
    assert is_clean(found.name)
    if found.address is not None:
        assert values[0].count(found.address) >= 1
        assert address_key(found.address) is not None


@pytest.mark.parametrize(
    "piece", [",", ".", '""', "a ", '"', '\\"', "<", "@", "a.", "=?", "(", "ü"]
)
def test_the_time_for_a_from_field_grows_with_its_length(piece: str) -> None:
    assert grows_linearly(lambda n: piece * n, lambda text: parse_from([text]), 500)
    assert grows_linearly(lambda n: '"' + piece * n, lambda text: parse_from([text]), 500)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("MAILER-DAEMON@x.example", True),
        ("postmaster@x.example", True),
        ("no_reply@x.example", True),
        ("DoNotReply+7@x.example", True),
        ("bounces@x.example", True),
        ("owner-liste@x.example", True),
        ("liste-request@x.example", True),
        ("norbert@x.example", False),
        ("reply@x.example", False),
        ("request@x.example", False),
        ("anna@noreply.example", False),
    ],
)
def test_addresses_without_a_reader(address: str, expected: bool) -> None:
    assert has_no_reader(address) is expected
