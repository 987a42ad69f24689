"""The bytes of a CSV file as rows: encoding and separator are found out, nothing is guessed away.

Excel writes cp1252 or UTF-8 with a byte order mark, separated by what the computer's language
says, and understands a first line ``sep=;``. A file that cannot be read for certain is refused.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import SchalterError
from core.i18n import gettext as _

MAX_BYTES = 50_000_000
MAX_ROWS = 100_000
MAX_COLUMNS = 100
MAX_CELL = 100_000  # characters; the longest text of an account has 10,000
SEPARATORS = ";,\t"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SEPARATOR_LINE = re.compile(r"sep=(.)(\r\n|\r|\n|$)", re.IGNORECASE)


class FileRefused(SchalterError):
    """A file that cannot be read as a table; the text names the line where there is one."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the file: ``number`` is the line on which it begins, counted from 1."""

    number: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file as it was understood. Rows may have fewer cells than the header, never more."""

    encoding: str
    separator: str
    header: Sequence[str]
    lines: Sequence[Line]


def read_sheet(content: bytes, *, max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS) -> Sheet:
    """Return the rows of a file, without empty ones. Raises ``FileRefused``."""
    if len(content) > max_bytes:
        raise FileRefused(_("The file is larger than %(limit)d bytes.", limit=max_bytes))
    encoding, text = _decoded(content)
    nul = text.find("\0")
    if nul >= 0:
        raise FileRefused(_at(_line_of(text, nul), _("a NUL character; this is no text file.")))
    separator, start = _separator(text)
    rows = _rows(text[start:], separator, 1 if start else 0)
    header = next(rows, None)
    if header is None:
        raise FileRefused(_("The file is empty."))
    names = tuple(" ".join(cell.split()) for cell in header.cells)
    if len(names) > MAX_COLUMNS:
        raise FileRefused(_at(header.number, _("more than %(limit)d columns.", limit=MAX_COLUMNS)))
    lines: list[Line] = []
    for line in rows:
        if len(lines) == max_rows:
            raise FileRefused(_("The file has more than %(limit)d rows.", limit=max_rows))
        lines.append(_fitting(line, len(names)))
    return Sheet(encoding, separator, names, lines)


def _decoded(content: bytes) -> tuple[str, str]:
    """Return encoding and text: a mark decides, else what is not UTF-8 is Windows' cp1252."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], encoding)
    try:
        return "utf-8", content.decode("utf-8")
    except UnicodeDecodeError:
        return _strictly(content, "cp1252")


def _strictly(content: bytes, encoding: str) -> tuple[str, str]:
    try:
        return encoding, content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if encoding == "cp1252":
            problem = _("a character that is neither UTF-8 nor Windows-1252.")
        else:
            problem = _("a character that is not %(encoding)s.", encoding=encoding.upper())
        raise FileRefused(_at(line, problem)) from None


def _separator(text: str) -> tuple[str, int]:
    """Return the separator, and where the table begins: after Excel's line that names it."""
    named = _SEPARATOR_LINE.match(text)
    if named:
        return named[1], named.end()

    def columns(separator: str) -> int:
        try:
            return len(next(_reader(text, separator)))
        except (csv.Error, StopIteration):
            return 0

    return max(SEPARATORS, key=columns), 0


def _rows(text: str, separator: str, lines_before: int) -> Iterator[Line]:
    """Give the rows in which something stands."""
    reader = _reader(text, separator)
    while True:
        number = reader.line_num + lines_before + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileRefused(_at(number, _problem(str(error)))) from None
        if any(cell.strip() for cell in cells):
            yield Line(number, cells)


class _Reader(Protocol):
    """What the csv module gives; its type has no public name."""

    line_num: int

    def __next__(self) -> list[str]: ...


def _reader(text: str, separator: str) -> _Reader:
    csv.field_size_limit(MAX_CELL)
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _problem(error: str) -> str:
    if "field larger" in error:
        return _("a cell with more than %(limit)d characters.", limit=MAX_CELL)
    if "end of data" in error:
        return _("a quote that is opened here is never closed.")
    return _("a quote in the middle of a cell; quotes inside quotes are doubled.")


def _fitting(line: Line, width: int) -> Line:
    if any(cell.strip() for cell in line.cells[width:]):
        problem = _(
            "%(cells)d cells, but the header has %(columns)d.",
            cells=len(line.cells),
            columns=width,
        )
        raise FileRefused(_at(line.number, problem))
    return Line(line.number, line.cells[:width])


def _at(line: int, problem: str) -> str:
    return _("Line %(line)d: %(problem)s", line=line, problem=problem)


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
