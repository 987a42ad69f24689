"""On which line of a TOML file a key stands: the standard parser does not tell.

The file has been parsed before, so this only walks over text that is known to be valid TOML
(version 1.0).
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

Place = tuple[str | int, ...]  # as ("queues", 0, "addresses"): a key below the first [[queues]]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_KEY = re.compile(rf"(?:{_KEY_PART.pattern})(?:[ \t]*\.[ \t]*(?:{_KEY_PART.pattern}))*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|'
    + r"'''.*?'{3,5}(?!')|"
    + r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_PLAIN = re.compile(r"""[^\[\]{}"'#\n]+""")
_COMMENT = re.compile(r"#[^\n]*")
_OPENING = re.compile(r"\[+[ \t]*")


def find_lines(text: str) -> Mapping[Place, int]:
    """Return the line of every key and table of a valid TOML document, the first being 1.

    Keys inside inline tables and arrays are not found: ask for what is around them.
    """
    return _Walk(text).lines


def line_of(lines: Mapping[Place, int], place: Place) -> int | None:
    """Return the line of a place, or of what is around it; None when nothing of it is known."""
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None


class _Walk:
    """Goes through a document statement by statement."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._table: Place = ()
        self._counts: dict[Place, int] = {}  # of the tables in an array of tables
        position = self._after(_BLANK, 0)
        while position < len(text):
            position = self._statement(position)
            position = self._after(_BLANK, position)

    def _statement(self, start: int) -> int:
        """Note a header or a key, and return where it ends."""
        if self._text.startswith("[", start):
            return self._header(start)
        end = self._after(_KEY, start)
        self._note((*self._table, *_parts(self._text[start:end])), start, len(self._table))
        return self._value(self._text.index("=", end) + 1)

    def _header(self, start: int) -> int:
        is_array = self._text.startswith("[[", start)
        key_start = self._after(_OPENING, start)
        key_end = self._after(_KEY, key_start)
        place = self._resolved(_parts(self._text[key_start:key_end]))
        if is_array:
            self._counts[place] = self._counts.get(place, -1) + 1
            place = (*place, self._counts[place])
        self._table = place
        self._note(place, start, 0)
        return self._text.index("]" * (2 if is_array else 1), key_end) + (2 if is_array else 1)

    def _resolved(self, parts: tuple[str, ...]) -> Place:
        """Return a header's place: a name before the last means the newest table of its array."""
        place: Place = ()
        for part in parts[:-1]:
            place = (*place, part)
            if place in self._counts:
                place = (*place, self._counts[place])
        return (*place, parts[-1])

    def _note(self, place: Place, start: int, known: int) -> None:
        """Remember the line of a place, and of what a dotted key opens on its way."""
        line = self._line(start)
        for length in range(known + 1, len(place) + 1):
            self.lines.setdefault(place[:length], line)

    def _value(self, position: int) -> int:
        """Return where a value ends: at the end of a line outside brackets and strings."""
        depth = 0
        while position < len(self._text):
            char = self._text[position]
            if char in "\"'":
                position = max(self._after(_STRING, position), position + 1)
            elif char == "#":
                position = self._after(_COMMENT, position)
            elif char == "\n" and depth == 0:
                return position
            else:
                depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(char, 0)
                position = max(self._after(_PLAIN, position), position + 1)
        return position

    def _after(self, pattern: re.Pattern[str], position: int) -> int:
        found = pattern.match(self._text, position)
        return found.end() if found else position

    def _line(self, position: int) -> int:
        return bisect_right(self._line_starts, position)


def _parts(key: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, quoted ones as what they mean."""
    return tuple(
        part if part[0] not in "\"'" else tomllib.loads(f"x = {part}")["x"]
        for part in _KEY_PART.findall(key)
    )
