"""The parts of a message as ranges of its bytes: found, not copied.

One pass over the bytes, no recursion, every count capped before anything is built from it. Python's
own parser is not used for this: it raises on some real mails, takes minutes on some short ones,
and copies every line (threat model, section C).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.i18n import N_
from core.mail.parameters import read_parameter

MAX_HEADER_BLOCK = 64 * 1024
MAX_ALL_HEADERS = 64 * 1024  # of the parts below the first together
MAX_FIELD = 8 * 1024  # longer ones are cut
MAX_STRUCTURED_FIELD = 4 * 1024  # Content-* and From: those that are taken apart
MAX_FIELDS = 200
MAX_PARTS = 250
MAX_DEPTH = 20
MAX_BOUNDARY = 200  # RFC 2046 5.1.1 says 70
MAX_FALSE_DELIMITERS = 10_000  # lines that begin as a delimiter does and are none

_STRUCTURED = (b"content-", b"from")
_FIELD_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")  # RFC 5322 2.2: printable, no colon
_MBOX_LINE = (b"From ", b">From ")
_MEDIA_TYPE = re.compile(rb"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)(?=[\s;(]|$)")
_DELIMITER_END = re.compile(rb"(--)?[ \t\r]*(?:\n|\Z)")

Fields = tuple[tuple[bytes, bytes], ...]


class TooComplex(Exception):
    """A cap was exceeded; the text says which."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its header fields, and where its body lies in the bytes of the message.

    ``fields`` are lower-case names with unfolded values in their order. ``content_type`` is the
    lower-case media type without parameters, ``parent`` the number of the part around this one,
    -1 for the message itself.
    """

    fields: Fields
    start: int
    end: int
    depth: int
    parent: int
    content_type: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, by its lower-case name."""
        return [value for field, value in self.fields if field == name]

    def first(self, name: bytes) -> bytes:
        """Return the first value of a field, empty when there is none."""
        return _first(self.fields, name)

    @property
    def is_multipart(self) -> bool:
        """Whether this part says that it consists of parts."""
        return self.content_type.startswith(b"multipart/")


def read_structure(raw: bytes) -> tuple[Part, ...]:
    """Return the parts of a message in the order of a walk; the first is the message itself.

    Raises ``TooComplex`` when a cap is exceeded. Anything else is read as well as it can be: a
    multipart without its boundary has no parts, a missing closing delimiter ends with its parent.
    """
    parts: list[Part] = []
    header_bytes = 0
    todo = [(0, len(raw), 0, -1)]
    while todo:
        start, end, depth, parent = todo.pop()
        fields, body = _read_header(raw, start, end)
        if parts:
            header_bytes += body - start
            if header_bytes > MAX_ALL_HEADERS:
                raise TooComplex(N_("The header fields of the parts are too long."))
        in_digest = parent >= 0 and parts[parent].content_type == b"multipart/digest"
        part = Part(fields, body, end, depth, parent, _media_type(fields, in_digest))
        parts.append(part)
        if len(parts) > MAX_PARTS:
            raise TooComplex(N_("There are too many parts."))
        if part.is_multipart:
            if depth >= MAX_DEPTH:
                raise TooComplex(N_("The parts are nested too deeply."))
            number = len(parts) - 1
            children = list(_children(raw, part, MAX_PARTS - number + 1))
            todo.extend((first, last, depth + 1, number) for first, last in reversed(children))
    return tuple(parts)


def _media_type(fields: Fields, in_digest: bool) -> bytes:
    """Return the media type that the fields name; RFC 2045 5.2 and 2046 5.1.5 for the default."""
    found = _MEDIA_TYPE.match(_first(fields, b"content-type"))
    if found is not None:
        return found[1].lower()
    return b"message/rfc822" if in_digest else b"text/plain"


def _first(fields: Fields, name: bytes) -> bytes:
    for field, value in fields:
        if field == name:
            return value
    return b""


