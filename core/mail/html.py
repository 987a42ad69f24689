"""HTML of mails: as a safe part of our pages, and as a document for a sandboxed frame."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import unquote, urlsplit

import nh3

from core.mail.css import clean_declarations, clean_sheet
from core.mail.markup import LINKS, Kind, tokens
from core.mail.nesting import is_too_complex
from core.mail.text import clean_text

_TAGS = frozenset(
    [
        *("a", "abbr", "b", "blockquote", "br", "caption", "center", "cite", "code", "col"),
        *("colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2"),
        *("h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "q", "s"),
        *("samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th"),
        *("thead", "tr", "u", "ul"),
    ]
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}
_FORMATTED_TAGS = _TAGS | {"font"}
_FORMATTED_ATTRIBUTES = {
    **_ATTRIBUTES,
    "*": {
        *("align", "bgcolor", "class", "color", "dir", "height", "lang", "style", "title"),
        *("valign", "width"),
    },
    "font": {"face", "size", "color"},
    "table": {"border", "cellpadding", "cellspacing"},
}
_WITHOUT_CONTENT = {
    *("script", "style", "title", "template", "svg", "math", "iframe", "object", "noscript"),
    *("noembed", "noframes", "xmp", "select", "textarea"),
}
_SCHEMES = {"http", "https", "mailto", "cid", "data"}  # the filters below are narrower
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*", re.I)

# These look at what nh3 has written: every attribute in quotation marks, and no < or > that is
# not a tag's.
_IMAGE = re.compile(r'<img((?: [a-z]+="[^"]*")*)>')
_HEADING = re.compile(r"<(/?)h[1-6]((?: [a-z]+=\"[^\"]*\")*)>")
_LINK = re.compile(r'(<a(?: [a-z]+="[^"]*")*? href="([^"]*)"[^>]*>)(.*?)</a>', re.DOTALL)
_ANY_TAG = re.compile(r"<[^>]*>")
_TINY = re.compile(r' (?:width|height)="[0-2](?:px)?"')  # a picture that nobody is to see


@dataclass(frozen=True, slots=True)
class SafeHtml:
    """HTML that may stand in our pages, and how many remote images were left out of it."""

    html: str
    blocked_images: int


def safe_html(
    html: str, cid_url: Callable[[str], str | None], remote_image: str = "[image]"
) -> SafeHtml | None:
    """Return an HTML body as it may stand in a page, None when it is too complex for that.

    An allow-list without styles, forms and frames. Images of the same message (``cid:``) get the
    address that ``cid_url`` gives; remote ones are replaced by their text or ``remote_image`` and
    counted, so that nobody learns when a mail is read. A link shows the host that it leads to.
    """
    if is_too_complex(html):
        return None
    blocked = 0

    def source(value: str) -> str | None:
        nonlocal blocked
        if _is_cid(value):
            return cid_url(_content_id(value))
        blocked += value.lower().startswith(("http:", "https:", "//"))
        return None

    cleaned = _clean(html, _TAGS, _ATTRIBUTES, source)
    cleaned = _HEADING.sub(_instead_of_heading, cleaned)
    cleaned = _IMAGE.sub(lambda image: _image_or_text(image, remote_image), cleaned)
    return SafeHtml(_LINK.sub(_link_with_host, cleaned), blocked)


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

    def source(value: str) -> str | None:
        if _is_cid(value):
            return cid_data(_content_id(value))
        if _DATA_IMAGE.fullmatch(value):
            return value
        is_remote = value.lower().startswith(("http://", "https://"))
        return value if remote_images and is_remote else None

    sheets = [
        clean_sheet(token.text)
        for token in tokens(html)
        if token.kind is Kind.RAW and token.name == "style"
    ]
    style = "\n".join(sheet for sheet in sheets if sheet)
    cleaned = _clean(html, _FORMATTED_TAGS, _FORMATTED_ATTRIBUTES, source)
    return f"<style>\n{style}\n</style>\n{cleaned}" if style else cleaned


def _clean(
    html: str,
    tags: frozenset[str],
    attributes: dict[str, set[str]],
    source: Callable[[str], str | None],
) -> str:
    """Let the sanitiser keep these tags and attributes; ``source`` decides about images.

    nh3 itself would keep remote images, and links into our own pages.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            return source(value.strip())
        if name == "href":
            return value if value.strip().lower().startswith(LINKS) else None
        if name == "style":
            return clean_declarations(value) or None
        return value

    cleaned = nh3.clean(
        html,
        tags=set(tags),
        attributes=attributes,
        attribute_filter=attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},  # the frame may not leave its page
        clean_content_tags=_WITHOUT_CONTENT,
    )
    return clean_text(cleaned)  # of control characters that were written as references


def _is_cid(source: str) -> bool:
    return source[:4].lower() == "cid:"


def _content_id(source: str) -> str:
    return unquote(source[4:])  # RFC 2392 2


def _instead_of_heading(heading: re.Match[str]) -> str:
    """A mail's headings are none of the page's: they would stand between ours."""
    return "</b></div>" if heading[1] else f"<div{heading[2]}><b>"


def _image_or_text(image: re.Match[str], remote_image: str) -> str:
    """Leave an image that has an address, put its text in the place of every other."""
    if ' src="' in image[1]:
        return image[0]
    if _TINY.search(image[1]):
        return ""
    alt = re.search(r' alt="([^"]*)"', image[1])
    text = unescape(alt[1]).strip() if alt else ""
    return f"<span>{escape(text or remote_image, quote=False)}</span>"


def _link_with_host(link: re.Match[str]) -> str:
    """Add the host that a link leads to, unless its text shows it (threat model, M9)."""
    host = _host(unescape(link[2]))
    shown = unescape(_ANY_TAG.sub("", link[3])).lower()
    if not host or host in shown:
        return link[0]
    return f"{link[0]} <small>({escape(host)})</small>"


def _host(target: str) -> str:
    """Return the host, or the address, that a link leads to."""
    try:
        parts = urlsplit(target.strip())
        return (parts.path if parts.scheme == "mailto" else parts.hostname or "")[:253].lower()
    except ValueError:
        return ""
