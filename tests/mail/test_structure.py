"""Where the parts of a message are, and the caps on what a stranger can send."""

import pytest

from core.mail import structure
from core.mail.structure import TooComplex, read_structure


def bodies(raw: bytes) -> list[bytes]:
    """Return the bytes of the parts that have no parts."""
    return [raw[part.start : part.end] for part in read_structure(raw) if not part.is_multipart]


def multipart(body: bytes, boundary: bytes = b"boundary=b") -> bytes:
    return b"Content-Type: multipart/mixed; " + boundary + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", [(b"a", b"1"), (b"b", b"2")], b"body"),
        (b"A: 1\nB: 2\n\nbody", [(b"a", b"1"), (b"b", b"2")], b"body"),
        (b"A: 1\r\nB: 2\n\r\nbody", [(b"a", b"1"), (b"b", b"2")], b"body"),
        (b"A: 1\n\n\r\n\r\nbody", [(b"a", b"1")], b"\r\n\r\nbody"),  # the first empty line counts
        (b"A: 1\r\n two\r\n\tthree\r\n\r\n", [(b"a", b"1 two\tthree")], b""),
        (b"A : 1\r\n\r\n", [(b"a", b"1")], b""),
        (b"A:\r\n\r\n", [(b"a", b"")], b""),
        (b"A: 1: 2\r\n\r\n", [(b"a", b"1: 2")], b""),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"", [], b""),
        (b"A: 1", [(b"a", b"1")], b""),
        # lines that are no field
        (b"A: 1\r\ngarbage\r\n folded\r\nB: 2\r\n\r\nbody", [(b"a", b"1"), (b"b", b"2")], b"body"),
        (b"A: 1\r\nText\r\nmore", [(b"a", b"1")], b"Text\r\nmore"),
        (b"A: 1\r\n two\r\nText: no", [(b"a", b"1 two"), (b"text", b"no")], b""),
        (b"Hello\r\n\r\nbody", [], b"Hello\r\n\r\nbody"),
        (b" A: 1\r\n\r\nbody", [], b" A: 1\r\n\r\nbody"),
        (b"a b: 1\r\n\r\nbody", [], b"a b: 1\r\n\r\nbody"),
        # an mbox's own line
        (b"From x@y Tue Nov 24\r\nA: 1\r\n\r\nbody", [(b"a", b"1")], b"body"),
        (b">From x@y Tue Nov 24\nA: 1\n\nbody", [(b"a", b"1")], b"body"),
        (b"A: 1\r\nFrom x@y\r\n\r\nbody", [(b"a", b"1")], b"body"),
    ],
)  # fmt: skip
def test_header_and_body(raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    part = read_structure(raw)[0]
    assert list(part.fields) == fields
    assert raw[part.start : part.end] == body


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (b"text/html", b"text/html"),
        (b"TEXT/HTML; charset=x", b"text/html"),
        (b"text/html (a comment)", b"text/html"),
        (b"text/html charset=x", b"text/html"),
        (b"application/vnd.ms-excel.sheet+xml", b"application/vnd.ms-excel.sheet+xml"),
        (b"text", b"text/plain"),
        (b"text/", b"text/plain"),
        (b"/html", b"text/plain"),
        (b"a/b/c", b"text/plain"),
        (b"", b"text/plain"),
        (b";", b"text/plain"),
        (b"\xff/\xff", b"text/plain"),
    ],
)
def test_media_type(value: bytes, media: bytes) -> None:
    assert read_structure(b"Content-Type: " + value + b"\r\n\r\n")[0].content_type == media


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (multipart(b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"), [b"one", b"two"]),
        (multipart(b"--b\n\none\n--b\n\ntwo\n--b--"), [b"one", b"two"]),
        (multipart(b"preamble\r\n--b\r\n\r\none\r\n--b--\r\nepilogue\r\n--b\r\n"), [b"one"]),
        (multipart(b"--b \t\r\n\r\none\r\n--b-- \r\n"), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\ntwo"), [b"one\r\ntwo"]),  # no end
        (multipart(b"--b\r\n\r\none\r\n--bc\r\n--b c\r\n--b-\r\n --b\r\n--b--"),
         [b"one\r\n--bc\r\n--b c\r\n--b-\r\n --b"]),
        (multipart(b"--b\r\n--b\r\n\r\n--b--"), [b"", b""]),
        (multipart(b"--b\r\n\r\n\r\n--b--"), [b""]),
        (multipart(b"--a\\b\r\n\r\none\r\n--a\\b--", b'boundary="a\\b"'), [b"one"]),
        (multipart(b'--a"b\r\n\r\none\r\n--a"b--', b'boundary="a\\"b"'), [b"one"]),
        (multipart(b"--b c\r\n\r\none\r\n--b c--", b'boundary="b c"'), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\n--b--", b"boundary=b charset=x"), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\n--b--", b"x=y; boundary = b ; z"), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\n--b--", b'name="; boundary=no"; boundary=b'), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\n--b--", b"xboundary=no; boundary=b"), [b"one"]),
        (multipart(b"--bc\r\n\r\none\r\n--bc--", b"boundary*0=b; boundary*1=c"), [b"one"]),
        (multipart(b"--b\r\n\r\none\r\n--b--", b"boundary=b; boundary=no"), [b"one"]),
        (multipart(b"--\r\n\r\none\r\n----", b'boundary=""'), []),
        (multipart(b"text", b"charset=x"), []),
    ],
)  # fmt: skip
def test_parts(raw: bytes, found: list[bytes]) -> None:
    assert bodies(raw) == found


