"""A forgotten password: asking for a link by mail, and choosing a new one with it.

Which accounts there are is not told: the page writes down what was asked for, and the worker does
the rest (``core.accounts.password_links``). Opening a link changes nothing, for programs that
check mail open links, too; only sending the form uses it up. Threat model, W5 and W6.
"""

from flask import flash, make_response, redirect, render_template, session, url_for
from werkzeug.wrappers import Response
from wtforms import StringField
from wtforms.validators import DataRequired

from core.accounts import sessions
from core.accounts.account import Account, kind_of
from core.accounts.password_links import (
    LINK_MINUTES,
    account_of_token,
    ask_for_password,
    set_password_with,
)
from core.accounts.passwords import MIN_CHARACTERS, check_password_rules, hash_password
from core.accounts.signing_in import MAX_NAME, too_many_attempts
from core.i18n import current_language
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.words import AccountKind
from portal.account import PasswordForm
from portal.areas import Area, Audience, home_of
from portal.database import reading, writing
from portal.forms import REQUIRED, Form
from portal.limits import SIGN_IN, limiter
from portal.visitors import peer, remove_session_cookie, viewer

area = Area("passwords", __name__, Audience.EVERYBODY)

GONE = 410  # RFC 9110: it was here, and will not be again
_SIGN_IN = {
    AccountKind.CUSTOMER: "signing_in.customer",
    AccountKind.STAFF: "signing_in.staff",
}
_ASKED = {AccountKind.CUSTOMER: "passwords.asked", AccountKind.STAFF: "passwords.staff_asked"}


class AskForm(Form):
    """Whose password was forgotten."""

    login = StringField(_l("Login or mail address"), [DataRequired(REQUIRED)])


class ChoosePasswordForm(PasswordForm):
    """A new password twice; a link stands for the old one."""

    old_password = None  # how WTForms leaves a field out


@area.route("/password", methods=["GET", "POST"])
@limiter.limit(SIGN_IN, methods=["POST"])
def customer() -> Response:
    """Ask for a link for a customer user."""
    return _ask(AccountKind.CUSTOMER)


@area.route("/staff/password", methods=["GET", "POST"])
@limiter.limit(SIGN_IN, methods=["POST"])
def staff() -> Response:
    """Ask for a link for a member of staff."""
    return _ask(AccountKind.STAFF)


@area.get("/password/asked")
def asked() -> str:
    """Say what happens now, whoever was asked for."""
    return _asked(AccountKind.CUSTOMER)


@area.get("/staff/password/asked")
def staff_asked() -> str:
    """Say the same to staff."""
    return _asked(AccountKind.STAFF)


@area.route("/password/<token>", methods=["GET", "POST"])
@limiter.limit(SIGN_IN, methods=["POST"])
def choose(token: str) -> Response:
    """Show the form for a new password, and set it."""
    account = account_of_token(reading(), token)
    if account is None:
        return _gone()
    form = ChoosePasswordForm()
    if form.validate_on_submit():
        with form.errors_of_core():
            check_password_rules(form.password.data, account.login)
            hashed = hash_password(form.password.data)  # slow: before the transaction
            changed = set_password_with(writing(), token, hashed, peer=peer())
            return _gone() if changed is None else _to_sign_in(changed)
    return form.answer(
        "account/choose_password.html", account=account, min_characters=MIN_CHARACTERS
    )


def _ask(kind: AccountKind) -> Response:
    who = viewer()
    if who is not None:
        return redirect(home_of(who), 303)
    form = AskForm()
    if form.validate_on_submit():
        wait = ask_for_password(
            writing(),
            form.login.data,
            staff=kind is AccountKind.STAFF,
            language=current_language(),
            peer=peer(),
        )
        if wait is None:
            return redirect(url_for(_ASKED[kind]), 303)
        form.form_errors.append(too_many_attempts(wait))
        response = _ask_page(form, kind)
        response.status_code = 429
        response.headers["Retry-After"] = str(wait.seconds)
        return response
    return _ask_page(form, kind)


def _ask_page(form: AskForm, kind: AccountKind) -> Response:
    return form.answer(
        "account/ask_password.html",
        max_name=MAX_NAME,
        minutes=LINK_MINUTES,
        sign_in=url_for(_SIGN_IN[kind]),
    )


def _asked(kind: AccountKind) -> str:
    return render_template(
        "account/password_asked.html",
        for_staff=kind is AccountKind.STAFF,
        minutes=LINK_MINUTES,
        sign_in=url_for(_SIGN_IN[kind]),
    )


def _gone() -> Response:
    """Answer a link that opens nothing: whether it ever did is nobody's business."""
    return make_response(render_template("account/link_gone.html", minutes=LINK_MINUTES), GONE)


def _to_sign_in(account: Account) -> Response:
    """Lead to the sign-in of the account; whoever was signed in with this browser is not now."""
    before = viewer()
    if before is not None:
        sessions.sign_out(writing(), before.visit, peer())
    session.clear()  # a form's token from before is worth nothing after it
    flash(_("Your new password is set. Please sign in with it."))
    response = redirect(url_for(_SIGN_IN[kind_of(account)]), 303)
    if before is not None:
        remove_session_cookie(response)
    return response
