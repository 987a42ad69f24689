"""Who may open which pages: every page belongs to an area, every area names its audience.

Nothing is open by accident: ``check_every_page_has_an_audience`` refuses to start with a page
outside an area. What somebody may do *within* an area is decided in core.
"""

from enum import StrEnum

from flask import Blueprint, Flask, abort, current_app, redirect, request, url_for
from werkzeug.wrappers import Response

from core.words import AccountKind
from portal.visitors import Viewer, viewer

OPEN_ENDPOINTS = frozenset(["static", "bootstrap.static"])  # files of ours, the same for everybody
# Posted to by mail programs, without a form of ours: the signed token in the address is all.
BY_SIGNED_LINK = frozenset(["mute.confirm"])
HOME_OF = {
    AccountKind.CUSTOMER: "tickets.index",
    AccountKind.STAFF: "staff_dashboard.index",
}
CHANGE_PASSWORD = "staff_account.password"  # noqa: S105 - the name of a page


class Audience(StrEnum):
    """Whom an area is for."""

    EVERYBODY = "everybody"
    SIGNED_IN = "signed-in"
    CUSTOMER = "customer"
    STAFF = "staff"  # agents and admins
    ADMIN = "admin"


class Area(Blueprint):
    """A blueprint whose pages are for one audience. Names its pages ``NAME.function``."""

    def __init__(
        self, name: str, import_name: str, audience: Audience, url_prefix: str | None = None
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix)
        self.audience = audience


def guard() -> Response | None:
    """Let a request pass, ask for a sign-in, or act as if the page did not exist.

    An agent on an admin page is told so: that there are admin pages is no secret.
    """
    if request.endpoint is None or request.endpoint in OPEN_ENDPOINTS:
        return None
    audience = audience_of(request.endpoint)
    if audience is Audience.EVERYBODY:
        return None
    who = viewer()
    if who is None:
        return _to_sign_in(audience)
    if who.must_change_password and request.endpoint != CHANGE_PASSWORD:
        return redirect(url_for(CHANGE_PASSWORD), 303)
    if not _is_meant(who, audience):
        abort(403 if audience is Audience.ADMIN and who.is_staff else 404)
    return None


def audience_of(endpoint: str) -> Audience:
    """Return whom a page is for. Raises ``RuntimeError`` for one outside every area."""
    area = current_app.blueprints.get(endpoint.rpartition(".")[0])
    if not isinstance(area, Area):
        raise RuntimeError(f"the page {endpoint} belongs to no portal.areas.Area")
    return area.audience


def check_every_page_has_an_audience(app: Flask) -> None:
    """Raise ``RuntimeError`` when a page belongs to no area."""
    with app.app_context():
        for rule in app.url_map.iter_rules():
            if rule.endpoint not in OPEN_ENDPOINTS:
                audience_of(rule.endpoint)


def home_of(who: Viewer | None) -> str:
    """Return the address of the page where somebody starts."""
    return url_for("signing_in.customer") if who is None else home_of_kind(who.kind)


def home_of_kind(kind: AccountKind) -> str:
    """Return the address of the page where this kind of account starts."""
    return url_for(HOME_OF[kind])


def _is_meant(who: Viewer, audience: Audience) -> bool:
    match audience:
        case Audience.ADMIN:
            return who.is_admin
        case Audience.STAFF:
            return who.is_staff
        case Audience.CUSTOMER:
            return who.kind is AccountKind.CUSTOMER
        case _:
            return True


def _to_sign_in(audience: Audience) -> Response:
    for_staff = audience in (Audience.STAFF, Audience.ADMIN)
    endpoint = "signing_in.staff" if for_staff else "signing_in.customer"
    if request.method != "GET":
        abort(401)
    here = request.full_path.rstrip("?")
    return redirect(url_for(endpoint, next=here), 303)
