"""The text of an HTML document, as somebody would write it in a plain mail."""

import re
from urllib.parse import urlsplit

from core.mail.markup import LINKS, Kind, attributes, tokens
from core.mail.text import clean_text

MAX_HTML = 256 * 1024
MAX_TARGET = 120  # of a link; a longer one tells no more than its host
MAX_QUOTES = 10
MAX_INDENT = 10

_LINE, _PARAGRAPH = 1, 2
_BLOCKS = {
    **dict.fromkeys(
        [
            *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd"),
            *("div", "dl", "dt", "fieldset", "figure", "footer", "form", "header", "hr", "main"),
            *("nav", "section", "table", "tbody", "tfoot", "thead", "tr"),
        ],
        _LINE,
    ),
    **dict.fromkeys(["p", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol"], _PARAGRAPH),
}
_ITEM = re.compile(r"(?:-|[0-9]+\.) ")
_BLANKS = re.compile(r"[ \t\n\r\f]+")


def html_to_text(html: str) -> str:
    """Return the text of an HTML body, linear in its length; at most 256 Ki of it are read.

    Quoted blocks get ``>``, items their mark, cells a tab between them, and a link the address
    that it leads to when its text does not show it.
    """
    writer = _Writer()
    for kind, name, text in tokens(html[:MAX_HTML]):
        if kind is Kind.OPEN:
            writer.open(name, text)
        elif kind is Kind.CLOSE:
            writer.close(name)
        elif kind is Kind.TEXT or name in {"textarea", "noscript", "xmp"}:
            writer.write(text)
    return clean_text(writer.finish())


class _Writer:
    """Collects lines; a break is remembered and made when something follows it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._quotes = 0
        self._line_quotes = 0
        self._line_is_pre = False
        self._pre = 0
        self._break = 0
        self._is_fresh = False  # nothing yet in this cell or item: it needs no break
        self._is_dense = False  # the last paragraph was one of Outlook's
        self._lists: list[int] = []  # the number of the last item, -1 for a list without
        self._target = ""
        self._linked: list[str] = []

    def write(self, text: str) -> None:
        """Add text, with its blanks collapsed as a browser does it."""
        if self._pre:
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
                if number:
                    self._end_line()
                if line:
                    self._add(line)
            return
        is_single = text.isprintable() and "  " not in text
        collapsed = text if is_single else _BLANKS.sub(" ", text)
        if collapsed != " ":
            self._add(collapsed)
        elif self._line and not self._break:
            self._line.append(" ")

    def open(self, name: str, text: str) -> None:
        """Begin an element."""
        if name == "p":
            self._is_dense = "MsoNormal" in text
        self._block(name, is_dense=name == "p" and self._is_dense)
        if name == "br":
            self._end_line()
        elif name == "blockquote":
            self._quotes += 1
        elif name == "pre":
            self._pre += 1
        elif name in {"ul", "ol"}:
            self._lists.append(_first_number(text) - 1 if name == "ol" else -1)
        elif name == "li":
            self._item()
        elif name in {"td", "th"}:
            if self._line and not self._break and self._line[-1] != "\t":
                self._line.append("\t")  # the cell before was not closed
            self._is_fresh = True
        elif name == "a":
            self._end_link()
            self._target = _target(attributes(text).get("href", ""))
        elif name == "img":
            self.write(attributes(text).get("alt", ""))

    def close(self, name: str) -> None:
        """End an element; one that was never begun does no harm."""
        if name == "a":
            self._end_link()
        elif name == "blockquote":
            self._quotes = max(0, self._quotes - 1)
        elif name == "pre":
            self._pre = max(0, self._pre - 1)
        elif name in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif name in {"td", "th"} and self._line:
            self._break = 0
            self._line.append("\t")
        elif name == "li":
            self._break = max(self._break, _LINE)
        self._block(name, is_dense=name == "p" and self._is_dense)

    def finish(self) -> str:
        """Return what was written, without empty lines around it or two of them in a row."""
        self._end_link()
        if self._line:
            self._end_line()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self._lines)).strip("\n")

    def _block(self, name: str, *, is_dense: bool = False) -> None:
        """Remember that a block begins or ends here; Outlook's paragraphs have no empty lines."""
        size = _BLOCKS.get(name, 0)
        if size and not self._is_fresh:
            if is_dense or (name in {"ul", "ol"} and self._lists):
                size = _LINE
            self._break = max(self._break, size)

    def _item(self) -> None:
        self._break = max(self._break, _LINE)
        mark = "- "
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            mark = f"{self._lists[-1]}. "
        self._add("  " * min(len(self._lists) - 1, MAX_INDENT) + mark)
        self._is_fresh = True

    def _add(self, text: str) -> None:
        if self._break:
            size = self._break
            if self._line:
                self._end_line()
            if size == _PARAGRAPH and self._lines:
                self._lines.append(_marks(min(self._quotes, self._line_quotes)))
            self._break = 0
        if not self._line:
            self._line_quotes, self._line_is_pre = self._quotes, self._pre > 0
        self._line.append(text)
        self._is_fresh = False
        if self._target:
            self._linked.append(text)

    def _end_line(self) -> None:
        quotes = self._line_quotes if self._line else self._quotes
        text = "".join(self._line)
        text = text.rstrip() if self._line_is_pre else _single_blanks(text)
        self._lines.append(f"{_marks(quotes)} {text}" if quotes and text else _marks(quotes) + text)
        self._line = []
        self._break = 0

    def _end_link(self) -> None:
        """Write where a link leads, unless its text says so."""
        shown = "".join(self._linked).strip()
        target, self._target, self._linked = self._target, "", []
        if target and shown and _bare(target) not in {_bare(shown), _bare(shown.lower())}:
            self._line.append(f" <{target}>")


def _first_number(text: str) -> int:
    start = attributes(text).get("start", "") if text else ""
    return int(start) if re.fullmatch(r"[0-9]{1,6}", start) and int(start) > 0 else 1


def _marks(quotes: int) -> str:
    return ">" * min(quotes, MAX_QUOTES)


def _single_blanks(text: str) -> str:
    """Return a line with its blanks single, but for those that set an item in."""
    text = text.replace("\u00a0", " ").rstrip()
    if "  " not in text and "\t" not in text and not text.startswith(" "):
        return text
    stripped = text.lstrip(" ")
    indent = text[: len(text) - len(stripped)] if _ITEM.match(stripped) else ""
    return indent + re.sub(r" *\t[ \t]*", "\t", re.sub(r" {2,}", " ", stripped))


def _target(href: str) -> str:
    """Return what a link is shown as, "" for one that leads nowhere outside."""
    href = "".join(href.split())
    if not href.lower().startswith(LINKS):
        return ""
    if len(href) <= MAX_TARGET:
        return href
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc[:MAX_TARGET]}/…" if parts.netloc else ""


def _bare(target: str) -> str:
    for scheme in ("mailto:", "http://", "https://"):
        target = target.removeprefix(scheme)
    return target.rstrip("/")
