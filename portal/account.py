"""One's own account: preferences, password, sessions, data. The same for customers and staff."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, SelectField
from wtforms.validators import EqualTo, InputRequired

from core.accounts.account import Account
from core.accounts.copies import check_no_copy
from core.accounts.passwords import MIN_CHARACTERS
from core.accounts.preferences import (
    MAX_TICKETS_PER_PAGE,
    MIN_TICKETS_PER_PAGE,
    Preferences,
    change_preferences,
    preferences_of,
)
from core.accounts.sessions import end_other_sessions, end_session, sessions_of
from core.accounts.signing_in import SignInFailed, change_password
from core.errors import Invalid
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.i18n import ngettext
from core.models import CustomerUser
from portal.areas import Area, Audience, home_of
from portal.database import database, reading, writing
from portal.forms import REQUIRED, Form, choices
from portal.languages import choose_language, zone_choices
from portal.limits import SIGN_IN, limiter
from portal.visitors import organisation, peer, the_viewer
from portal.vocabulary import LANGUAGE_NAMES

THEMES = (("auto", _l("Same as the device")), ("light", _l("Light")), ("dark", _l("Dark")))


class PreferencesForm(Form):
    """What people set for themselves."""

    language = SelectField(_l("Language"))
    theme = RadioField(_l("Appearance"), choices=choices(THEMES))
    time_zone = SelectField(_l("Time zone"))
    tickets_per_page = IntegerField(_l("Tickets per page"), [InputRequired(REQUIRED)])
    notices = BooleanField(_l("Tell me by mail about new answers"))
    digest = BooleanField(_l("Tell me by mail once a day what held mail waits for me"))

    def offer(self) -> None:
        """Fill in what can be chosen here and now."""
        self.language.choices = choices([("", _("Same as the browser")), *LANGUAGE_NAMES.items()])
        here = organisation().settings.time_zone
        default = ("", _("Default (%(zone)s)", zone=here))
        self.time_zone.choices = choices([default, *zone_choices()])

    def preferences(self) -> Preferences:
        """Return what was entered."""
        return Preferences(
            language=self.language.data,
            theme=self.theme.data,
            time_zone=self.time_zone.data,
            tickets_per_page=self.tickets_per_page.data,
            notices=self.notices.data,
            digest=self.digest.data,
        )


class PasswordForm(Form):
    """The old password, and the new one twice."""

    old_password = PasswordField(_l("Current password"), [InputRequired(REQUIRED)])
    password = PasswordField(_l("New password"), [InputRequired(REQUIRED)])
    repeated = PasswordField(
        _l("New password again"),
        [InputRequired(REQUIRED), EqualTo("password", _l("The two passwords differ."))],
    )


def preferences() -> Response:
    """Show the preferences and change them."""
    who = the_viewer()
    form = PreferencesForm(obj=preferences_of(who.account))
    form.offer()
    if form.validate_on_submit():
        session = writing()
        with form.errors_of_core():
            account = who.account_in(session)
            change_preferences(session, who.actor, account, form.preferences())
            choose_language(account.language)
            flash(_("Your preferences are saved."))
            return redirect(url_for(".preferences"), 303)
    return form.answer(
        "account/preferences.html",
        least=MIN_TICKETS_PER_PAGE,
        most=MAX_TICKETS_PER_PAGE,
        has_notices=isinstance(who.account, CustomerUser),
    )


@limiter.limit(SIGN_IN, methods=["POST"])
def password() -> Response:
    """Change the password; the sessions in other browsers end."""
    who = the_viewer()
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            with form.errors_of_core():
                change_password(
                    database(),
                    who.visit,
                    form.old_password.data,
                    form.password.data,
                    peer=peer(),
                )
                flash(_("Your password is changed. You are signed out everywhere else."))
                return redirect(home_of(who) if who.must_change_password else url_for(".password"))
        except SignInFailed as failure:
            form.form_errors.append(str(failure))
    return form.answer(
        "account/password.html",
        min_characters=MIN_CHARACTERS,
        is_forced=who.must_change_password,
        kept_elsewhere=_kept_elsewhere(who.account),
    )


def _kept_elsewhere(account: Account) -> str:
    """Say where the password is kept that cannot be changed here, "" for one that can."""
    try:
        check_no_copy(account, "password")
    except Invalid as error:
        return str(error)
    return ""


def sessions() -> Response | str:
    """Show where this account is signed in, and end sessions."""
    who = the_viewer()
    if request.method == "POST":
        session = writing()
        handle = request.form.get("handle")
        if handle is None:
            ended = end_other_sessions(session, who.actor, who.visit)
        else:
            ended = int(end_session(session, who.actor, who.account, handle))
        flash(ngettext("%(num)d session ended.", "%(num)d sessions ended.", ended))
        return redirect(url_for(".sessions"), 303)
    found = sessions_of(reading(), organisation().settings, who.account, who.visit)
    return render_template("account/sessions.html", sessions=found)


def data() -> str:
    """Show what is stored of the account; only staff change it."""
    return render_template("account/data.html", account=the_viewer().account)


def _account_area(name: str, audience: Audience, url_prefix: str) -> Area:
    area = Area(name, __name__, audience, url_prefix)
    for view in (preferences, password, sessions):
        area.add_url_rule(f"/{view.__name__}", view_func=view, methods=["GET", "POST"])
    area.add_url_rule("/data", view_func=data)
    return area


customer_area = _account_area("account", Audience.CUSTOMER, "/account")
staff_area = _account_area("staff_account", Audience.STAFF, "/staff/account")
