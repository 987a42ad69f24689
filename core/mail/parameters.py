"""Parameters of a structured field, as in ``text/plain; charset=utf-8``: RFC 2045 and RFC 2231.

Python's own reader is not used: its time grows with the square of the field (gh-136063), and it
raises on file names that Japanese mailers write.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

# A name needs something before it, so a run of any character is looked at once. A value without
# quotation marks may contain blanks: many mailers write ``filename=my file.pdf``.
_PARAMETER = re.compile(
    rb'[;\s]([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^;]*))', re.DOTALL
)
_ESCAPED = re.compile(rb'\\(["\\])')  # no other: a backslash in ``C:\\scan.pdf`` is itself
_SECTION = re.compile(rb"(\d{1,3})(\*?)")


class Parameter(NamedTuple):
    """A parameter's octets, and the charset that RFC 2231 gives them.

    ``charset`` is None for a parameter without RFC 2231, where encoded words may occur, and ""
    where RFC 2231 leaves it open.
    """

    octets: bytes
    charset: str | None


def read_parameter(field: bytes, name: bytes, *, token: bool = False) -> Parameter | None:
    """Return a parameter of a field by its lower-case name, None when there is none.

    An RFC 2231 form wins over a plain one beside it; of equals the first counts. ``token`` says
    that the value has no blanks, unless it is quoted.
    """
    plain: bytes | None = None
    extended: bytes | None = None
    sections: dict[int, tuple[bytes, bool]] = {}
    for found in _PARAMETER.finditer(field):
        key, star, section = found[1].lower().partition(b"*")
        if key != name:
            continue
        value = _value(found, token=token)
        if not star:
            plain = value if plain is None else plain
        elif not section:
            extended = value if extended is None else extended
        elif numbered := _SECTION.fullmatch(section):
            sections.setdefault(int(numbered[1]), (value, bool(numbered[2])))
    if extended is not None:
        return _joined([(extended, True)])
    if 0 in sections:
        return _joined([sections[n] for n in _without_gap(sections)])
    return Parameter(plain, None) if plain is not None else None


def _value(found: re.Match[bytes], *, token: bool) -> bytes:
    if found[2] is not None:
        return _ESCAPED.sub(rb"\1", found[2])
    bare = found[3].strip().strip(b'"')
    return bare.split()[0] if token and bare.split() else bare


def _without_gap(sections: dict[int, tuple[bytes, bool]]) -> range:
    """Return the numbers from 0 on as far as none is missing."""
    return range(next(n for n in range(len(sections) + 1) if n not in sections))


def _joined(sections: list[tuple[bytes, bool]]) -> Parameter:
    """Put sections together; the first may begin with ``charset'language'`` (RFC 2231 4)."""
    first, is_encoded = sections[0]
    charset: str | None = None
    if is_encoded:
        named = first.split(b"'", 2)
        charset = named[0].decode("ascii", "replace") if len(named) == 3 else ""
        first = named[-1] if len(named) == 3 else first
    octets = b"".join(
        unquote_to_bytes(value) if encoded else value
        for value, encoded in [(first, is_encoded), *sections[1:]]
    )
    return Parameter(octets, charset)