def _read_header(raw: bytes, start: int, end: int) -> tuple[Fields, int]:
    """Return the fields of a header block and where the body begins.

    A line that is no field is passed over, as long as an empty line shows where the header ends.
    Without one, and when the very first line is no field, that line begins the body: nothing
    that somebody wrote stays out of sight because the header is missing.
    """
    body, is_ended = _end_of_header(raw, start, end)
    if body - start > MAX_HEADER_BLOCK:
        raise TooComplex(N_("The header block is too long."))
    fields: list[tuple[bytes, bytes]] = []
    at = start
    for lines in _unfolded(raw[start:body].split(b"\n")):
        found = _FIELD_NAME.match(lines[0])
        if found is not None:
            fields.append(_field(found, lines))
            if len(fields) > MAX_FIELDS:
                raise TooComplex(N_("There are too many header fields."))
        elif _begins_body(lines[0], is_first=at == start, in_header=bool(fields) and is_ended):
            return tuple(fields), at
        at += sum(map(len, lines)) + len(lines)
    return tuple(fields), body


def _begins_body(line: bytes, *, is_first: bool, in_header: bool) -> bool:
    """Whether a line that is no field is text; an mbox puts a line of its own on top."""
    is_separator = is_first and line.startswith(_MBOX_LINE)
    return not in_header and not is_separator and bool(line.strip())


def _unfolded(lines: list[bytes]) -> list[list[bytes]]:
    """Return each line together with those that continue it (RFC 5322 2.2.3)."""
    together: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and together:
            together[-1].append(line)
        else:
            together.append([line])
    return together


def _end_of_header(raw: bytes, start: int, end: int) -> tuple[int, bool]:
    """Return where the body begins, and whether an empty line says so."""
    if raw.startswith((b"\r\n", b"\n"), start, end):
        return raw.index(b"\n", start) + 1, True
    limit = min(end, start + MAX_HEADER_BLOCK + 4)
    found = raw.find(b"\n\r\n", start, limit)
    other = raw.find(b"\n\n", start, limit if found < 0 else found + 1)
    if other >= 0:
        return other + 2, True
    if found >= 0:
        return found + 3, True
    return (end if end - start <= MAX_HEADER_BLOCK else limit), False


def _field(found: re.Match[bytes], lines: list[bytes]) -> tuple[bytes, bytes]:
    name = found[1].lower()
    value = lines[0][found.end() :]
    if len(lines) > 1:
        value = b"".join(line.rstrip(b"\r") for line in (value, *lines[1:]))
    value = value.strip()
    if len(value) > MAX_STRUCTURED_FIELD and name.startswith(_STRUCTURED):
        raise TooComplex(N_("A header field is too long."))
    return name, value[:MAX_FIELD]


def _children(raw: bytes, part: Part, most: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a multipart's children (RFC 2046 5.1.1), at most ``most``."""
    boundary = read_parameter(part.first(b"content-type"), b"boundary", token=True)
    if boundary is None or not 0 < len(boundary.octets.rstrip()) <= MAX_BOUNDARY:
        return
    child = -1
    delimiter = b"--" + boundary.octets.rstrip()
    for at, after, is_last in _delimiters(raw, delimiter, part.start, part.end):
        if child >= 0:
            yield child, _before_line_end(raw, child, at)
            most -= 1
        if is_last or most <= 0:
            return
        child = after
    if child >= 0:
        yield child, part.end


def _delimiters(
    raw: bytes, delimiter: bytes, start: int, end: int
) -> Iterator[tuple[int, int, bool]]:
    """Yield where delimiters begin and end, and whether each is the closing one.

    A delimiter is a line of its own: nothing but white space may follow it.
    """
    false = 0
    at = raw.find(delimiter, start, end)
    while at >= 0:
        after = at + len(delimiter)
        begins_line = at == start or raw[at - 1] == 0x0A
        found = _DELIMITER_END.match(raw, after, end) if begins_line else None
        if found is not None:
            yield at, found.end(), found[1] is not None
            after = found.end()
        else:
            false += 1
            if false > MAX_FALSE_DELIMITERS:
                raise TooComplex(N_("Too many lines look like the border of a part."))
        at = raw.find(delimiter, after, end)


def _before_line_end(raw: bytes, start: int, at: int) -> int:
    """The line end before a delimiter belongs to the delimiter."""
    if at - 2 >= start and raw[at - 2 : at] == b"\r\n":
        return at - 2
    return max(start, at - 1)
