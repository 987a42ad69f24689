"""Signing in through an identity provider: the way there, and the way back.

The way there begins with a form of ours, so that no other site can send a browser on it. Its
answer is a page that leads on by itself, not a redirection: a browser holds the whole way of a
form to ``form-action`` of our Content-Security-Policy, and the provider may lead on to any host.
"""

import logging
from collections.abc import Mapping

from flask import abort, flash, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from core.accounts import sessions
from core.accounts.single_sign_on import NobodyNamed, NotNamed, serves, sign_in_with_claims
from core.config import SingleSignOnSection
from core.errors import SchalterError
from core.i18n import gettext as _
from core.openid.faults import ProviderAway, ProviderDeclined, ProviderFault
from core.openid.provider import Provider
from core.words import AccountKind
from portal.areas import Area, Audience, home_of_kind
from portal.customer_sources import live_sources
from portal.database import bookkeeping, database, end_reading
from portal.identity_providers import provider_named
from portal.limits import SIGN_IN, limiter
from portal.navigation import own_path
from portal.sign_on_attempts import Attempt, forget, recall, remember
from portal.visitors import peer, set_session_cookie, viewer

log = logging.getLogger(__name__)

area = Area("single_sign_on", __name__, Audience.EVERYBODY)

_KINDS: Mapping[str, AccountKind] = {
    "staff": AccountKind.STAFF,
    "customers": AccountKind.CUSTOMER,
}


@area.post("/sign-on/<name>/<who>")
@limiter.limit(SIGN_IN)
def begin(name: str, who: str) -> Response:
    """Lead a browser to an identity provider."""
    kind = _KINDS.get(who)
    provider = provider_named(name)
    if kind is None or provider is None or not serves(provider.section, kind):
        abort(404)
    leads_to = own_path(request.form.get("next")) or ""
    end_reading()  # the provider may take seconds to answer
    try:
        secrets, address = provider.begin()
    except ProviderFault as fault:
        return _refused(provider.section, kind, leads_to, fault)
    page = render_template("portal/sign_on.html", address=address, label=provider.section.label)
    response = make_response(page)
    remember(response, Attempt(name, kind, leads_to, secrets))
    return response


@area.get("/sign-on/<name>/<who>")
def begun(name: str, who: str) -> Response:
    """Lead who reloads the way there back to its beginning."""
    if who not in _KINDS or provider_named(name) is None:
        abort(404)
    return _to_sign_in(_KINDS[who], "")


@area.get("/sign-on/<name>/callback")
@limiter.limit(SIGN_IN)
def callback(name: str) -> Response:
    """Take the answer of an identity provider, and sign in whom it names."""
    provider = provider_named(name)
    if provider is None:
        abort(404)
    state = request.args.get("state", "")
    attempt = recall(state)
    if attempt is not None and attempt.provider == name and serves(provider.section, attempt.kind):
        response = _finish(provider, attempt)
    else:
        response = _unknown(provider)
    forget(response, state)
    return response


def _finish(provider: Provider, attempt: Attempt) -> Response:
    before = viewer()
    agent = request.user_agent.string
    end_reading()
    try:
        claims = provider.finish(attempt.secrets, _answer())
        token = sign_in_with_claims(
            database(),
            attempt.kind,
            provider.section,
            claims,
            peer=peer(),
            agent=agent,
            sources=live_sources(),
        )
    except (ProviderFault, NotNamed, NobodyNamed) as fault:
        return _refused(provider.section, attempt.kind, attempt.next, fault)
    if before is not None:
        with bookkeeping() as writing:
            sessions.sign_out(writing, before.visit, peer())
    session.clear()  # a form's token from before the sign-in is worth nothing after it
    response = redirect(attempt.next or home_of_kind(attempt.kind), 303)
    set_session_cookie(response, token)
    return response


def _answer() -> Mapping[str, str]:
    """Return what the provider has added to the address. Raises ``ProviderFault``."""
    if any(len(values) > 1 for _name, values in request.args.lists()):
        raise ProviderFault("its answer says something twice")
    return request.args.to_dict()


def _unknown(provider: Provider) -> Response:
    """Answer who comes back without having left: too late, twice, or sent by somebody else."""
    kind = AccountKind.CUSTOMER
    if not serves(provider.section, kind):
        kind = AccountKind.STAFF
    name = provider.section.name
    log.info("sign-on refused: %s from %s: not begun in this browser", name, peer())
    told = _("This sign-in took too long or was not begun in this browser. Please try again.")
    flash(told, "warning")
    return _to_sign_in(kind, "")


def _refused(
    section: SingleSignOnSection, kind: AccountKind, leads_to: str, fault: SchalterError
) -> Response:
    log.warning("sign-on refused: %s, %s from %s: %s", section.name, kind, peer(), fault)
    flash(_sentence(fault, section.label), "warning")
    return _to_sign_in(kind, leads_to)


def _sentence(fault: SchalterError, label: str) -> str:
    """Return what people are told; the reasons are for the log."""
    match fault:
        case ProviderAway():
            return _(
                "%(label)s cannot be reached at the moment. Please try again later, or sign in "
                "with your password.",
                label=label,
            )
        case ProviderDeclined():
            return _("The sign-in with %(label)s was not completed.", label=label)
        case NobodyNamed(is_certain=False):
            return _(
                "There is no account here that belongs to your sign-in with %(label)s, or it "
                "cannot be looked up at the moment. Please try again later.",
                label=label,
            )
        case NobodyNamed():
            return _(
                "There is no account here that belongs to your sign-in with %(label)s.", label=label
            )
        case NotNamed():
            return _("%(label)s has not confirmed who you are as it is needed here.", label=label)
        case _:
            return _(
                "The sign-in with %(label)s did not work. Please try again; if it happens again, "
                "tell us.",
                label=label,
            )


def _to_sign_in(kind: AccountKind, leads_to: str) -> Response:
    endpoint = "signing_in.staff" if kind is AccountKind.STAFF else "signing_in.customer"
    return redirect(url_for(endpoint, next=leads_to or None), 303)
