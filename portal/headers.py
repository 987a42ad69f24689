"""Headers of every answer: what a browser may do with our pages, and how long it may keep them."""

from flask import current_app, request
from werkzeug.wrappers import Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
# For the HTML of a mail in its own frame: its styles, images that are part of it, nothing else.
FRAME_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
# For a file that somebody has sent: shown or saved, never run.
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"

A_YEAR = 365 * 24 * 3600


def add_headers(response: Response) -> Response:
    """Add what every answer carries; a view may have set a policy of its own."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    headers["Cache-Control"] = _caching(response)
    if current_app.config["SESSION_COOKIE_SECURE"]:
        headers["Strict-Transport-Security"] = f"max-age={A_YEAR}"
    return response


def _caching(response: Response) -> str:
    """Files of ours are addressed by their content and never change; pages are private."""
    is_file = request.endpoint in ("static", "bootstrap.static") and response.status_code < 400
    if not is_file:
        return "no-store"
    return f"public, max-age={A_YEAR}, immutable" if "v" in request.args else "no-cache"
