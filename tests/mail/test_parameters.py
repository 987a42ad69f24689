"""Parameters of structured fields: RFC 2045, RFC 2231, and what mailers make of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.parameters import Parameter, read_parameter
from tests.mail.growth import grows_linearly


@pytest.mark.parametrize(
    ("field", "octets"),
    [
        (b"text/plain; name=a", b"a"),
        (b"text/plain;name=a;x=y", b"a"),
        (b"text/plain; NAME = a ", b"a"),
        (b"text/plain;\r\n\tname=a", b"a"),
        (b"text/plain name=a", b"a"),  # the semicolon is missing
        (b"text/plain; name=a b.txt", b"a b.txt"),
        (b'text/plain; name="a;b=c"', b"a;b=c"),
        (b'text/plain; name="a\\"b\\\\c"', b'a"b\\c'),
        (b'text/plain; name="C:\\dir\\a.txt"', b"C:\\dir\\a.txt"),
        (b'text/plain; name="a', b"a"),  # the quotation mark is missing
        (b'text/plain; name=""', b""),
        (b"text/plain; name=", b""),
        (b"text/plain; name=a; name=b", b"a"),
        (b'text/plain; x="; name=no"; name=a', b"a"),
        (b"text/plain; filename=no; name=a", b"a"),
        (b"text/plain; name*0=a; name*1=b", b"ab"),
        (b"text/plain; name*1=b; name*0=a", b"ab"),
        (b"text/plain; name*0=a; name*2=c", b"a"),  # what follows a gap is not used
        (b"text/plain; name*0=a; name=plain", b"a"),
    ],
)
def test_a_plain_parameter(field: bytes, octets: bytes) -> None:
    assert read_parameter(field, b"name") == Parameter(octets, None)


@pytest.mark.parametrize(
    ("field", "octets", "charset"),
    [
        (b"x; name*=utf-8''%C3%BC", b"\xc3\xbc", "utf-8"),
        (b"x; name*=utf-8'de'%C3%BC'", b"\xc3\xbc'", "utf-8"),
        (b"x; name*=''a", b"a", ""),
        (b"x; name*=%41", b"A", ""),
        (b"x; name*=utf-8''100%", b"100%", "utf-8"),
        (b"x; name=plain; name*=utf-8''ext", b"ext", "utf-8"),
        (b"x; name*0*=utf-8''%C3; name*1*=%BC; name*2=%41", b"\xc3\xbc%41", "utf-8"),
        (b"x; name*=iso-2022-jp''%1B$BF|K\\%1B(B", b"\x1b$BF|K\\\x1b(B", "iso-2022-jp"),
        (b"x; name*=\xff''a", b"a", "\ufffd"),
    ],
)
def test_an_extended_parameter(field: bytes, octets: bytes, charset: str) -> None:
    assert read_parameter(field, b"name") == Parameter(octets, charset)


@pytest.mark.parametrize("field", [b"", b"text/plain", b"text/plain; xname=a", b"; name", b"name"])
def test_no_parameter(field: bytes) -> None:
    assert read_parameter(field, b"name") is None


def test_a_token_ends_at_a_blank_unless_it_is_quoted() -> None:
    assert read_parameter(b"x; name=a b", b"name", token=True) == Parameter(b"a", None)
    assert read_parameter(b'x; name="a b"', b"name", token=True) == Parameter(b"a b", None)


@pytest.mark.parametrize("piece", [";", " ", '"', "a=", ';a="', "\\", ";name*0=", "; a", "'%"])
def test_time_grows_with_the_field_and_not_with_its_square(piece: str) -> None:
    assert grows_linearly(
        lambda n: piece * n, lambda text: read_parameter(text.encode(), b"name"), 8_000
    )


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(field: bytes) -> None:
    read_parameter(field, b"name")
    read_parameter(b"x; name*0*=" + field, b"name")
