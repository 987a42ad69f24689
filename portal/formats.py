"""Dates, sizes and numbers as people of the page's language read them.

Formatting a date costs more than a query, and lists show the same minutes again and again, so
what was formatted is kept.
"""

from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name
from babel.numbers import format_decimal
from markupsafe import Markup

from core.i18n import current_language
from core.i18n import gettext as _
from core.models import now
from portal.languages import time_zone

KEPT = 4096
_UNITS = ("B", "kB", "MB", "GB")
_LOCALES = {"de": "de_DE", "en": "en_GB"}


def moment(at: datetime | None, *, full: bool = False) -> Markup:
    """Return a ``<time>``: today's with the time only, unless ``full``; all of it as its title."""
    if at is None:
        return Markup("–")
    zone = time_zone()
    is_today = at.astimezone(zone).date() == now().astimezone(zone).date()
    return _moment(at, zone, locale(), is_today, full)


def day(on: date | None) -> str:
    """Return a day without a time."""
    return "–" if on is None else format_date(on, "medium", locale())


def file_size(size: int) -> str:
    """Return a number of bytes in the unit that suits it, a thousand to the next (IEC 80000-13)."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    pattern = "#,##0" if unit == 0 or value >= 100 else "#,##0.#"
    return f"{format_decimal(value, pattern, locale())}\u00a0{_UNITS[unit]}"


def number(value: int) -> str:
    """Return a whole number with its thousands apart."""
    return str(value) if -1000 < value < 1000 else format_decimal(value, locale=locale())


def locale() -> str:
    """Return the name under which Babel knows the language of this page."""
    return _LOCALES[current_language()]


@lru_cache(maxsize=KEPT)
def _moment(at: datetime, zone: ZoneInfo, in_locale: str, is_today: bool, full: bool) -> Markup:
    local = at.astimezone(zone)
    clock = format_time(local, "short", zone, in_locale)
    zone_name = get_timezone_name(local, "short", locale=in_locale)
    title = f"{format_date(local.date(), 'full', in_locale)}, {clock} {zone_name}"
    shown = f"{format_date(local.date(), 'medium', in_locale)}, {clock}"
    if is_today and not full:
        shown = _("today, %(time)s", time=clock)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), title, shown
    )


# What a browser calls itself names those it wants to be taken for, too: the first match counts.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """Return what a browser calls itself as people would say it: *Firefox, Windows*."""
    names = [
        next((name for word, name in table if word in agent), "") for table in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(filter(None, names)) or agent[:60] or _("unknown")
