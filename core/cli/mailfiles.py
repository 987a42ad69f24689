"""Messages from files: one per file, or many from an mbox (RFC 4155 and what came before it)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STDIN = "-"
CHUNK = 64 * 1024  # bytes of a line that are read at once, however long it is

# The line before each message. It has a date, so a sentence that begins with "From " is none.
_SEPARATOR = re.compile(
    rb"From [^\r\n]* (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
    rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]?\d "
    rb"\d\d:\d\d(?::\d\d)?[^\r\n]* \d{4}[^\r\n]*\r?\n"
)
_QUOTED = re.compile(rb">+From ")  # mboxrd: each writer puts one more ">" before such a line


class Unusable(Exception):
    """A file that cannot be read as mail; the text says which and why."""


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message and where it was: ``number`` counts from 1 in an mbox, 0 means all of the file.

    ``raw`` is None for a message that is larger than the limit.
    """

    source: str
    number: int
    raw: bytes | None

    @property
    def name(self) -> str:
        """The message as people call it."""
        return f"{self.source}, message {self.number}" if self.number else self.source


def check_readable(path: Path) -> None:
    """Raise ``Unusable`` unless this is a file that can be read."""
    if path.is_dir():
        raise Unusable(f"{path}: is a directory; name the files in it")
    try:
        path.open("rb").close()
    except OSError as error:
        raise Unusable(f"{path}: {(error.strerror or str(error)).lower()}") from None


def is_mbox(path: Path) -> bool:
    """Whether a file begins as an mbox does."""
    with path.open("rb") as opened:
        return _SEPARATOR.match(opened.readline(1000)) is not None


def read_single(source: str, opened: BinaryIO, limit: int) -> FoundMessage:
    """Read one message, as a mail server pipes it; a separator line on top is left out.

    Never split: whoever writes a text that looks like a separator would send two mails.
    """
    raw = opened.read(limit + 1001)
    separator = _SEPARATOR.match(raw)
    if separator is not None:
        raw = raw[separator.end() :]
    return FoundMessage(source, 0, raw if len(raw) <= limit else None)


def read_mbox(source: str, opened: BinaryIO, limit: int) -> Iterator[FoundMessage]:
    """Read the messages of an mbox, one at a time.

    A separator counts at the beginning and after an empty line only. What stands before the
    first one is a message, too: it is not for us to lose it.
    """
    number, size = 0, 0
    lines: list[bytes] | None = None
    after_blank = at_line_start = True
    while line := opened.readline(CHUNK):
        if after_blank and _SEPARATOR.match(line):
            if lines is not None:
                number += 1
                yield _found(source, number, lines, size, limit)
            lines, size = [], 0
        else:
            lines = [] if lines is None else lines
            size += len(line)
            if size <= limit + len(line):
                is_quoted = at_line_start and _QUOTED.match(line)
                lines.append(line[1:] if is_quoted else line)
        after_blank = at_line_start and line in (b"\n", b"\r\n")
        at_line_start = line.endswith(b"\n")
    if lines is not None:
        yield _found(source, number + 1, lines, size, limit)


def _found(source: str, number: int, lines: list[bytes], size: int, limit: int) -> FoundMessage:
    """Return a message without the empty line that an mbox has behind it."""
    if lines and lines[-1] in (b"\n", b"\r\n"):
        size -= len(lines.pop())
    return FoundMessage(source, number, b"".join(lines) if size <= limit else None)
