"""What templates, scripts and styles must not contain.

The content security policy forbids inline script and style; what slips in anyway does nothing in
the browser, so it is caught here.
"""

import re
from pathlib import Path

import pytest

from tests.support.sources import files, shown

# (what it looks like, what to do instead)
FORBIDDEN_IN_TEMPLATES = {
    "inline style": (r"<[^>]*\sstyle\s*=", "give it a class"),
    "style element": (r"<style\b", "write it into portal/static"),
    "inline handler": (r"<[^>]*\son[a-z]+\s*=", "listen in a script of portal/static"),
    "inline script": (r"<script\b(?![^>]*\bsrc=)(?![^>]*\btype=.application/json)", "use src="),
    "script address": (r"javascript:", "listen in a script of portal/static"),
    "unescaped text": (r"\|\s*safe\b", "return Markup where the text was made safe"),
    "escaping off": (r"autoescape\s+false", "return Markup where the text was made safe"),
    "foreign address": (r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//", "serve it ourselves"),
}
FORBIDDEN_IN_ASSETS = {
    "foreign address": (r"(?:url\(|@import|fetch\()\s*[\"']?(?:https?:)?//", "serve it ourselves"),
    "markup from text": (r"\.(?:innerHTML|outerHTML)\s*=|insertAdjacentHTML|document\.write|eval\(",
                         "use textContent or parse with DOMParser"),
}  # fmt: skip
FORBIDDEN_EVERYWHERE = {"reminder": (r"\b(?:TODO|FIXME|XXX)\b", "do it, or write an issue")}


@pytest.mark.parametrize("what", FORBIDDEN_IN_TEMPLATES | FORBIDDEN_EVERYWHERE)
def test_templates_hold_no(what: str) -> None:
    pattern, instead = (FORBIDDEN_IN_TEMPLATES | FORBIDDEN_EVERYWHERE)[what]
    templates = [*files("templates", suffix=".html"), *files("templates", suffix=".txt")]
    assert templates
    assert_none(found_in(templates, pattern), instead)


@pytest.mark.parametrize("what", FORBIDDEN_IN_ASSETS | FORBIDDEN_EVERYWHERE)
def test_scripts_and_styles_hold_no(what: str) -> None:
    pattern, instead = (FORBIDDEN_IN_ASSETS | FORBIDDEN_EVERYWHERE)[what]
    assets = [*files("portal/static", suffix=".js"), *files("portal/static", suffix=".css")]
    assert assets
    assert_none(found_in(assets, pattern), instead)


def found_in(paths: list[Path], pattern: str) -> list[str]:
    expression = re.compile(pattern, re.IGNORECASE)
    return [
        f"{shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()[:80]}"
        for path in paths
        for text in [path.read_text(encoding="utf-8")]
        for match in expression.finditer(text)
    ]


def assert_none(found: list[str], instead: str) -> None:
    assert not found, f"{instead}:\n" + "\n".join(found)
