"""Giving somebody a password: a chosen one, or one that is made up and shown a single time.

A made-up password stands on the page that answers the form and nowhere else: not in a cookie, an
address, a log or the database.
"""

from dataclasses import dataclass

from flask import make_response, render_template
from werkzeug.wrappers import Response
from wtforms import PasswordField, RadioField

from core.accounts.account import Account
from core.accounts.passwords import check_password_rules, hash_password, new_one_time_password
from core.i18n import lazy_gettext as _l
from portal.forms import Form, choices

MADE_UP, CHOSEN, LATER = "made-up", "chosen", "later"
_WAYS = (
    (MADE_UP, _l("Generate one and show it once")),
    (CHOSEN, _l("Choose one:")),
)


class PasswordForm(Form):
    """How an account gets its password."""

    password_way = RadioField(_l("Password"), choices=choices(_WAYS), default=MADE_UP)
    password = PasswordField(_l("Chosen password"))


class FirstPasswordForm(PasswordForm):
    """The same for a new account, which may do without at first."""

    password_way = RadioField(
        _l("Password"),
        choices=choices([*_WAYS, (LATER, _l("None yet: mail only, no sign-in"))]),
        default=MADE_UP,
    )


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password ready to be stored; ``shown`` is what the admin is to see, "" for a chosen one."""

    hashed: str
    shown: str


def new_password(form: PasswordForm, login: str) -> NewPassword | None:
    """Return the password that a form asks for, None for none.

    Hashing is slow on purpose: call this before a writing transaction begins. Raises ``Invalid``.
    """
    match form.password_way.data:
        case "made-up":
            made_up = new_one_time_password()
            return NewPassword(hash_password(made_up), made_up)
        case "chosen":
            chosen = form.password.data or ""
            check_password_rules(chosen, login)
            return NewPassword(hash_password(chosen), "")
        case _:
            return None


def shown_once(account: Account, password: str, back: str, *, is_new: bool) -> Response:
    """Return the page that shows a made-up password, the only time."""
    page = render_template(
        "admin/password_once.html", account=account, back=back, is_new=is_new, password=password
    )
    return make_response(page)
