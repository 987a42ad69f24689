"""Folding of text for comparison and search, and the exact form of identifiers."""

import re
import unicodedata

_COMBINING = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")


def exact(text: str) -> str:
    """Return ``text`` in Unicode NFC without white space around it.

    This is the form in which a Kunden# is stored and compared: exact apart from these two, so
    neither case, nor a prefix, nor a look-alike letter matches.
    """
    return unicodedata.normalize("NFC", text).strip()


def fold(text: str) -> str:
    """Return ``text`` for search: without case, umlaut dots and accents, with ``ß`` as ``ss``.

    SQLite's own ``lower()`` knows ASCII only, so both sides of every search pass through here.
    """
    if text.isascii():
        return text.lower()
    return _COMBINING.sub("", unicodedata.normalize("NFKD", text.casefold()))
