"""How deep and large the tree of a document can be, before the sanitiser builds it."""

import random
import re

import nh3
import pytest

from core.mail.html import original_html, safe_html
from core.mail.html_text import MAX_HTML
from core.mail.nesting import MAX_NESTING, is_too_complex, measure
from tests.mail.growth import grows_linearly

OUTLOOK = (
    "<html><body lang=DE><div class=WordSection1>"
    + "<p class=MsoNormal><span style='font-size:11pt'>Zeile<o:p></o:p></span></p>" * 900
    + "<table><tr><td><font color=red>a<td><b>b</table>" * 900
    + "</div></body></html>"
)
NEWSLETTER = (
    "<center><table width=100%><tr><td align=center>"
    * 12
    + "<table><tbody><tr><td style='padding:0'><a href=https://x.example/?id=1><img src=x></a>"
    "<p>Text<br>und <strong>mehr</strong><p>Text<ul><li>eins<li>zwei</ul></td></tr></table>"
    * 600
    + "</td></tr></table></center>" * 12
)


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<p>a" * 5_000,
        "<li>a" * 5_000,
        "<ul>" + "<li>a<li>b" * 5_000,
        "<table>" + "<tr><td>a<td>b" * 5_000,
        "<dl>" + "<dt>a<dd>b" * 5_000,
        "<br>" * 20_000,
        "<img src=x>" * 5_000,
        "<div>a</div>" * 10_000,
        "<span><b>a</b></span>" * 5_000,
        "<table>" + "<tr><td><font color=red>a" * 5_000,  # never closed, but in cells
        "</div>" * 20_000,
        "<p><o:p></o:p></p>" * 5_000,
        "<!--[if mso]><table><tr><td><![endif]-->a<!--[if mso]></td></tr></table><![endif]-->"
        * 1_000,
        "<style>" + "a>b{color:red}" * 1_000 + "</style>",
        "a < b " * 10_000,
        OUTLOOK,
        NEWSLETTER,
    ],
)  # fmt: skip
def test_ordinary_mail_is_not_refused(html: str) -> None:
    assert len(html) < MAX_HTML
    assert not is_too_complex(html)
    assert safe_html(html, lambda _cid: None) is not None


@pytest.mark.parametrize(
    "html",
    [
        "x" * (MAX_HTML + 1),
        "<div>" * 50_000,
        "<div/>" * 40_000,  # HTML has no such end
        "<div>" * (MAX_NESTING + 1),
        "<span>" * 40_000,
        "<table><tr><td>" * 15_000,
        "<ul><li>" * 30_000,
        "<blockquote><p>" * 15_000,
        "<p><b>" * 40_000,
        "<a><div>" * 30_000,
        "".join(f"<div><b title={n}></div>" for n in range(10_000)),  # begun again in each block
        "<svg>" + "<g></div>" * 20_000,
        "<svg>" + "<g><![CDATA[ ></g>]]>" * 8_000,
        "<div><!-- </div> -->" * 12_000,
        "<div><!--!></div>-->" * 12_000,
        "<div><style></div></style>" * 9_000,
        "<div><noscript></div></noscript>" * 7_000,
        "<div><a title='</div>'></a>" * 9_000,
        "<div><a =\"></a>" * 9_000,
        "<div><select></div></select>" * 8_000,
        "<span><div></span>" * 12_000,
        "<form><div></form>" * 12_000,
        "<li><ul></li>" * 15_000,
        "<body><div></body>" * 12_000,
        "<dl><section><th>" * 12_000,
        "<template><div></template>" + "<div>" * 10_000,
    ],
)  # fmt: skip
def test_what_the_sanitiser_would_take_too_long_for(html: str) -> None:
    assert is_too_complex(html)
    assert safe_html(html, lambda _cid: None) is None
    assert original_html(html, lambda _cid: None) is None


def test_both_sides_of_the_limit() -> None:
    assert not is_too_complex("<div>" * MAX_NESTING)
    assert is_too_complex("<div>" * (MAX_NESTING + 1))
    assert not is_too_complex("x" * MAX_HTML)


TAGS = (
    *("div", "p", "b", "i", "a", "font", "span", "table", "tr", "td", "th", "tbody", "ul", "ol"),
    *("li", "dl", "dt", "dd", "h1", "blockquote", "form", "button", "select", "option", "center"),
    *("pre", "section", "noscript", "title", "object", "caption", "template"),
)


def soup(rng: random.Random) -> str:
    """Return a document that repeats a few random tags, right or wrong."""
    pieces = [
        rng.choice((f"<{tag}>", f"<{tag}>", f"</{tag}>", f"</{tag}>", "<!--", "-->", '<a =">', "x"))
        for tag in rng.choices(TAGS, k=rng.randint(1, 5))
    ]
    return "".join(rng.choices(("<b>", "<div>", "<table>", "<td>"), k=2)) + "".join(pieces) * 60


def real_size(html: str) -> tuple[int, int]:
    """Return depth and nodes of the tree that the sanitiser builds."""
    written = nh3.clean(
        html, tags=set(TAGS) - {"noscript", "title", "template"}, clean_content_tags=set()
    )
    depth = deepest = nodes = 0
    for is_end in re.findall(r"<(/?)[a-z0-9]+", written):
        depth += -1 if is_end else 1
        nodes += not is_end
        deepest = max(deepest, depth)
    return deepest, nodes


@pytest.mark.parametrize("seed", range(10))
def test_the_estimate_is_not_below_what_a_browser_would_build(seed: int) -> None:
    """Up to a factor: bodies and rows of tables are begun without a tag."""
    rng = random.Random(seed)
    for _document in range(60):
        html = soup(rng)
        (depth, nodes), (estimated, estimated_nodes) = real_size(html), measure(html)
        assert depth <= 2 * estimated + 10, html
        assert nodes <= 3 * estimated_nodes + 50, html


@pytest.mark.parametrize(
    "piece", ["<a", "<p>", "<div>", "</div>", "<a ='", "<!--", "<td>", "<b></p>", "<", "<script>"]
)
def test_the_time_grows_with_the_document(piece: str) -> None:
    assert grows_linearly(lambda n: piece * n, is_too_complex, 600)
    assert grows_linearly(lambda n: piece * n + "=\">'-->", is_too_complex, 600)
