"""Where a request may be sent to: our own paths only (threat model, W8)."""

import re

from flask import request

# A path of ours: one slash, then nothing that a browser reads as another host or as a new line.
_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
MAX_PATH = 2000


def own_path(text: str | None) -> str | None:
    """Return the path if it leads nowhere but to a page of ours, else None.

    Browsers take ``//host``, ``/\\host`` and ``/<TAB>/host`` for another host.
    """
    if text and len(text) <= MAX_PATH and _OWN_PATH.fullmatch(text):
        return text
    return None


def next_path(fallback: str) -> str:
    """Return where ``next`` of this request leads, if that is a page of ours."""
    return own_path(request.values.get("next")) or fallback
