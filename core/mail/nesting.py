"""Whether an HTML document can be cleaned in reasonable time (threat model, M8).

The sanitiser builds the tree that a browser would build. Its time grows with the square of the
depth, and a tree can be far larger than its document: formatting that is never ended is begun
again in every block that follows (WHATWG HTML 13.2.4.3). So depth and size of the tree are
estimated first, with the rules by which browsers close what is not closed: ordinary mail is full
of that, and must not be refused for it.
"""

from core.mail.html_text import MAX_HTML
from core.mail.markup import Kind, tokens

MAX_NESTING = 512
MAX_NODES = 1_000_000  # some two seconds of the sanitiser's time at worst

_VOID = frozenset(
    [
        *("area", "base", "br", "col", "embed", "hr", "img", "image", "input", "link", "meta"),
        *("param", "source", "track", "wbr"),
    ]
)
_FORMATTING = frozenset(
    [
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    ]
)
_NOT_NESTED = frozenset(["html", "head", "body", "frameset"])  # a fragment has none of its own
_CELLS = frozenset(["td", "th", "caption"])
_KEEP_FORMATTING = _CELLS | {"applet", "marquee", "object", "template"}
_SECTIONS = frozenset(["tbody", "tfoot", "thead"])
_PARTS = frozenset(["tr", *_SECTIONS, *_CELLS])  # of a table
_SCOPE = frozenset(
    ["table", *_CELLS, "applet", "button", "marquee", "object", "select", "template"]
)
_LISTS = frozenset(["ul", "ol", "dir", "menu", "dl"])
_BLOCKS = frozenset(
    [
        *("address", "article", "aside", "blockquote", "center", "dd", "details", "div", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("header", "hgroup", "li", "main", "nav", "p", "pre", "search", "section", "summary"),
        *(*_PARTS, *_SCOPE, *_LISTS),
    ]
)
_IN_TABLE = frozenset(["table", "template", "select"])
_IN_LIST = _BLOCKS - {"address", "div", "p"}
_KEEP_PARAGRAPH = _PARTS | _SCOPE  # every other block ends the paragraph before it
# An element that ends an earlier one of these kinds, unless one of those stands between.
_ENDS = {
    "li": (frozenset(["li"]), _IN_LIST),
    "dt": (frozenset(["dt", "dd"]), _IN_LIST),
    "dd": (frozenset(["dt", "dd"]), _IN_LIST),
    "caption": (frozenset(["caption"]), _IN_TABLE),
    "td": (frozenset(["td", "th"]), _IN_TABLE),
    "th": (frozenset(["td", "th"]), _IN_TABLE),
    "tr": (frozenset(["tr"]), _IN_TABLE),
    **dict.fromkeys(_SECTIONS, (_SECTIONS, _IN_TABLE)),
}


def is_too_complex(html: str) -> bool:
    """Whether HTML is too long, too deep or comes to too many nodes to be cleaned."""
    if len(html) > MAX_HTML:
        return True
    deepest, nodes = measure(html)
    return deepest > MAX_NESTING or nodes > MAX_NODES


def measure(html: str) -> tuple[int, int]:
    """Return depth and nodes that a tree of this HTML has at most, stopping above the limits."""
    tree = _Tree()
    deepest = nodes = 0
    for kind, name, text in tokens(html):
        if kind is Kind.CLOSE:
            tree.close(name)
        elif kind is Kind.OPEN and name not in _VOID:
            tree.open(name)
        elif kind is Kind.RAW and "<!--" in text:
            tree.trusts_ends = False
        depth = len(tree.elements) + tree.waiting
        deepest, nodes = max(deepest, depth), nodes + depth + 1
        if deepest > MAX_NESTING or nodes > MAX_NODES:
            break
    return deepest, nodes


class _Tree:
    """The open elements of a document, and how much formatting waits to be begun again.

    Inside ``svg`` and ``math``, and where a script holds a comment, other rules tell what is a
    tag; from there on nothing is believed to end.
    """

    def __init__(self) -> None:
        self.elements: list[tuple[str, int]] = []  # with the formatting that waited before each
        self.waiting = 0
        self.trusts_ends = True

    def open(self, name: str) -> None:
        """Begin an element, and end those that it ends."""
        if name in _NOT_NESTED or (name in _PARTS and not self._is_in_table()):
            return  # ignored there
        if name in {"svg", "math", "plaintext"}:
            self.trusts_ends = False
        if name in _BLOCKS and name not in _KEEP_PARAGRAPH:
            self._end(frozenset(["p"]), _SCOPE)
        if name in _ENDS:
            self._end(*_ENDS[name])
        self.elements.append((name, self.waiting))

    def close(self, name: str) -> None:
        """End an element, if the end tag does so where it stands."""
        if name == "form" and self.elements and self.elements[-1][0] != name:
            return  # it ends alone, and what is in it goes on
        if name == "table":
            barriers = _IN_TABLE - {name}
        elif name in _PARTS:
            barriers = _IN_TABLE
        elif name == "li":
            barriers = _SCOPE | _LISTS
        else:
            barriers = _SCOPE if name in _BLOCKS else _BLOCKS
        if not self._end(frozenset([name]), barriers) and name in _FORMATTING:
            self.waiting = max(0, self.waiting - 1)

    def _is_in_table(self) -> bool:
        return any(name == "table" for name, _waiting in self.elements)

    def _end(self, names: frozenset[str], barriers: frozenset[str]) -> bool:
        """End the innermost element of these names with all in it; say whether there was one."""
        if not self.trusts_ends:
            return False
        for position in range(len(self.elements) - 1, -1, -1):
            name, _waiting = self.elements[position]
            if name in names:
                self._pop(position)
                return True
            if name in barriers:
                return False
        return False

    def _pop(self, position: int) -> None:
        """End the elements from a position on; formatting inside waits, but leaves no cell."""
        name, _waiting = self.elements[position]
        interrupted = 0 if name not in _FORMATTING else -1  # itself it does end
        for name, waiting in self.elements[position:]:
            if name in _KEEP_FORMATTING:
                self.waiting = waiting
                break
            interrupted += name in _FORMATTING
        self.waiting += interrupted
        del self.elements[position:]
