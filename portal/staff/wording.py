"""Values as the templates of staff pages show them."""

from collections.abc import Sequence
from datetime import datetime

from babel.dates import format_datetime, format_timedelta
from markupsafe import Markup

from core.i18n import gettext as _
from core.models import now
from portal.formats import locale
from portal.languages import time_zone


def age(at: datetime) -> Markup:
    """Return a ``<time>`` that says how long ago it was: for what waits, that says most.

    The instant is its title.
    """
    shown = format_timedelta(at - now(), add_direction=True, locale=locale())
    title = format_datetime(at, "long", time_zone(), locale())
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), title, shown
    )


def texts_of(defects: Sequence[str]) -> list[str]:
    """Return what is wrong with a mail, stored as message ids, in the language of the page."""
    return [_(defect) for defect in defects]
