"""In which language and time zone a page is shown."""

from functools import cache
from zoneinfo import ZoneInfo

from flask import g, request

from core.i18n import LANGUAGES, set_language
from core.organisation import Organisation
from core.time_zones import time_zones
from portal.visitors import viewer

COOKIE = "language"
COOKIE_SECONDS = 365 * 24 * 3600
FALLBACK_TIME_ZONE = "Europe/Berlin"


def choose_language(preferred: str | None = None) -> None:
    """Set the language of this request.

    The account's preference (``preferred`` where it has just changed), else what the language
    switch has stored in a cookie, else the browser's, else the installation's.
    """
    if preferred is None:
        who = viewer()
        preferred = who.account.language if who is not None else ""
    set_language(preferred or _of_browser() or _of_installation())


def time_zone() -> ZoneInfo:
    """Return the time zone of this request: the account's, else the installation's."""
    who = viewer()
    own = who.account.time_zone if who is not None else ""
    here: Organisation | None = g.get("organisation")
    return ZoneInfo(own or (here.settings.time_zone if here else FALLBACK_TIME_ZONE))


@cache
def zone_choices() -> tuple[tuple[str, str], ...]:
    """Return the time zones of places with the words for them, in the order of their names."""
    return tuple((zone, zone.replace("_", " ")) for zone in sorted(time_zones()) if "/" in zone)


def _of_browser() -> str | None:
    cookie = request.cookies.get(COOKIE)
    return cookie if cookie in LANGUAGES else request.accept_languages.best_match(LANGUAGES)


def _of_installation() -> str:
    here: Organisation | None = g.get("organisation")
    return here.settings.language if here else LANGUAGES[0]
