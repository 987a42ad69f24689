"""What templates may use, made fast: a list calls these some hundred times.

Texts, addresses of pages without arguments, dates and chips are the same again and again, so they
are kept. All of them are bounded by what our templates contain, dates by a limit.
"""

from functools import cache
from typing import Any

from flask import Flask, request
from flask import url_for as flask_url_for
from jinja2 import StrictUndefined
from markupsafe import Markup, escape

from core.i18n import current_language, translations
from core.labels import label, reason_label
from core.mail.authentication.findings import chips
from core.mail.text import split_quoted
from portal.areas import home_of
from portal.assets import asset, bootstrap_css, icon
from portal.formats import browser_name, day, file_size, moment, number
from portal.forms import is_password, is_required
from portal.visitors import viewer
from portal.vocabulary import LANGUAGE_NAMES, chip, look_of


def set_up_templates(app: Flask) -> None:
    """Give the templates of the app their functions, filters and tests."""
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(
        browser=browser_name, day=day, file_size=file_size, number=number, quoted=split_quoted
    )
    environment.globals.update(
        _=text,
        asset=asset,
        bootstrap_css=bootstrap_css,
        chip_of=chip,
        findings_of=chips,
        home_of=home_of,
        icon=icon,
        is_password=is_password,
        is_required=is_required,
        label=label,
        language=current_language,
        language_names=LANGUAGE_NAMES,
        look_of=look_of,
        moment=moment,
        ngettext=plural_text,
        reason_label=reason_label,
        url_for=url_for,
        viewer=viewer,
    )
    environment.tests["here"] = _is_here


def text(message: str, **values: object) -> Markup:
    """Return a text of ours in the language of the page; the values are escaped."""
    translated = _text(current_language(), message)
    return translated % values if values else translated


def plural_text(singular: str, plural: str, count: int, **values: object) -> Markup:
    """Return the form for ``count``, which is ``num`` in the text; the values are escaped."""
    found = translations(current_language()).ngettext(singular, plural, count)
    return escape(found) % {"num": count, **values}


def url_for(endpoint: str, **values: Any) -> str:
    """Return Flask's ``url_for``, kept where nothing but the endpoint decides."""
    if values:
        return flask_url_for(endpoint, **values)
    if endpoint.startswith("."):
        endpoint = f"{request.blueprint}{endpoint}"
    return _plain_url(request.root_path, endpoint)


@cache
def _text(language: str, message: str) -> Markup:
    return escape(translations(language).gettext(message))


@cache
def _plain_url(_root_path: str, endpoint: str) -> str:
    return flask_url_for(endpoint)


def _is_here(endpoint: str) -> bool:
    """Whether this page is, or lies below, the page or area that is named."""
    return (request.endpoint or "") == endpoint or request.blueprint == endpoint
