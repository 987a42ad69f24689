"""Giving somebody a password: a chosen one, one that is made up and shown a single time, or a link.

A made-up password stands on the page that answers the form and nowhere else: not in a cookie, an
address, a log or the database. With a link by mail no admin ever knows the password.
"""

from dataclasses import dataclass

from flask import flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import PasswordField, RadioField

from core.accounts.account import Account
from core.accounts.password_links import LINK_MINUTES, invite, last_invitation
from core.accounts.passwords import check_password_rules, hash_password, new_one_time_password
from core.accounts.signing_in import may_sign_in
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import CustomerUser, Staff
from portal.admin.stored import stored
from portal.database import reading, writing
from portal.forms import Form, choices
from portal.installation import relay_is_set_up
from portal.visitors import the_viewer

MADE_UP, CHOSEN, BY_MAIL, LATER = "made-up", "chosen", "by-mail", "later"
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
        choices=choices(
            [
                *_WAYS,
                (BY_MAIL, _l("Invite by mail: a link by which it is chosen")),
                (LATER, _l("None yet: mail only, no sign-in")),
            ]
        ),
        default=MADE_UP,
    )


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password ready to be stored; ``shown`` is what the admin is to see, "" for a chosen one."""

    hashed: str
    shown: str


def new_password(form: PasswordForm, login: str) -> NewPassword | None:
    """Return the password that a form asks for, None for none yet.

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


def say_invited(account: Account) -> None:
    """Tell that an invitation is on its way, or that it waits for a mail server."""
    if relay_is_set_up():
        flash(_("An invitation to %(address)s is on its way.", address=account.email))
    else:
        flash(_("The invitation waits: there is no mail server to send it through."), "warning")


def invited(model: type[CustomerUser] | type[Staff], object_id: int) -> Response:
    """Have an account get a link by mail, and lead back to the page of its password."""
    session = writing()
    account = stored(session, model, object_id)
    invite(session, the_viewer().actor, account)
    say_invited(account)
    return redirect(url_for(".password", object_id=object_id), 303)


def about_invitation(account: Account) -> dict[str, object]:
    """Return what ``admin/invitation.html`` shows of an account."""
    return {
        "invitation": last_invitation(reading(), account),
        "link_minutes": LINK_MINUTES,
        "may_be_invited": may_sign_in(account),
        "mail_waits": not relay_is_set_up(),
    }
