"""Folding of text for comparison and search, and the exact form of identifiers."""

import unicodedata


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
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