def test_parts_know_where_they_are() -> None:
    inner = b"Content-Type: multipart/digest; boundary=i\r\n\r\n--i\r\n\r\nSubject: x\r\n--i--"
    parts = read_structure(multipart(b"--b\r\n" + inner + b"\r\n--b\r\n\r\nlast\r\n--b--"))
    assert [(part.depth, part.parent, part.content_type) for part in parts] == [
        (0, -1, b"multipart/mixed"),
        (1, 0, b"multipart/digest"),
        (2, 1, b"message/rfc822"),
        (1, 0, b"text/plain"),
    ]


def test_an_inner_part_without_its_end_stops_at_the_outer_border() -> None:
    inner = b"Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\none"
    raw = multipart(b"--b\r\n" + inner + b"\r\n--b\r\n\r\ntwo\r\n--b--")
    assert bodies(raw) == [b"one", b"two"]


def nested(depth: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(depth)
    )


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (b"A: " + b"x" * (structure.MAX_HEADER_BLOCK - 7) + b"\r\n\r\n",
         b"A: " + b"x" * (structure.MAX_HEADER_BLOCK - 6) + b"\r\n\r\n"),
        (b"Content-Type: " + b"x" * structure.MAX_STRUCTURED_FIELD,
         b"Content-Type: " + b"x" * (structure.MAX_STRUCTURED_FIELD + 1)),
        (b"From: " + b"x" * structure.MAX_STRUCTURED_FIELD,
         b"From: " + b"x" * (structure.MAX_STRUCTURED_FIELD + 1)),
        (b"A:\r\n" * structure.MAX_FIELDS, b"A:\r\n" * (structure.MAX_FIELDS + 1)),
        (multipart(b"--b\r\n\r\n" * (structure.MAX_PARTS - 1)),
         multipart(b"--b\r\n\r\n" * structure.MAX_PARTS)),
        (nested(structure.MAX_DEPTH), nested(structure.MAX_DEPTH + 1)),
        (multipart(b"--b\r\nA: %s\r\n\r\n" % (b"x" * 32_000) * 2),
         multipart(b"--b\r\nA: %s\r\n\r\n" % (b"x" * 33_000) * 2)),
        (multipart(b"--bx" * structure.MAX_FALSE_DELIMITERS),
         multipart(b"--bx" * (structure.MAX_FALSE_DELIMITERS + 1))),
    ],
    ids=["block", "content-type", "from", "fields", "parts", "depth", "all headers", "borders"],
)  # fmt: skip
def test_both_sides_of_each_cap(within: bytes, beyond: bytes) -> None:
    read_structure(within)
    with pytest.raises(TooComplex):
        read_structure(beyond)


def test_a_long_field_that_is_only_shown_is_cut() -> None:
    part = read_structure(b"To: " + b"x" * 20_000 + b"\r\n\r\nText")[0]
    assert len(part.first(b"to")) == structure.MAX_FIELD
