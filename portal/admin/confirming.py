"""Asking before a change hides tickets from the customers who wrote them.

A view saves first, so that every other problem has been told before, and hands over what it comes
to. If somebody has to be asked, the work is undone and comes again with the number that they have
agreed to; should it be more by then, they are asked again.
"""

from flask import make_response, render_template, request
from werkzeug.wrappers import Response

from core.accounts.consequences import Consequences
from portal.database import finish_writing

_CONFIRMED = "confirmed"
_NOT_REPEATED = frozenset([_CONFIRMED, "csrf_token"])


def ask_first(consequences: Consequences, cancel: str) -> Response | None:
    """Return the page that asks, or None where there is nothing to ask (any more)."""
    confirmed = request.form.get(_CONFIRMED, 0, type=int)
    if consequences.hidden <= confirmed:
        return None
    finish_writing(keep=False)
    sent = [pair for pair in request.form.items(multi=True) if pair[0] not in _NOT_REPEATED]
    page = render_template(
        "admin/confirm_hiding.html",
        action=request.full_path.rstrip("?"),
        cancel=cancel,
        consequences=consequences,
        fields=[*sent, (_CONFIRMED, consequences.hidden)],
    )
    return make_response(page)
