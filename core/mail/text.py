"""Cleaning of text from outside: what a database or a page could not take is removed here."""

import re
from collections.abc import Iterator

# C0 without tab and line feed, DEL, C1, lone surrogates
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Marks that turn the direction of text around and so show another text than there is
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")
_QUOTE = re.compile(r"[ \t]{0,3}>")


def clean_text(text: str) -> str:
    """Return text with ``\\n`` line ends and without control characters and surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    return "\ufffd" if found[0] >= "\ud800" else ""


def one_line(text: str) -> str:
    """Return text as one line without control or direction characters: for headers and names."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(_BIDI.sub("", clean_text(text)).split())


def split_quoted(text: str) -> list[tuple[bool, str]]:
    """Split a text into runs of quoted (``>``) and other lines, in order."""
    runs: list[tuple[bool, list[str]]] = []
    for line in text.split("\n"):
        quoted = _QUOTE.match(line) is not None
        if not runs or runs[-1][0] is not quoted:
            runs.append((quoted, []))
        runs[-1][1].append(line)
    return [(quoted, "\n".join(lines)) for quoted, lines in runs]


def unquoted_lines(text: str) -> Iterator[str]:
    """Yield the lines of a text that are not quoted from another mail."""
    for line in text.split("\n"):
        if _QUOTE.match(line) is None:
            yield line
