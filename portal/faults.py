"""What people see when something goes wrong: one place, one page, no details.

What core raises for people becomes an answer here; what nobody expected becomes an id that stands
on the page and in the log. A page that may not be seen looks like one that does not exist.
"""

import logging
import secrets
from collections.abc import Mapping
from time import time
from urllib.parse import urlsplit

from flask import Flask, make_response, render_template, request
from flask_limiter.errors import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from core.errors import (
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    InvalidFields,
    NotFound,
    SchalterError,
    Stale,
)
from core.i18n import N_, ngettext
from core.i18n import gettext as _
from portal.limits import limiter
from portal.logged import logged_path

log = logging.getLogger(__name__)

RETRY_SECONDS = 10
MAX_TYPED = 20  # fields that are shown again
_SECRETS = ("password", "repeated", "token")

# Title, and what to do.
_NOT_UNDERSTOOD = (
    N_("That did not work"),
    N_("The request was not understood. Please go back and try again."),
)
PAGES: Mapping[int, tuple[str, str]] = {
    400: _NOT_UNDERSTOOD,
    401: (
        N_("Please sign in again"),
        N_("You are no longer signed in, so nothing was sent."),
    ),
    403: (N_("Not allowed"), N_("You may not do this with your account.")),
    404: (N_("Not found"), N_("There is no such page, or your account may not see it.")),
    405: _NOT_UNDERSTOOD,
    409: (N_("Changed in the meantime"), N_("Please look at the current state and try again.")),
    413: (N_("Too big"), N_("What you sent is bigger than allowed, so nothing was stored.")),
    422: (N_("That did not work"), N_("Please go back, correct it and send it again.")),
    429: (N_("Too many requests"), N_("Please wait a moment, then try again.")),
    500: (N_("Something went wrong"), N_("Nothing was stored. We have a note of what happened.")),
    503: (N_("Not available at the moment"), N_("Please try again in a moment.")),
}  # fmt: skip
_STATUS: tuple[tuple[type[SchalterError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (Stale, 409),
    (Invalid, 422),
    (InvalidFields, 422),
)


def register_faults(app: Flask) -> None:
    """Make the answers of this module those of the app."""
    app.register_error_handler(CSRFError, _expired)
    app.register_error_handler(RateLimitExceeded, _too_many)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(SchalterError, _told)
    for kind in (OperationalError, InterfaceError, PoolTimeout, DatabaseUnavailable):
        app.register_error_handler(kind, _no_database)
    app.register_error_handler(Exception, _unexpected)


def _page(status: int, **context: object) -> Response:
    title, advice = PAGES.get(status, PAGES[500 if status >= 500 else 400])
    context = {"title": _(title), "advice": _(advice), "typed": {}, "incident": "", **context}
    return make_response(render_template("errors/error.html", status=status, **context), status)


def _http(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    status = error.code or 500
    answer = _page(status, typed=_typed() if status == 401 else {})
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            answer.headers[name] = value
    return answer


def _expired(_error: CSRFError) -> Response:
    advice = _("The form was too old or did not come from this page, so nothing was sent.")
    return _page(400, title=_("Please send it again"), advice=advice, typed=_typed())


def _too_many(_error: RateLimitExceeded) -> Response:
    current = limiter.current_limit
    wait = max(1, int(current.reset_at - time())) if current is not None else RETRY_SECONDS
    advice = ngettext("Please wait %(num)d second, then try again.",
                      "Please wait %(num)d seconds, then try again.", wait)  # fmt: skip
    answer = _page(429, advice=advice, typed=_typed())
    answer.headers["Retry-After"] = str(wait)
    return answer


def _told(error: SchalterError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
    if status == 404:
        return _page(404)  # the text might tell what there is
    if isinstance(error, InvalidFields):
        return _page(status, advice=" ".join(each.message for each in error.errors))
    return _page(status, advice=error.message if isinstance(error, Invalid) else str(error))


def _no_database(error: Exception) -> Response:
    log.error("no database for %s %s: %s", request.method, logged_path(), _reason(error))
    answer = _page(503, typed=_typed())
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _unexpected(_error: Exception) -> Response:
    incident = secrets.token_hex(4)
    log.exception("request failed (%s): %s %s", incident, request.method, logged_path())
    return _page(500, incident=incident, typed=_typed())


def _typed() -> dict[str, str]:
    """Return the texts of a refused form, so that nobody has to write them again.

    Only for a form of ours: somebody else's page must not put words into our mouth.
    """
    if request.method != "POST" or not _is_from_here():
        return {}
    try:
        entered = request.form.items()
        texts = {
            name: value
            for name, value in entered
            if value.strip() and not any(secret in name for secret in _SECRETS)
        }
    except HTTPException:  # the form itself was the problem
        return {}
    return dict(list(texts.items())[:MAX_TYPED])


def _is_from_here() -> bool:
    origin = request.headers.get("Origin") or request.referrer
    return bool(origin) and urlsplit(origin).netloc == request.host


def _reason(error: Exception) -> str:
    """Return the driver's reason; the statement and its values stay out of the log."""
    original = getattr(error, "orig", None)
    return str(original or error).strip().splitlines()[0]
