"""Preferences: what people set for themselves and admins may set for them."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.accounts.account import Account, object_kind_of
from core.accounts.saving import Problems, record_saved
from core.audit import Actor
from core.errors import Invalid
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.models import CustomerUser, Staff, now
from core.time_zones import time_zones

THEMES = ("auto", "light", "dark")
MIN_TICKETS_PER_PAGE = 5
MAX_TICKETS_PER_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How the pages look, and whether mail tells of news.

    An empty language follows the browser, an empty time zone the settings. ``notices`` are for
    customer users; the ``digest`` of held mail is for staff.
    """

    language: str = ""
    theme: str = "auto"
    time_zone: str = ""
    tickets_per_page: int = 25
    notices: bool = True
    digest: bool = True


def check_preferences(preferences: Preferences, problems: Problems) -> None:
    """Gather what is wrong with preferences."""
    if preferences.language and preferences.language not in LANGUAGES:
        problems.add(Invalid("language", _("There is no such language.")))
    if preferences.theme not in THEMES:
        problems.add(Invalid("theme", _("There is no such theme.")))
    if preferences.time_zone and preferences.time_zone not in time_zones():
        problems.add(Invalid("time_zone", _("There is no such time zone.")))
    if not MIN_TICKETS_PER_PAGE <= preferences.tickets_per_page <= MAX_TICKETS_PER_PAGE:
        problems.add(
            Invalid(
                "tickets_per_page",
                _(
                    "From %(least)d to %(most)d.",
                    least=MIN_TICKETS_PER_PAGE,
                    most=MAX_TICKETS_PER_PAGE,
                ),
            )
        )


def preferences_of(account: Account) -> Preferences:
    """Return the preferences of an account."""
    return Preferences(
        language=account.language,
        theme=account.theme,
        time_zone=account.time_zone,
        tickets_per_page=account.tickets_per_page,
        notices=account.notices if isinstance(account, CustomerUser) else True,
        digest=account.digest if isinstance(account, Staff) else True,
    )


def set_preferences(account: Account, preferences: Preferences) -> None:
    """Put checked preferences into an account."""
    account.language = preferences.language
    account.theme = preferences.theme
    account.time_zone = preferences.time_zone
    account.tickets_per_page = preferences.tickets_per_page
    if isinstance(account, CustomerUser):
        account.notices = preferences.notices
    else:
        account.digest = preferences.digest


def change_preferences(
    session: Session, actor: Actor, account: Account, preferences: Preferences
) -> None:
    """Store the preferences of an account where they differ. Raises ``InvalidFields``."""
    problems = Problems()
    check_preferences(preferences, problems)
    problems.raise_any()
    before = preferences_of(account)
    set_preferences(account, preferences)
    after = preferences_of(account)
    if after == before:
        return
    account.changed_at = now()
    kind = object_kind_of(account)
    record_saved(session, actor, kind, account.id, account.login, before, after)
