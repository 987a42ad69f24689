"""The text in which an account is found: folded on both sides, in the spellings people use."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.orm import InstrumentedAttribute

from core.mail.text import one_line
from core.text import exact, fold

MAX_SORT_KEY = 200
MAX_QUERY = 200  # characters of a query that count; more would only cost time
MAX_WORDS = 10

_DIGRAPHS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "ae", "Ö": "oe", "Ü": "ue", "ß": "ss"}
)


def searchable(*parts: str) -> str:
    """Return the text that is stored for search: every part on a line, umlauts in two spellings.

    *Müller* is found as ``müller``, ``muller`` and ``mueller``.
    """
    lines = [spelling for part in parts if part for spelling in _spellings(part)]
    return "\n".join(dict.fromkeys(lines))


def contains_words(column: InstrumentedAttribute[str], query: str) -> ColumnElement[bool]:
    """Return the condition that every word of ``query`` stands somewhere in a stored text.

    The order of the words does not matter, and no character is a wildcard. An empty query finds
    everything.
    """
    words = one_line(query[:MAX_QUERY]).split()[:MAX_WORDS]
    return and_(true(), *(_contains(column, _spellings(word)) for word in words))


def sort_key(*parts: str) -> str:
    """Return the key by which a list is sorted: folded, the parts in the order of their weight."""
    return " ".join(fold(part) for part in parts if part)[:MAX_SORT_KEY]


def _spellings(text: str) -> list[str]:
    composed = exact(text)
    return list(dict.fromkeys((fold(composed), fold(composed.translate(_DIGRAPHS)))))


def _contains(column: InstrumentedAttribute[str], spellings: Iterable[str]) -> ColumnElement[bool]:
    return or_(*(column.contains(spelling, autoescape=True) for spelling in spellings))
