"""Styles of mails: what may stay loads nothing and ends nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.css import clean_declarations, clean_sheet
from tests.mail.growth import grows_linearly


@pytest.mark.parametrize(
    ("style", "kept"),
    [
        ("color:red", "color: red"),
        ("COLOR : Red ;; ", "color: Red"),
        ("color:#f00;margin:0 auto !important", "color: #f00; margin: 0 auto !important"),
        ("font-family:'Segoe UI',\"Arial\"", "font-family: 'Segoe UI',\"Arial\""),
        ("background:#fff", "background: #fff"),
        ("color:rgb(1,2,3);color:RGBA(1, 2, 3, .5)", "color: rgb(1,2,3); color: RGBA(1, 2, 3, .5)"),
        ("/* a;b */color:red/*", "color: red"),
        ("border-left:1px solid #ccc", "border-left: 1px solid #ccc"),
        # what loads
        ("background:url(https://x)", ""),
        ("background:URL('x')", ""),
        ("background:u/**/rl(x)", ""),
        ("background:\\75rl(x)", ""),
        ("background-image:none", ""),
        ("background:image-set('x' 1x)", ""),
        ("background:cross-fade(red,blue)", ""),
        ("list-style:url(x)", ""),
        ("width:expression(alert(1))", ""),
        ("width:calc(1px)", ""),
        ("border-image:none", ""),
        ("behavior:url(x)", ""),
        ("cursor:pointer", ""),
        ("position:fixed", ""),
        ("mso-style-name:x", ""),
        # what is broken
        ("color", ""),
        (":red", ""),
        ("color:", ""),
        ("color:'red", ""),
        ("color:red}a{color:blue", ""),
        ("color:</style>", ""),
        ("color:rgb(rgb(1))", ""),
        ("color:a:b", ""),
        ("color:@x", ""),
    ],
)  # fmt: skip
def test_declarations(style: str, kept: str) -> None:
    assert clean_declarations(style) == kept


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        ("p{color:red}", "p { color: red }"),
        ("p.MsoNormal, li > a {color:red} td{width:1px}",
         "p.MsoNormal, li > a { color: red }\ntd { width: 1px }"),
        ("<!-- p{color:red} -->", "p { color: red }"),
        ("@import url(x);p{color:red}", "p { color: red }"),
        ("@charset 'x'; @import 'y'; p{color:red}", "p { color: red }"),
        ("@media print{p{color:red}} a{color:red}", "a { color: red }"),
        ("@font-face{font-family:x;src:url(x)}", ""),
        ("@media x{@media y{p{color:red}}}a{color:red}", "a { color: red }"),
        ("a:hover{color:red}", ""),
        ("a[href^=x]{color:red}", ""),
        ("p{background:url(x)}", ""),
        ("p{}", ""),
        ("{color:red}", ""),
        ("}p{color:red}", "p { color: red }"),
        ("p{color:red", ""),
        ("p{color:red}}a{color:red}", "p { color: red }\na { color: red }"),
        ("", ""),
    ],
)  # fmt: skip
def test_sheets(sheet: str, kept: str) -> None:
    assert clean_sheet(sheet) == kept


@given(st.text(alphabet="{}();:'\"\\/*@<>urlcop, red-!.#", max_size=80))
def test_whatever_a_style_is_nothing_loads(text: str) -> None:
    for kept in (
        clean_declarations(text),
        clean_declarations(f"color:{text}"),
        clean_sheet(text),
        clean_sheet(f"p{{color:{text}}}"),
    ):
        assert not re.search(r"url\(|[@\\<]|:\S|(?<!rgb|hsl)(?<!rgba|hsla)\(", kept)


@pytest.mark.parametrize("piece", ["/*", "{", "}", ";", "a{", "color:", "rgb(", "'", "a", " ", ":"])
def test_the_time_grows_with_the_style(piece: str) -> None:
    assert grows_linearly(lambda n: piece * n, clean_sheet, 3_000)
    assert grows_linearly(lambda n: "color:" + piece * n, clean_declarations, 3_000)
