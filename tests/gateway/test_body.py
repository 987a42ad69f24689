"""The end of DATA, stuffed dots, bare line ends and lengths, whatever pieces the bytes come in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.intake.incoming import Reply
from gateway.body import Body
from gateway.limits import Limits
from gateway.replies import BARE_LINE_END, LINE_TOO_LONG, TOO_BIG

MAX = 1_000
LIMITS = Limits(line_bytes=100, overrun_bytes=50)

# name, bytes after 354, the message or the problem, what follows
BODIES: list[tuple[str, bytes, bytes | Reply, bytes]] = [
    ("empty", b".\r\n", b"", b""),
    ("one line", b"a\r\n.\r\n", b"a\r\n", b""),
    ("an empty line", b"\r\n.\r\n", b"\r\n", b""),
    ("followed by a command", b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
    ("followed by another end", b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
    ("stuffed first line", b"..a\r\n.\r\n", b".a\r\n", b""),
    ("stuffed lines", b"a\r\n..\r\n...b\r\n.\r\n", b"a\r\n.\r\n..b\r\n", b""),
    ("a dot that was not doubled", b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n", b""),
    ("a dot inside a line", b"a.\r\n.\r\n", b"a.\r\n", b""),
    ("NUL before the end", b"\0\r\n.\r\n", b"\0\r\n", b""),
    ("8-bit and broken UTF-8", b"\xff\xc3\xa4\r\n.\r\n", b"\xff\xc3\xa4\r\n", b""),
    ("the longest line", b"a" * 100 + b"\r\n.\r\n", b"a" * 100 + b"\r\n", b""),
    ("a line too long", b"a" * 101 + b"\r\n.\r\n", LINE_TOO_LONG, b""),
    ("a later line too long", b"x\r\n" + b"a" * 101 + b"\r\n.\r\n", LINE_TOO_LONG, b""),
    ("the biggest", b"a" * 98 + b"\r\n" + (b"b" * 98 + b"\r\n") * 9 + b".\r\n",
     b"a" * 98 + b"\r\n" + (b"b" * 98 + b"\r\n") * 9, b""),
    ("stuffed dots do not count", b"..\r\n" * 333 + b".\r\n", b".\r\n" * 333, b""),
    ("too big by one", b"a\r\n" * 333 + b"\r\n.\r\n", TOO_BIG, b""),
    ("bare LF", b"a\nb\r\n.\r\n", BARE_LINE_END, b""),
    ("bare CR", b"a\rb\r\n.\r\n", BARE_LINE_END, b""),
    ("CR CR LF", b"a\r\r\n.\r\n", BARE_LINE_END, b""),
    ("LF before CR LF", b"a\n\r\n.\r\n", BARE_LINE_END, b""),
    ("bare LF on the first line", b"\nb\r\n.\r\n", BARE_LINE_END, b""),
    ("what smuggles: LF . LF", b"a\n.\nMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
    ("what smuggles: LF . CR LF", b"a\n.\r\nMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
    ("what smuggles: CR LF . LF", b"a\r\n.\nMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
    ("what smuggles: CR LF . CR", b"a\r\n.\rMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
    ("what smuggles: CR . CR", b"a\r.\rMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
    ("what smuggles: CR CR LF . CR CR LF", b"a\r\r\n.\r\r\nMAIL\r\n.\r\nX", BARE_LINE_END, b"X"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("received", "expected", "rest"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_bodies(received: bytes, expected: bytes | Reply, rest: bytes) -> None:
    for size in (1, 2, 3, 7, 100):
        assert taken_apart(received, range(0, len(received), size)) == (expected, rest)


@given(data=st.data(), row=st.sampled_from(BODIES))
def test_pieces_make_no_difference(
    data: st.DataObject, row: tuple[str, bytes, bytes | Reply, bytes]
) -> None:
    _name, received, expected, rest = row
    cuts = data.draw(st.sets(st.integers(0, len(received))))
    assert taken_apart(received, sorted(cuts)) == (expected, rest)


@given(st.binary(max_size=60), st.sets(st.integers(0, 60)))
def test_what_is_kept_is_what_a_plain_reading_finds(noise: bytes, cuts: set[int]) -> None:
    """Any bytes at all, dots and line ends among them more often than chance would have it."""
    alphabet = b"\r\n.\r\n.a\0"
    received = bytes(alphabet[byte % len(alphabet)] for byte in noise) + b"\r\n.\r\n"
    content, _end, rest = (b"\r\n" + received).partition(b"\r\n.\r\n")
    lines = (content + b"\r\n").split(b"\r\n")[1:-1]
    expected: bytes | Reply = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)
    if any(b"\r" in line or b"\n" in line for line in lines):
        expected = BARE_LINE_END
    assert taken_apart(received, sorted(cuts)) == (expected, rest)


NORMALISED = [
    (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
    (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
    (b"a\n\r\n.\r\n", b"a\r\n\r\n"),
    (b"a\rb\r\n.\r\n", b"a\rb\r\n"),
]


@pytest.mark.parametrize(("received", "expected"), NORMALISED)
def test_a_relay_may_send_bare_lf(received: bytes, expected: bytes) -> None:
    for size in (1, 2, 100):
        cuts = range(0, len(received), size)
        assert taken_apart(received, cuts, normalise=True) == (expected, b"")


def test_an_unterminated_line_is_cut_off() -> None:
    body = Body(MAX, LIMITS)
    kept = 0
    while not body.overrun:
        body.feed(b"A" * 10)
        kept = max(kept, len(body.content))
    assert body.problem is LINE_TOO_LONG
    assert body.received == MAX + LIMITS.overrun_bytes + 10
    assert kept <= LIMITS.line_bytes


def test_a_message_within_its_size_is_never_cut_off() -> None:
    body = Body(MAX, LIMITS)
    body.feed(b"..\r\n" * 20)
    for _ in range(15):
        body.feed(b"..\r\n" * 20)
    assert body.received > MAX + LIMITS.overrun_bytes
    assert not body.overrun


def taken_apart(
    received: bytes, cuts: range | list[int], *, normalise: bool = False
) -> tuple[bytes | Reply, bytes]:
    """Feed a body in pieces; return the message or its problem, and all that follows it.

    No piece is longer than a line may be: that much is read at once.
    """
    body = Body(MAX, LIMITS, normalise=normalise)
    rest = b""
    for start, end in pairwise(sorted({*range(0, len(received), 100), *cuts, len(received)})):
        if body.complete:
            rest += received[start:end]
        else:
            body.feed(received[start:end])
    assert body.complete
    return body.problem or bytes(body.content), body.rest + rest
