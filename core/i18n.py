"""Texts for people in their language. Message ids are English; German lives in catalogues.

The language is a context variable: the portal sets it per request, whatever composes a mail sets
it per recipient, the console keeps English. Catalogues are read from ``.po`` files directly, so no
compiled file has to be built, shipped or forgotten.
"""

import gettext as stdlib_gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import LazyProxy

LANGUAGES = ("de", "en")
SOURCE_LANGUAGE = "en"

_language: ContextVar[str] = ContextVar("language", default=SOURCE_LANGUAGE)
_FOLDER = Path(__file__).parent / "translations"


@cache
def translations(language: str) -> stdlib_gettext.NullTranslations:
    """Return the catalogue of ``language``: all ``.po`` files of its folder as one."""
    merged: stdlib_gettext.NullTranslations = stdlib_gettext.NullTranslations()
    for path in sorted((_FOLDER / language).glob("*.po")):
        with path.open("rb") as source:
            catalogue = read_po(source, locale=language)
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        area = stdlib_gettext.GNUTranslations(compiled)
        area.add_fallback(merged)
        merged = area
    return merged


def current_language() -> str:
    """Return the language that texts are made in here and now."""
    return _language.get()


def set_language(language: str) -> None:
    """Make texts of this context in ``language``; an unknown one means English."""
    _language.set(language if language in LANGUAGES else SOURCE_LANGUAGE)


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Make the texts of this block in ``language``."""
    token = _language.set(language if language in LANGUAGES else SOURCE_LANGUAGE)
    try:
        yield
    finally:
        _language.reset(token)


def gettext(message: str, **values: object) -> str:
    """Return ``message`` in the current language, with ``%(name)s`` filled from ``values``."""
    translated = translations(_language.get()).gettext(message)
    return translated % values if values else translated


def ngettext(singular: str, plural: str, number: int, **values: object) -> str:
    """Return the form for ``number``; ``%(num)d`` is the number."""
    translated = translations(_language.get()).ngettext(singular, plural, number)
    return translated % {"num": number, **values}


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Mark a text for translation that is translated later, where it is shown."""
    return message


def lazy_gettext(message: str) -> LazyProxy:
    """Return a text that is translated when it is shown: for labels of forms."""
    return LazyProxy(gettext, message, enable_cache=False)
