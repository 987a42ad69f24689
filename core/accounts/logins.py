"""Logins: how they are compared, for customer users and staff alike."""

from core.errors import Invalid
from core.i18n import gettext as _
from core.mail.text import one_line
from core.text import exact, fold

MAX_LOGIN_KEY = 200


def login_key(login: str) -> str:
    """Return the key by which logins are compared: no two accounts differ only by case."""
    return fold(exact(one_line(login)))


def checked_login_key(login: str) -> str:
    """Return the key of a login that somebody entered; raise ``Invalid`` if it cannot be one."""
    key = login_key(login)
    if not key:
        raise Invalid("login", _("Please choose a login with letters or digits."))
    if len(key) > MAX_LOGIN_KEY:
        raise Invalid("login", _("At most %(limit)d characters.", limit=MAX_LOGIN_KEY))
    return key
