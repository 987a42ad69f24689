"""The parts of a message as ranges of its bytes: found, not copied.

One pass over the bytes, no recursion, every count capped before anything is built from it. Python's
own parser is not used for this: it raises on some real mails, takes minutes on some short ones,
and copies every line (threat model, section C).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_HEADER_BLOCK = 64 * 1024
MAX_ALL_HEADERS = 64 * 1024  # of the parts below the first together
MAX_FIELD = 8 * 1024
MAX_STRUCTURED_FIELD = 4 * 1024  # Content-*, From, To: those that are taken apart
MAX_FIELDS = 200
MAX_PARTS = 250
MAX_DEPTH = 20

_STRUCTURED = (b"content-", b"from", b"to", b"cc", b"sender", b"reply-to")
_FIELD_NAME = re.compile(rb"[!-9;-~]+")  # RFC 5322 2.2: printable, no colon
_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)


class TooComplex(Exception):
    """A cap was exceeded; the text says which."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its header fields, and where its body lies in the bytes of the message.

    ``fields`` are lower-case names with unfolded values in their order.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    start: int
    end: int
    depth: int
    parent_type: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, by its lower-case name."""
        return [value for field, value in self.fields if field == name]

    def first(self, name: bytes) -> bytes:
        """Return the first value of a field, empty when there is none."""
        return next((value for field, value in self.fields if field == name), b"")

    @property
    def content_type(self) -> bytes:
        """Return the lower-case media type without parameters (RFC 2045 5.2 for the default)."""
        media = self.first(b"content-type").partition(b";")[0].strip().lower()
        if media.count(b"/") != 1 or media.startswith(b"/") or media.endswith(b"/"):
            return b"message/rfc822" if self.parent_type == b"multipart/digest" else b"text/plain"
        return media


def read_structure(raw: bytes) -> tuple[Part, ...]:
    """Return the parts of a message in the order of a walk; the first is the message itself.

    Raises ``TooComplex`` when a cap is exceeded. Anything else is read as well as it can be: a
    multipart without its boundary is a leaf, a missing closing delimiter ends with its parent.
    """
    parts: list[Part] = []
    header_bytes = 0
    todo = [(0, len(raw), 0, b"")]
    while todo:
        start, end, depth, parent_type = todo.pop()
        fields, body = _read_header(raw, start, end)
        if parts:
            header_bytes += body - start
            if header_bytes > MAX_ALL_HEADERS:
                raise TooComplex("the header fields of the parts are too long")
        part = Part(fields, min(body, end), end, depth, parent_type)
        parts.append(part)
        if len(parts) > MAX_PARTS:
            raise TooComplex("too many parts")
        if part.content_type.startswith(b"multipart/"):
            if depth >= MAX_DEPTH:
                raise TooComplex("parts are nested too deeply")
            children = list(_children(raw, part, MAX_PARTS - len(parts) + 1))
            todo.extend(
                (first, last, depth + 1, part.content_type) for first, last in reversed(children)
            )
    return tuple(parts)


def _read_header(raw: bytes, start: int, end: int) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
    """Return the fields of a header block and where the body begins."""
    body = _end_of_header(raw, start, end)
    if body - start > MAX_HEADER_BLOCK:
        raise TooComplex("the header block is too long")
    fields: list[list[bytes]] = []
    for line in raw[start:body].split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if fields:
                fields[-1].append(line)
        elif b":" in line:
            fields.append([line])
        if len(fields) > MAX_FIELDS:
            raise TooComplex("too many header fields")
    return tuple(_field(lines) for lines in fields if _is_field(lines[0])), body


def _end_of_header(raw: bytes, start: int, end: int) -> int:
    """Return where the body begins: behind the first empty line, or at the end."""
    if raw.startswith(b"\r\n", start):
        return start + 2
    if raw.startswith(b"\n", start):
        return start + 1
    limit = min(end, start + MAX_HEADER_BLOCK + 4)
    ends = [
        found + len(empty)
        for empty in (b"\r\n\r\n", b"\n\n")
        if (found := raw.find(empty, start, limit)) >= 0
    ]
    if ends:
        return min(ends)
    return end if end - start <= MAX_HEADER_BLOCK else limit


def _is_field(line: bytes) -> bool:
    return _FIELD_NAME.fullmatch(line.partition(b":")[0].rstrip()) is not None


def _field(lines: list[bytes]) -> tuple[bytes, bytes]:
    name, _colon, rest = lines[0].partition(b":")
    name = name.rstrip().lower()
    value = rest if len(lines) == 1 else b"".join(line.rstrip(b"\r") for line in (rest, *lines[1:]))
    limit = MAX_STRUCTURED_FIELD if name.startswith(_STRUCTURED) else MAX_FIELD
    if len(value) > limit:
        raise TooComplex(f"the field {name.decode('ascii')[:40]} is too long")
    return name, value.strip()


def _children(raw: bytes, part: Part, most: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a multipart's children (RFC 2046 5.1.1), at most ``most``."""
    found = _BOUNDARY.search(part.first(b"content-type"))
    boundary = (found[1] or found[2] or b"").rstrip() if found else b""
    if not boundary or len(boundary) > 200:
        return
    delimiter = b"--" + boundary
    child = -1
    for at in _delimiters(raw, delimiter, part.start, part.end):
        if child >= 0:
            yield child, _before_line_end(raw, child, at)
            most -= 1
        after = at + len(delimiter)
        if raw.startswith(b"--", after) or most <= 0:
            return
        line_end = raw.find(b"\n", after, part.end)
        child = part.end if line_end < 0 else line_end + 1
    if child >= 0:
        yield child, part.end


def _delimiters(raw: bytes, delimiter: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where a line begins with the delimiter and nothing but white space follows it."""
    at = raw.find(delimiter, start, end)
    while at >= 0:
        after = raw[at + len(delimiter) : at + len(delimiter) + 3].lstrip(b"-")
        if (at == start or raw[at - 1 : at] == b"\n") and after[:1] in (
            b"",
            b"\r",
            b"\n",
            b" ",
            b"\t",
        ):
            yield at
        at = raw.find(delimiter, at + 1, end)


def _before_line_end(raw: bytes, start: int, at: int) -> int:
    """The line end before a delimiter belongs to the delimiter."""
    if at - 2 >= start and raw[at - 2 : at] == b"\r\n":
        return at - 2
    return max(start, at - 1)
