"""Trying the customer sources: what they have of somebody, and whether somebody could sign in."""

from collections.abc import Mapping

from flask import render_template
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired

from core.accounts.signing_in import SignInFailed
from core.i18n import N_
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.mail.addresses import address_key
from core.sources.source import By
from core.sources.trying.sign_in_trial import SignInTrial, Verdict, try_sign_in
from core.sources.trying.trial import look_everywhere, try_out_records
from portal.admin.sources import field_name, in_words, section_named, sections
from portal.areas import Area, Audience
from portal.customer_sources import live_sources
from portal.database import database, end_reading
from portal.forms import REQUIRED, Form
from portal.installation import believed_keys
from portal.limits import SIGN_IN, limiter
from portal.parameters import text_of_request, word_of_request
from portal.visitors import the_viewer

area = Area("admin_source_trials", __name__, Audience.ADMIN, "/admin/source-trials")

WAYS: Mapping[By, str] = {
    By.LOGIN: N_("Login"),
    By.ADDRESS: N_("Mail address"),
    By.NUMBER: N_("Kunden#"),
}
VERDICTS: Mapping[Verdict, str] = {
    Verdict.SIGNS_IN: N_("%(login)s would be signed in."),
    Verdict.NO_ACCOUNT: N_("Nobody here has this login, and no account alone this address."),
    Verdict.INVALID: N_("The account %(login)s or its customer is not valid."),
    Verdict.NOT_CONFIGURED: N_("The source of the account %(login)s is not configured."),
    Verdict.REFUSED: N_("The password is not that of the account %(login)s."),
    Verdict.AWAY: N_("The source of the account %(login)s does not answer."),
}


class TrialForm(Form):
    """Whose sign-in is tried; the password is never shown again."""

    login = StringField(_l("Login or mail address"), [InputRequired(REQUIRED)])
    password = PasswordField(_l("Password"), [InputRequired(REQUIRED)])


@area.get("")
def show() -> str:
    """Show what each source has of a text, what that is here, and what mail would do."""
    text, by = text_of_request("q"), word_of_request("by", By)
    by = by if by in WAYS else None
    sources = live_sources()
    end_reading()  # the sources may take seconds to answer
    looked = look_everywhere(sources, by, text) if text else []
    is_known = any(each.found for each in looked)
    typed = [text] if address_key(text) and not is_known else []
    trial = None
    if is_known or typed:
        trial = try_out_records(database(), sources, looked, typed, believed_keys())
    return render_template(
        "admin/source_trial.html",
        by=by,
        field_name=field_name,
        in_words=in_words,
        has_sources=bool(sections()),
        looked=looked,
        section_named=section_named,
        text=text,
        trial=trial,
        ways=[(way.value, _(name)) for way, name in WAYS.items()],
    )


@area.get("/sign-in")
def sign_in() -> Response:
    """Show the form for a sign-in that is only tried."""
    return _sign_in_page(TrialForm(formdata=None), None)


@area.post("/sign-in")
@limiter.limit(SIGN_IN)
def sign_in_post() -> Response:
    """Try a sign-in, and say what each source thinks of it; nobody is signed in."""
    form = TrialForm()
    trial, seconds = None, 0
    if form.validate():
        end_reading()  # the sources may take seconds to answer
        try:
            trial = try_sign_in(
                database(),
                the_viewer().actor,
                live_sources(),
                form.login.data,
                form.password.data,
            )
        except SignInFailed as failure:
            form.form_errors.append(str(failure))
            seconds = failure.wait_seconds
    response = _sign_in_page(form, trial)
    if seconds:
        response.status_code = 429
        response.headers["Retry-After"] = str(seconds)
    return response


def _sign_in_page(form: TrialForm, trial: SignInTrial | None) -> Response:
    return form.answer("admin/source_sign_in.html", trial=trial, verdicts=VERDICTS)
