"""The Flask application: which parts it has, and what happens to each request.

How to add a page (for the staff and admin areas as for this one):

1. A module ``portal/AREA/SUBJECT.py`` with an ``Area`` (``portal.areas``), which says who may
   open its pages: ``area = Area("staff_tickets", __name__, Audience.STAFF, "/staff/tickets")``.
   Add it to ``AREAS`` below; nothing else guards it, and nothing else is needed.
2. A view is: parse, one call of core, answer. It reads in ``reading()`` and writes in
   ``writing()`` (``portal.database``); who asks is ``the_viewer()`` (``portal.visitors``), for
   changes ``the_viewer().staff_in(writing())`` and ``the_viewer().actor``. What core raises
   (``NotFound``, ``Stale``, ``Forbidden``) becomes a page in ``portal.faults``; ``Invalid`` is
   put beside the fields by ``form.errors_of_core()`` (``portal.forms``). After a POST that worked:
   ``flash(_("…"))`` and ``redirect(url, 303)``. An answer of 400 and above undoes what was written.
3. A template that extends ``area.html`` and fills ``title`` and ``content``; macros are in
   ``templates/macros/`` and each says how it is called. A form contains ``{{ csrf() }}``.
   The navigation on the left is ``templates/portal/navigation.html`` for customers and
   ``templates/staff/navigation.html`` for staff and admins. No style or script attributes: the
   policy in ``portal.headers`` forbids them. Every page works without JavaScript; what scripts
   add is asked for by data attributes (``portal/static/*.js`` say which).
4. German in ``core/translations/de/``, tests with the fixtures of ``tests/support/portal.py``.
"""

import logging
from urllib.parse import urlsplit

import flask
from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from flask_babel import Babel
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from werkzeug.exceptions import abort
from werkzeug.routing import IntegerConverter, Map

from core.config import Config
from core.db import Database
from core.i18n import current_language
from core.models import MAX_ID
from core.render import template_dir
from core.secret_key import KeyRing
from portal import account, admin, customers, passwords, signing_in, single_sign_on, staff
from portal.admin.fixed import CONFIG
from portal.areas import (
    BY_SIGNED_LINK,
    OPEN_ENDPOINTS,
    Area,
    Audience,
    audience_of,
    check_every_page_has_an_audience,
    guard,
)
from portal.customer_sources import set_customer_sources
from portal.database import SAFE_METHODS, close_sessions, finish_writing, set_database
from portal.faults import register_faults
from portal.headers import add_headers
from portal.identity_providers import set_identity_providers
from portal.installation import set_installation
from portal.languages import choose_language
from portal.limits import limiter
from portal.logged import logged_path
from portal.staff_directory import set_staff_directory
from portal.templating import set_up_templates
from portal.visitors import load_visitor, note_visit, organisation, viewer

log = logging.getLogger(__name__)

AREAS: tuple[Area, ...] = (
    signing_in.area,
    single_sign_on.area,
    passwords.area,
    *customers.AREAS,
    account.customer_area,
    account.staff_area,
    *staff.AREAS,
    *admin.AREAS,
)

MAX_STRANGERS_BODY = 64 * 1024  # of a form before somebody is signed in
MAX_FIELD = 2_000_000  # bytes of one text, and of all texts of a form
MAX_PARTS = 1000
FORM_OVERHEAD = MAX_FIELD + 500_000  # what a form with files holds besides them

_csrf = CSRFProtect()


