"""The text of an HTML document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.html_text import MAX_HTML, html_to_text
from tests.mail.growth import grows_linearly
from tests.mail.storage import is_clean


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("Text", "Text"),
        ("", ""),
        ("a  b\n c\t<b>d</b>", "a b c d"),
        ("a<br>b<br/>c<BR>d", "a\nb\nc\nd"),
        ("a<br><br>b<br><br><br><br>c", "a\n\nb\n\nc"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<p>a<p>b", "a\n\nb"),
        ("<p class=MsoNormal>a</p><p class=MsoNormal>b</p>", "a\nb"),
        ("<div>a</div><div>b<br></div><div><br></div><div>c</div>", "a\nb\n\nc"),
        ("<div><div><div>a</div></div></div>b", "a\nb"),
        ("<h1>a</h1>b", "a\n\nb"),
        ("a<hr>b", "a\nb"),
        ("<span>a</span><span>b</span>", "ab"),
        ("<center>a</center>b", "a\nb"),
        # lists
        ("<ul><li>a</li><li>b</li></ul>c", "- a\n- b\n\nc"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        ("<ol start=7><li>a<li>b</ol>", "7. a\n8. b"),
        ("<ol start=x><li>a</ol>", "1. a"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ul><li><p>a</p></li></ul>", "- a"),
        ("<li>a", "- a"),
        # tables
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"),
        ("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ("<table><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", "a\tb"),
        ("<table><tr><td> </td><td>b</td></tr></table>", "b"),
        ("<table><tr><td><div>a</div><div>b</div></td></tr></table>", "a\nb"),
        # quotes
        ("a<blockquote>b<br>c</blockquote>d", "a\n> b\n> c\nd"),
        ("<blockquote>a<blockquote>b</blockquote>c</blockquote>", "> a\n>> b\n> c"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("</blockquote>a", "a"),
        # links
        ('<a href="https://x.example/a">hier</a>!', "hier <https://x.example/a>!"),
        ('<a href="https://x.example/">x.example</a>', "x.example"),
        ('<a href="https://x.example/a">https://x.example/a</a>', "https://x.example/a"),
        ('<a href="https://evil.example">https://x.example</a>',
         "https://x.example <https://evil.example>"),
        ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
        ('<a href="mailto:a@x.example">Anna</a>', "Anna <mailto:a@x.example>"),
        ('<a href="https://x.example/' + "a" * 200 + '">hier</a>', "hier <https://x.example/…>"),
        ('<a href="https://[x' + "a" * 200 + '">hier</a>', "hier"),
        ('<a href="javascript:alert(1)">a</a><a href="/x">b</a><a name=x>c</a>', "abc"),
        ('<a href="https://x.example"><img src=x></a>', ""),
        ('<a href="https://x.example">a<a href="https://y.example">b',
         "a <https://x.example>b <https://y.example>"),
        ("a<img alt='Logo'>b<img src=x>c", "aLogobc"),
        # what is not text
        ("<style>p{}</style><script>x</script><title>t</title>a", "a"),
        ("<head><title>t</title></head><body>a", "a"),
        ("<STYLE>p{}</sTyle >a", "a"),
        ("<script>if (a < b) '</p>'</script>a", "a"),
        ("a<!-- b -->c<!-->d<!--->e<!-- f --!>g", "acdeg"),
        ("<!DOCTYPE html><?xml x?></ x>a", "a"),
        ("<!--[if mso]><table><tr><td><![endif]-->a", "a"),
        ("<noscript>a</noscript><textarea>b</textarea>", "ab"),
        # what is broken
        ("a < b > c", "a < b > c"),
        ("a<b", "a<b"),
        ("a<3", "a<3"),
        ("<p>a<!-- b", "a<!-- b"),
        ("<p>a<!-- b > c", "a"),
        ("<script>a<p>b", ""),
        ('<a title="a>b">c</a>', "c"),
        ("<a title='a>b' x=y>c</a>", "c"),
        ('<a title="a>b', "b"),
        ('<a ="></a>b', "b"),
        ("<p title=a\"b>c", "c"),
        # references
        ("&auml;&amp;&nbsp;&euro;&#228;&#xE4;&lt;b&gt;", "ä& €ää<b>"),
        ("&#0;&#xD800;&#129;&#13;&#8238;a", "\ufffd\ufffd \u202ea"),
        ("&#" + "1" * 9_000 + ";&#x" + "f" * 9_000 + ";", "\ufffd\ufffd"),
        ("&unknown; &", "&unknown; &"),
        # pre
        ("<pre>a\n  b\n\n c</pre>d", "a\n  b\n\n c\n\nd"),
    ],
)  # fmt: skip
def test_html_as_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_only_the_beginning_of_a_very_long_document_is_read() -> None:
    assert html_to_text("x" * (MAX_HTML + 10)) == "x" * MAX_HTML


@given(st.text(alphabet="<>/!-\"'= apbtdlirhef&#1;\n\r\0", max_size=150))
def test_any_document_gives_clean_text(html: str) -> None:
    assert is_clean(html_to_text(html))


PIECES = [
    *("<", "<a", "<a ", "</", "<!--", "-->", "<!", "&", "&#", "&#1", "&a", '"', "='", "<a ='"),
    *('<a title="', "<script>", "<style", "</style", "<p>", "<li>", "<blockquote>", "<td>", "<br>"),
    *("<a href=x>", "<img alt=x>", "<pre>\n", " ", "\n", "<ol>", "<a =x ", "<!-->", "<title>"),
]


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_grows_with_the_document(piece: str) -> None:
    assert grows_linearly(lambda n: piece * n, html_to_text, 400)
    assert grows_linearly(lambda n: piece * n + '=">"\'-->', html_to_text, 400)
    assert grows_linearly(lambda n: "-->" * n + piece * n, html_to_text, 400)


def test_a_tag_that_quotation_marks_leave_open_is_looked_for_once() -> None:
    assert grows_linearly(lambda n: "<a " + 'x="><a " ' * n, html_to_text, 500)
