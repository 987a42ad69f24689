"""HTML of mails: as text, as a safe part of our pages, and as a document for a sandboxed frame."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape

import nh3

MAX_HTML = 256 * 1024
MAX_NESTING = 512

_DROPPED = re.compile(r"<(script|style|head|title|template)\b[^>]*>.*?</\1\s*>", re.I | re.S)
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/h[1-6]|/li|/blockquote|hr)\b[^>]{0,2000}>", re.I)
_CELL = re.compile(r"</t[dh]\b[^>]{0,2000}>", re.I)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_TAG = re.compile(r"<[a-zA-Z/!?][^>]{0,4000}>")
_OPENING = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^>]{0,4000}?(/?)>")
_VOID = frozenset(
    ["area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_IMAGE = re.compile(r"<img\b([^>]{0,8000})>", re.I)
_SOURCE = re.compile(r"""\bsrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.I)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.I)

_TAGS = frozenset(
    """
    a abbr b blockquote br caption cite code col colgroup dd del div dl dt em figcaption figure
    hr i img ins kbd li ol p pre q s samp small span strong sub sup table tbody td tfoot th
    thead tr u ul
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)
_HEADINGS = re.compile(r"<(/?)h[1-6]\b[^>]{0,2000}>", re.I)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}


def html_to_text(html: str) -> str:
    """Return the text of an HTML body, linear in its length; at most 256 Ki of it are read."""
    text = html[:MAX_HTML]
    if text.count("<!--") <= text.count("-->"):
        text = _COMMENT.sub("", text)
    if len(re.findall(r"<(?:script|style|head|title|template)\b", text, re.I)) <= 200:
        text = _DROPPED.sub("", text)
    text = re.sub(r"[ \t\r\n]+", " ", text)
    text = _CELL.sub("\t", _BREAK.sub("\n", text))
    text = unescape(_TAG.sub("", text)).replace("\xa0", " ")
    lines = (" ".join(line.split(" ")).strip(" ") for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


@dataclass(frozen=True, slots=True)
class SafeHtml:
    """HTML that may stand in our pages, and how many remote images were left out of it."""

    html: str
    blocked_images: int


def is_too_complex(html: str) -> bool:
    """Whether HTML is too long or too deep to be cleaned in reasonable time (threat M8)."""
    if len(html) > MAX_HTML:
        return True
    depth = deepest = 0
    for found in _OPENING.finditer(html):
        if found[1]:
            depth = max(0, depth - 1)
        elif not found[3] and found[2].lower() not in _VOID:
            depth += 1
            deepest = max(deepest, depth)
    return deepest > MAX_NESTING


def safe_html(
    html: str, cid_url: Callable[[str], str | None], remote_image: str = "[image]"
) -> SafeHtml | None:
    """Return an HTML body as it may stand in a page, None when it is too complex for that.

    An allow-list without styles, forms and frames. Images of the same message (``cid:``) get the
    address that ``cid_url`` gives; remote ones are replaced by ``remote_image`` and counted, so
    that nobody learns when a mail is read.
    """
    if is_too_complex(html):
        return None
    blocked = 0

    def image(found: re.Match[str]) -> str:
        nonlocal blocked
        source = _attribute(_SOURCE, found[1])
        alt = escape(_attribute(_ALT, found[1]))
        if source.lower().startswith("cid:"):
            url = cid_url(source[4:])
            return f'<img src="{escape(url)}" alt="{alt}">' if url else alt
        blocked += bool(source) and not source.lower().startswith("data:")
        return f"<span>{alt or escape(remote_image)}</span>"

    prepared = _IMAGE.sub(image, _HEADINGS.sub(r"<\1p>", html))
    cleaned = nh3.clean(
        prepared,
        tags=set(_TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_only_own_images,
        clean_content_tags={"script", "style", "title", "template", "svg", "math", "iframe"},
    )
    return SafeHtml(cleaned, blocked)


def _only_own_images(tag: str, attribute: str, value: str) -> str | None:
    """Let no image through that is not one of ours: nh3 itself would keep remote ones."""
    if tag == "img" and attribute == "src":
        return value if value.startswith("/") and not value.startswith("//") else None
    return value


def original_html(
    html: str, cid_data: Callable[[str], str | None], *, remote_images: bool = False
) -> str | None:
    """Return an HTML body with its formatting, for a sandboxed frame with a policy of its own.

    None when it is too complex. Scripts, forms and everything that loads are removed here too;
    the policy would stop them, but two locks are better than one. ``cid_data`` gives the images
    of the same message as ``data:`` addresses; remote ones stay only with ``remote_images``.
    """
    if is_too_complex(html):
        return None

    def image(found: re.Match[str]) -> str:
        source = _attribute(_SOURCE, found[1])
        if source.lower().startswith("cid:"):
            return _SOURCE.sub(f'src="{escape(cid_data(source[4:]) or "")}"', found[0])
        return found[0] if remote_images else _SOURCE.sub("", found[0])

    return nh3.clean(
        _IMAGE.sub(image, html),
        tags=set(_TAGS) | {"h1", "h2", "h3", "h4", "h5", "h6", "font", "center", "style"},
        attributes={
            "*": {"style", "class", "align", "valign", "bgcolor", "color", "width", "height",
                  "dir", "lang", "title"},
            **{tag: set(names) for tag, names in _ATTRIBUTES.items() if tag != "*"},
            "font": {"face", "size", "color"},
            "table": {"border", "cellpadding", "cellspacing"},
        },
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
        clean_content_tags={"script", "title", "template", "svg", "math", "iframe"},
    )  # fmt: skip


def _attribute(pattern: re.Pattern[str], tag: str) -> str:
    found = pattern.search(tag)
    return (
        unescape(next((group for group in found.groups() if group is not None), ""))
        if found
        else ""
    )