class RowId(IntegerConverter):
    """``<int:…>`` in the address of a page: what no column can hold names nothing."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=MAX_ID)


class Portal(Flask):
    """Flask, with the work of a request committed before its answer is sent."""

    def dispatch_request(self) -> ResponseReturnValue:
        """Run the view; keep what it wrote unless it fails or its answer is an error."""
        answer = self.make_response(super().dispatch_request())
        finish_writing(keep=answer.status_code < 400)
        return answer


def create_app(config: Config, database: Database) -> Portal:
    """Return the portal on this database.

    Raises ``ConfigError`` when there is no secret key.
    """
    app = Portal("portal", template_folder=template_dir())
    app.config.update(_settings(config, set_installation(app, config).keys.ring))
    app.url_map.converters["int"] = RowId
    with app.app_context():
        set_database(database)
    app.extensions[CONFIG] = config
    set_customer_sources(app, config)
    set_identity_providers(app, config)
    set_staff_directory(app, config)
    set_up_templates(app)
    app.context_processor(_of_request)
    Babel(app, locale_selector=current_language, configure_jinja=False)  # for built-in messages
    Bootstrap5(app)
    _csrf.init_app(app)
    app.before_request(_begin)
    app.before_request(guard)
    app.before_request(_note_visit)
    limiter.init_app(app)  # after ours: it is told who asks, and its page has a language
    app.after_request(add_headers)
    app.teardown_request(close_sessions)
    register_faults(app)
    for area in AREAS:
        app.register_blueprint(area)
    check_every_page_has_an_audience(app)
    return app


def _settings(config: Config, keys: KeyRing) -> dict[str, object]:
    is_secure = urlsplit(config.public_url).scheme == "https"
    retired = [key for key, _replaced in keys.retired]
    return {
        "SECRET_KEY": keys.current,
        "SECRET_KEY_FALLBACKS": retired,
        # Flask-WTF does not look at the fallbacks; its signer takes all keys, the newest last.
        "WTF_CSRF_SECRET_KEY": [*reversed(retired), keys.current],
        # The signed cookie holds the token of forms and messages for the next page. Who is
        # signed in stands in a cookie of its own (portal.visitors).
        "SESSION_COOKIE_NAME": "__Host-form" if is_secure else "form",
        "SESSION_COOKIE_SECURE": is_secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "MAX_FORM_MEMORY_SIZE": MAX_FIELD,
        "MAX_FORM_PARTS": MAX_PARTS,
        "WTF_CSRF_CHECK_DEFAULT": False,  # _begin checks, when the language is known
        "WTF_CSRF_TIME_LIMIT": None,  # a form is good as long as its session
        "WTF_CSRF_SSL_STRICT": False,  # _check_origin does it with Origin, which proxies keep
        "BOOTSTRAP_SERVE_LOCAL": True,
        "RATELIMIT_HEADERS_ENABLED": False,
        "PUBLIC_ORIGIN": "{0.scheme}://{0.netloc}".format(urlsplit(config.public_url)),
    }


def _of_request() -> dict[str, object]:
    known = flask.g.get("organisation")
    return {
        "settings": known.settings if known is not None else None,
        "organisation_name": known.settings.organisation_name if known is not None else "Schalter",
    }


def _begin() -> None:
    """Find out who asks, in which language, and whether the request is really theirs."""
    if request.endpoint in OPEN_ENDPOINTS:
        return
    choose_language()  # should the database be away, its page has the browser's language
    load_visitor()
    choose_language()
    if "\0" in request.path:
        abort(404)  # PostgreSQL could not even be asked for it
    request.max_content_length = _body_limit()
    if request.method not in SAFE_METHODS and request.endpoint not in BY_SIGNED_LINK:
        _check_origin()
        _csrf.protect()


def _body_limit() -> int:
    if viewer() is None:
        return MAX_STRANGERS_BODY if _is_for_everybody() else FORM_OVERHEAD
    return organisation().settings.upload_max_bytes + FORM_OVERHEAD


def _is_for_everybody() -> bool:
    return request.endpoint is None or audience_of(request.endpoint) is Audience.EVERYBODY


def _check_origin() -> None:
    """Refuse a form that another site has sent, whatever token it has (threat model, W3)."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {f"{request.scheme}://{request.host}", current_app.config["PUBLIC_ORIGIN"]}
    if origin not in ours:
        log.info("form from another origin refused: %s", logged_path())
        abort(400)


def _note_visit() -> None:
    if request.endpoint not in OPEN_ENDPOINTS:
        note_visit()
