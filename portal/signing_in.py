"""Signing in and out, and the language switch: the pages that everybody may open."""

from dataclasses import replace

from flask import flash, redirect, request, session, url_for
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired

from core.accounts import sessions
from core.accounts.preferences import change_preferences, preferences_of
from core.accounts.signing_in import SignInFailed, sign_in
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.words import AccountKind
from portal.areas import Area, Audience, home_of, home_of_kind
from portal.customer_sources import live_sources
from portal.database import database, writing
from portal.forms import REQUIRED, Form
from portal.identity_providers import providers_for
from portal.languages import COOKIE, COOKIE_SECONDS
from portal.limits import SIGN_IN, limiter
from portal.navigation import next_path, own_path
from portal.staff_directory import staff_directory
from portal.visitors import (
    Viewer,
    is_secure,
    peer,
    remove_session_cookie,
    set_session_cookie,
    viewer,
)

area = Area("signing_in", __name__, Audience.EVERYBODY)


class SignInForm(Form):
    """Who somebody says they are."""

    login = StringField(_l("Login or mail address"), [InputRequired(REQUIRED)])
    password = PasswordField(_l("Password"), [InputRequired(REQUIRED)])


@area.get("/")
def start() -> Response:
    """Lead everybody to the page where they start."""
    return redirect(home_of(viewer()), 303)


@area.get("/sign-in")
def customer() -> Response:
    """Show the sign-in of customers."""
    return _show(AccountKind.CUSTOMER)


@area.post("/sign-in")
@limiter.limit(SIGN_IN)
def customer_post() -> Response:
    """Sign a customer in."""
    return _sign_in(AccountKind.CUSTOMER)


@area.get("/staff/sign-in")
def staff() -> Response:
    """Show the sign-in of staff."""
    return _show(AccountKind.STAFF)


@area.post("/staff/sign-in")
@limiter.limit(SIGN_IN)
def staff_post() -> Response:
    """Sign a member of staff in."""
    return _sign_in(AccountKind.STAFF)


@area.post("/sign-out")
def sign_out() -> Response:
    """End the session of this browser."""
    who = viewer()
    kind = AccountKind.CUSTOMER if who is None else who.kind
    if who is not None:
        sessions.sign_out(writing(), who.visit, peer())
    session.clear()
    flash(_("You are signed out."))
    response = redirect(_address(kind), 303)
    remove_session_cookie(response)
    return response


@area.post("/language")
def language() -> Response:
    """Switch the language: of the account, or of this browser where nobody is signed in."""
    chosen = request.form.get("language", "")
    who = viewer()
    response = redirect(next_path(home_of(who)), 303)
    if chosen not in LANGUAGES:
        return response
    if who is not None:
        _prefer(who, chosen)
    response.set_cookie(
        COOKIE,
        chosen,
        max_age=COOKIE_SECONDS,
        secure=is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return response


def _show(kind: AccountKind) -> Response:
    who = viewer()
    if who is not None:
        return redirect(home_of(who), 303)
    return _page(SignInForm(formdata=None), kind)


def _sign_in(kind: AccountKind) -> Response:
    form = SignInForm()
    if not form.validate():
        return _page(form, kind)
    agent = request.user_agent.string
    try:
        signed_in = sign_in(
            database(),
            kind,
            form.login.data,
            form.password.data,
            peer=peer(),
            agent=agent,
            sources=live_sources(),
            directory=staff_directory(),
        )
    except SignInFailed as failure:
        form.form_errors.append(str(failure))
        response = _page(form, kind)
        if failure.wait_seconds:
            response.status_code = 429
            response.headers["Retry-After"] = str(failure.wait_seconds)
        return response
    before = viewer()
    if before is not None:
        sessions.sign_out(writing(), before.visit, peer())
    session.clear()  # a form's token from before the sign-in is worth nothing after it
    response = redirect(next_path(home_of_kind(kind)), 303)
    set_session_cookie(response, signed_in.token)
    return response


def _page(form: SignInForm, kind: AccountKind) -> Response:
    return form.answer(
        "portal/sign_in.html",
        for_staff=kind is AccountKind.STAFF,
        providers=[provider.section for provider in providers_for(kind)],
        next=own_path(request.values.get("next")),
    )


def _address(kind: AccountKind) -> str:
    return url_for("signing_in.staff" if kind is AccountKind.STAFF else "signing_in.customer")


def _prefer(who: Viewer, chosen: str) -> None:
    session_ = writing()
    account = who.account_in(session_)
    wanted = preferences_of(account)
    if wanted.language != chosen:
        change_preferences(session_, who.actor, account, replace(wanted, language=chosen))
