"""Logins: how they are compared, for customer users and staff alike."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.account import object_kind_of
from core.errors import Duplicate, Holder, Invalid
from core.i18n import gettext as _
from core.mail.text import one_line
from core.models import CustomerUser, Staff
from core.text import exact, fold

MAX_LOGIN_KEY = 200

Person = TypeVar("Person", CustomerUser, Staff)


def login_key(login: str) -> str:
    """Return the key by which logins are compared: no two accounts differ only by case."""
    return fold(exact(one_line(login)))


def person_with_key(session: Session, accounts: type[Person], key: str) -> Person | None:
    """Return the account with this key of a login, if any."""
    return session.scalars(select(accounts).where(accounts.login_key == key)).one_or_none()


def check_login(
    login: str, current: Person | None, holder_of: Callable[[str], Person | None]
) -> None:
    """Raise ``Invalid`` for a login that cannot be one, ``Duplicate`` for another account's.

    ``holder_of`` returns who has a key. A customer user and a member of staff may have the same
    login.
    """
    holder = holder_of(_checked_key(login))
    if holder is not None and holder is not current:
        raise Duplicate(
            "login",
            _('There is already an account with the login "%(login)s".', login=holder.login),
            Holder(object_kind_of(holder), holder.id, holder.login),
        )


def _checked_key(login: str) -> str:
    key = login_key(login)
    if not key:
        raise Invalid("login", _("Please choose a login with letters or digits."))
    if len(key) > MAX_LOGIN_KEY:
        raise Invalid("login", _("At most %(limit)d characters.", limit=MAX_LOGIN_KEY))
    return key
