"""The tags, texts and raw contents of an HTML document, in one pass that nothing slows down.

Not a parser: it builds no tree and repairs nothing. It is for what is done before or without the
sanitiser: measuring a document and reading its text. What may stand in a page, nh3 decides.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from html import unescape
from typing import NamedTuple

# Where tags, comments and raw contents end is as WHATWG HTML 13.2.5 has it. The quantifiers with
# + are possessive: what they took they never give back, so a document that is built to be tried
# again and again is still read once.
_MARKUP = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*+)|(!--)|[!?/])")
_TAG_END = re.compile(
    r"""(?:[\s/]*+=?[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+))?+|[\s/]*+=)*+"""
    r"""[\s/]*+>"""
)
_COMMENT_END = re.compile(r"--!?>")
_ATTRIBUTE = re.compile(
    r"""(=?[^\s/>=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|((?!["'])[^\s>]*+)))?+"""
)
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in (
        *("script", "style", "title", "textarea", "iframe", "noembed", "noframes", "noscript"),
        "xmp",
    )
}
LINKS = ("http://", "https://", "mailto:")  # what a link of a mail may lead to
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")


class Kind(Enum):
    """What a token is. RAW is the content of an element that holds no markup, such as style."""

    TEXT = auto()
    OPEN = auto()
    CLOSE = auto()
    RAW = auto()


class Token(NamedTuple):
    """A piece of a document: ``name`` in lower case for tags, ``text`` with references resolved.

    For a tag ``text`` is what stands between its name and the ``>``.
    """

    kind: Kind
    name: str
    text: str


def tokens(html: str) -> Iterator[Token]:
    """Yield the pieces of a document in order, comments and declarations left out.

    As in a browser an unfinished comment or script reaches to the end of the document.
    """
    position, last, minds_quotes = 0, html.rfind(">"), True
    while (found := _MARKUP.search(html, position)) is not None and found.start() < last:
        if found.start() > position:
            yield Token(Kind.TEXT, "", resolved(html[position : found.start()]))
        if found[3]:
            position = _comment_end(html, found.end())
            continue
        name = (found[2] or "").lower()
        position = found.end()
        if html[position] != ">" or not name:  # most tags have nothing more
            end = _TAG_END.match(html, position) if name and minds_quotes else None
            if end is not None:
                position = end.end() - 1
            else:  # every > is in quotation marks: looked for once, never again
                minds_quotes = minds_quotes and not name
                position = html.index(">", position - 1)
        position += 1
        if not name:
            continue
        yield Token(Kind.CLOSE if found[1] else Kind.OPEN, name, html[found.end() : position - 1])
        if name in _RAW and not found[1]:
            end = _RAW[name].search(html, position)
            stop = end.start() if end else len(html)
            yield Token(Kind.RAW, name, html[position:stop])
            position = stop
    if position < len(html):
        yield Token(Kind.TEXT, "", resolved(html[position:]))


def _comment_end(html: str, start: int) -> int:
    for empty in (">", "->"):
        if html.startswith(empty, start):
            return start + len(empty)
    end = _COMMENT_END.search(html, start)
    return end.end() if end else len(html)


def attributes(text: str) -> dict[str, str]:
    """Return the attributes in the text of a tag; of equal names the first counts."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), resolved(double or single or bare))
    return found


def resolved(text: str) -> str:
    """Return text with its character references resolved.

    A number that no character has is taken out first: Python raises on thousands of digits.
    """
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text
