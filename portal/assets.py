"""Our own files in pages: addresses that change with their content, and icons."""

import hashlib
import re
from functools import cache
from pathlib import Path

import flask_bootstrap
from flask import request
from markupsafe import Markup

_OURS = Path(__file__).parent / "static"
_BOOTSTRAP = Path(flask_bootstrap.__file__).parent / "static" / "bootstrap5"
_ICONS = _BOOTSTRAP / "icons" / "bootstrap-icons.svg"


def asset(filename: str) -> str:
    """Return the address of a file of ``portal/static`` that may be kept for ever."""
    return f"{_root()}/static/{filename}?v={_digest(_OURS / filename)}"


def bootstrap_css() -> str:
    """Return the address of Bootstrap's style sheet as its package brings it."""
    filename = "css/bootstrap.min.css"
    return f"{_root()}/bootstrap/static/{filename}?v={_digest(_BOOTSTRAP / filename)}"


@cache
def icon(name: str) -> Markup:
    """Return a Bootstrap icon as part of the page, hidden from screen readers.

    Raises ``KeyError`` for a name that the package does not have.
    """
    # One symbol is a few hundred bytes, the whole sprite a megabyte: it is not kept.
    sprite = _ICONS.read_text(encoding="utf-8")
    found = re.search(rf'<symbol [^>]*id="{re.escape(name)}"[^>]*>(.*?)</symbol>', sprite, re.S)
    if found is None:
        raise KeyError(f"no icon {name!r} in Bootstrap's icons")
    return Markup(  # noqa: S704 - drawn by Bootstrap, read from its package
        '<svg class="icon" viewBox="0 0 16 16" fill="currentColor" aria-hidden="true" '
        f'focusable="false">{found[1]}</svg>'
    )


def _root() -> str:
    """Return the path under which a proxy has us; the files are the same under each."""
    return request.root_path


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
