"""The mail addresses of a customer user: adding, choosing the main one, removing.

Opening the link of a mail changes nothing, for programs that check mail open links, too. It opens
for the account that asked for it only, so whoever gets it by mistake cannot do anything with it.
"""

from flask import flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import StringField
from wtforms.validators import InputRequired

from core.accounts.copies import is_copy
from core.accounts.own_addresses import (
    address_of_link,
    ask_for_address,
    make_main,
    own_address,
    prove_address,
    remove_address,
    waiting_addresses,
)
from core.accounts.password_links import LINK_MINUTES
from core.errors import Invalid
from core.i18n import current_language
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import CustomerUser
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import REQUIRED, Form
from portal.limits import POST, SIGN_IN, limiter
from portal.visitors import the_viewer

area = Area("my_addresses", __name__, Audience.CUSTOMER, "/addresses")

GONE = 410  # RFC 9110: it was here, and will not be again


class AddressForm(Form):
    """One more address."""

    address = StringField(_l("Another mail address"), [InputRequired(REQUIRED)])


class ConfirmForm(Form):
    """A link's button; what core refuses stands above it."""


@area.route("", methods=["GET", "POST"])
@limiter.limit(SIGN_IN, methods=["POST"])
def index() -> Response:
    """Show the addresses, and send a link to a further one."""
    form = AddressForm()
    if form.validate_on_submit():
        session = writing()
        with form.errors_of_core():
            address = ask_for_address(
                session,
                the_viewer().actor,
                the_viewer().customer_user_in(session),
                form.address.data,
                current_language(),
            )
            flash(_("If it can be used, a mail with a link is on its way to %(to)s.", to=address))
            return redirect(url_for(".index"), 303)
    account = _account()
    return form.answer(
        "portal/addresses.html",
        addresses=account.addresses,
        is_copy=is_copy(account),
        minutes=LINK_MINUTES,
        waiting=waiting_addresses(reading(), account),
    )


@area.post("/<int:address_id>/main")
@limiter.limit(POST)
def choose(address_id: int) -> Response:
    """Make an address the main one."""
    session = writing()
    account = the_viewer().customer_user_in(session)
    try:
        address = make_main(session, the_viewer().actor, account, address_id)
        flash(_("%(address)s is now your main address.", address=address))
    except Invalid as refused:
        flash(refused.message, "warning")
    return redirect(url_for(".index"), 303)


@area.route("/<int:address_id>/remove", methods=["GET", "POST"])
@limiter.limit(POST, methods=["POST"])
def remove(address_id: int) -> Response:
    """Ask whether an address is to be removed, and remove it."""
    address = own_address(_account(), address_id).address
    form = ConfirmForm()
    if form.validate_on_submit():
        session = writing()
        try:
            account = the_viewer().customer_user_in(session)
            remove_address(session, the_viewer().actor, account, address_id)
            flash(_("%(address)s is removed.", address=address))
        except Invalid as refused:
            flash(refused.message, "warning")
        return redirect(url_for(".index"), 303)
    return form.answer(
        "portal/remove_address.html",
        action=url_for(".remove", address_id=address_id),
        address=address,
        cancel=url_for(".index"),
        confirm=_("Remove address"),
    )


@area.route("/confirm/<token>", methods=["GET", "POST"])
@limiter.limit(SIGN_IN, methods=["POST"])
def confirm(token: str) -> Response:
    """Show what a link proves, and use it up."""
    address = address_of_link(reading(), _account(), token)
    if address is None:
        return _gone()
    form = ConfirmForm()
    if form.validate_on_submit():
        session = writing()
        with form.errors_of_core():
            account = the_viewer().customer_user_in(session)
            proven = prove_address(session, the_viewer().actor, account, token)
            if proven is None:
                return _gone()
            flash(_("%(address)s is one of your addresses now.", address=proven))
            return redirect(url_for(".index"), 303)
    return form.answer("portal/confirm_address.html", address=address)


def _account() -> CustomerUser:
    """Return the account of this request as it is stored, whatever was tried to change of it."""
    return the_viewer().customer_user_in(reading())


def _gone() -> Response:
    """Answer a link that opens nothing here: whether it ever did is nobody's business."""
    return make_response(render_template("portal/address_gone.html", minutes=LINK_MINUTES), GONE)
