"""From bytes to text: charsets, transfer encodings, encoded words and names of files."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.decode import (
    MAX_FILENAME,
    codec_of,
    decode_body,
    decode_text,
    decode_words,
    decoded_size,
    filename,
)
from core.mail.structure import Part, read_structure
from tests.mail.growth import grows_linearly
from tests.mail.storage import is_clean


def a_part(body: bytes = b"", **fields: bytes) -> tuple[Part, bytes]:
    """Return a part with these fields, such as ``content_type=…``, and the bytes around it."""
    header = b"".join(
        name.replace("_", "-").encode() + b": " + value + b"\r\n" for name, value in fields.items()
    )
    raw = header + b"\r\n" + body
    return read_structure(raw)[0], raw


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("Grüße €".encode(), "utf-8", "Grüße €"),
        ("Grüße €".encode(), "UTF8", "Grüße €"),
        ("Grüße €".encode(), "", "Grüße €"),
        ("Grüße €".encode(), "us-ascii", "Grüße €"),
        ("Grüße €".encode(), "x-unknown", "Grüße €"),
        ("Grüße €".encode("cp1252"), "", "Grüße €"),
        ("Grüße €".encode("cp1252"), "us-ascii", "Grüße €"),
        ("Grüße €".encode("cp1252"), "iso-8859-1", "Grüße €"),
        ("Grüße €".encode("cp1252"), " 'windows-1252' ", "Grüße €"),
        ("Grüße €".encode("iso-8859-15"), "ISO-8859-15", "Grüße €"),
        ("Grüße €".encode("utf-16-le"), "utf-16le", "Grüße €"),
        (b"\xff\xfe" + "Grüße".encode("utf-16-le"), "utf-16", "Grüße"),
        (b"\xef\xbb\xbfGr\xc3\xbc", "utf-8", "Grü"),
        (b"Gr\xfc\xdfe", "utf-8", "Gr\ufffd\ufffde"),
        (b"Gr\xc3\xbc\xc3", "", "Grü"),  # a character cut in two by a limit
        (b"\x81\x8d", "", "\ufffd\ufffd"),
        ("日本語".encode("iso-2022-jp"), "iso-2022-jp", "日本語"),
        ("日本語".encode("euc-jp"), "EUC-JP", "日本語"),
        ("①".encode("cp932"), "shift_jis", "①"),
        ("镕".encode("gbk"), "gb2312", "镕"),
        ("똠".encode("cp949"), "ks_c_5601-1987", "똠"),
        (b"\x1b$B\xff", "iso-2022-jp", "\ufffd"),
        # charsets that execute something stay what they are
        (b"\\x00\\ud800", "unicode_escape", "\\x00\\ud800"),
        (b"\\ud800", "raw_unicode_escape", "\\ud800"),
        (b"+2AA-", "utf-7", "+2AA-"),
        (b"bcher-kva", "punycode", "bcher-kva"),
        (b"xn--bcher-kva", "idna", "xn--bcher-kva"),
        (b"text", "undefined", "text"),
    ],
)  # fmt: skip
def test_text(content: bytes, charset: str, text: str) -> None:
    assert decode_text(content, charset) == text


@pytest.mark.parametrize(
    "charset",
    [
        "zlib",
        "rot13",
        "hex",
        "base64",
        "mbcs",
        "utf-7",
        "idna",
        "punycode",
        "a\0b",
        "../x",
        "é",
        "",
    ],
)
def test_charsets_that_no_mail_gets_to_use(charset: str) -> None:
    assert codec_of(charset) is None


@given(st.binary(max_size=100), st.text(max_size=20) | st.sampled_from(["utf-16", "hz", "utf-8"]))
def test_text_is_always_decoded(content: bytes, charset: str) -> None:
    decode_text(content, charset).encode("utf-8")


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        (b"7bit", b"a=3D\r\n", b"a=3D\r\n"),
        (b"", b"\0\xff", b"\0\xff"),
        (b"x-uuencode", b"begin 644 x", b"begin 644 x"),
        (b"quoted-printable", b"Gr=C3=BC=\r\n=C3=9Fe =XY =", b"Gr\xc3\xbc\xc3\x9fe =XY "),
        (b"Quoted-Printable ; x", b"=41", b"A"),
        (b"base64", b"QUJD\r\nRA==\r\n", b"ABCD"),
        (b"BASE64 (comment)", b"QUJD", b"ABC"),
        (b"base64", b"QU JD\tRA", b"ABCD"),  # cut off: no padding
        (b"base64", b"QUJDRA", b"ABCD"),
        (b"base64", b"QUJDR", b"ABC"),  # one letter is no byte
        (b"base64", b"", b""),
        (b"base64", b"!?", b""),
        (b"base64", b"QQ==\r\nQUJD", b"A"),  # nothing counts behind the padding
    ],
)
def test_transfer_encodings_and_the_size_that_is_told(
    encoding: bytes, body: bytes, content: bytes
) -> None:
    part, raw = a_part(body, content_transfer_encoding=encoding)
    assert decode_body(part, raw) == content
    if b"\t" not in body and b"!" not in body:
        assert decoded_size(part, raw) == len(content)


@given(st.binary(max_size=300), st.integers(1, 80), st.sampled_from([b"\n", b"\r\n"]))
def test_base64_of_any_bytes_has_its_exact_size(content: bytes, width: int, end: bytes) -> None:
    encoded = base64.b64encode(content)
    body = end.join(encoded[n : n + width] for n in range(0, len(encoded), width)) + end
    part, raw = a_part(body, content_transfer_encoding=b"base64")
    assert decode_body(part, raw) == content
    assert decoded_size(part, raw) == len(content)


def test_a_limit_stops_decoding_and_keeps_what_is_whole() -> None:
    part, raw = a_part(base64.b64encode(b"x" * 300), content_transfer_encoding=b"base64")
    assert decode_body(part, raw, limit=10) == b"x" * 7


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Frage", "Frage"),
        ("  a\t b\r\n ", "a b"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?iso-8859-1?Q?Gr=FC=DFe_an_alle?=", "Grüße an alle"),
        ("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),  # RFC 2231 5
        # RFC 2047 6.2
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a_?= =?utf-8?q?b?=", "a b"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
        ("x=?utf-8?q?a?=y", "xay"),
        # a character in two words
        ("=?utf-8?q?J=C3?= =?utf-8?q?=BCrgen?=", "Jürgen"),
        ("=?utf-8?b?SsM=?= =?utf-8?b?vHJnZW4=?=", "Jürgen"),
        ("=?utf-8?b?SsM=?= =?UTF-8?q?=BCrgen?=", "Jürgen"),
        ("=?utf-8?q?J=C3?= =?iso-8859-1?q?=FCrgen?=", "J\ufffdürgen"),
        ("=?iso-2022-jp?b?GyRCRnxLXDhsGyhC?=", "日本語"),
        # beside raw text
        ("Grüße =?utf-8?q?=E2=82=AC?= €5", "Grüße € €5"),
        # wrong, and common
        ("=?utf-8?q?Wie geht's?=", "Wie geht's"),
        ("=?utf-8?q?Wie geht's??=", "Wie geht's?"),
        ("=?utf-8?q?=C3=BC=ZZ=?=", "ü=ZZ"),
        ("=?utf-8?b?R3LDvMOfZ?=", "Grüß"),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?q??=", ""),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?utf-8?q?abc", "=?utf-8?q?abc"),
        ("=?utf-8?q?a =?utf-8?q?b?=", "=?utf-8?q?a b"),
        # nothing is executed, and no header is injected
        ("=?unicode_escape?q?=5Cud800?=", "\\ud800"),
        ("=?x-unknown?q?=FC?=", "ü"),
        ("=?utf-8?q?a=0D=0ABcc:_x=40y=00?=", "a Bcc: x@y"),
        ("=?utf-8?q?=E2=80=AEfdp.exe?=", "fdp.exe"),
    ],
)
def test_encoded_words(header: str, text: str) -> None:
    assert decode_words(header) == text


@given(st.text(alphabet="=?qbQB_ utf-8iso\u00fc\ud800\x00\r\nAZ09+/\u202e", max_size=60))
def test_any_header_becomes_one_clean_line(header: str) -> None:
    line = decode_words(header)
    assert is_clean(line)
    assert line == " ".join(line.split())


@pytest.mark.parametrize(
    "piece", ["=?utf-8?q?", "=?", "?=", "?", "=?x?q?a?= ", "=?utf-8?b?a?=", " ", "=?x?q? "]
)
def test_the_time_for_a_header_grows_with_its_length(piece: str) -> None:
    assert grows_linearly(lambda n: piece * n, decode_words, 2_000)


@pytest.mark.parametrize(
    ("disposition", "content_type", "name"),
    [
        (b"attachment; filename=a.pdf", b"application/pdf; name=b.pdf", "a.pdf"),
        (b"attachment", b"application/pdf; name=b.pdf", "b.pdf"),
        (b"attachment", b"application/pdf", ""),
        (b"attachment; filename*=iso-2022-jp''%1B$BF%7CK%5C8l%1B(B.txt", b"a/b", "日本語.txt"),
        (b'attachment; filename="=?utf-8?q?=C3=9C.pdf?="', b"a/b", "Ü.pdf"),
        (b'attachment; filename="\xdc.pdf"', b"a/b", "Ü.pdf"),
        (b"attachment; filename*=utf-8''=?utf-8?q?a?=", b"a/b", "=?utf-8?q?a?="),
        (b'attachment; filename="../../etc/passwd"', b"a/b", "passwd"),
        (b'attachment; filename="..\\..\\boot.ini"', b"a/b", "boot.ini"),
        (b"attachment; filename*=utf-8''..%2F..%2Fx", b"a/b", "x"),
        (b'attachment; filename=".."', b"a/b", "file"),
        (b'attachment; filename="a/"', b"a/b", "file"),
        (b'attachment; filename=".htaccess"', b"a/b", "htaccess"),
        (b"attachment; filename*=utf-8''a%0D%0AX:%20y%00.txt", b"a/b", "a X: y.txt"),
        (b"attachment; filename*=utf-8''gpj%E2%80%AEexe.x", b"a/b", "gpjexe.x"),
        (b"attachment; filename*=utf-16-le''%00%D8a%00", b"a/b", "\ufffda"),
    ],
)  # fmt: skip
def test_names_of_files(disposition: bytes, content_type: bytes, name: str) -> None:
    part, _raw = a_part(content_type=content_type, content_disposition=disposition)
    assert filename(part) == name


@pytest.mark.parametrize(
    ("name", "shortened"),
    [
        ("x" * 300, "x" * MAX_FILENAME),
        ("x" * 300 + ".pdf", "x" * (MAX_FILENAME - 4) + ".pdf"),
        ("x" * 300 + "." + "y" * 11, "x" * MAX_FILENAME),
        ("x" * MAX_FILENAME, "x" * MAX_FILENAME),
    ],
)
def test_a_long_name_keeps_its_ending(name: str, shortened: str) -> None:
    part, _raw = a_part(content_disposition=b"attachment; filename=" + name.encode())
    assert filename(part) == shortened


@given(st.binary(max_size=120))
def test_any_name_is_a_name_and_no_path(value: bytes) -> None:
    line = value.replace(b"\n", b" ")
    for form in (b"filename=", b"filename*=utf-8''", b"filename*=iso-2022-jp''"):
        part, _raw = a_part(content_disposition=b"attachment; " + form + line)
        name = filename(part)
        assert is_clean(name)
        assert not set(name) & set("/\\\n\t")
        assert name not in {".", ".."}
