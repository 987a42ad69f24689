"""Saying which customer user a ticket is from: a stranger's, or one written for somebody else."""

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response
from wtforms import IntegerField
from wtforms.validators import InputRequired
from wtforms.widgets import HiddenInput

from core.errors import Forbidden, Stale
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Ticket
from core.tickets.view import ticket_for_staff
from core.tickets.work import assign_to_account
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import Form
from portal.parameters import text_of_request
from portal.staff.accounts import accounts_found
from portal.staff.asking import member_in, queues
from portal.visitors import the_viewer

area = Area("staff_assign", __name__, Audience.STAFF, "/staff/tickets/<public_id>/assign")


class AssignForm(Form):
    """An account, and the version of the ticket that was read."""

    customer_user = IntegerField(
        _l("Account"), [InputRequired(_l("Please choose one."))], widget=HiddenInput()
    )
    version = IntegerField(widget=HiddenInput())


@area.get("")
def show(public_id: str) -> Response:
    """Show the accounts that a search finds."""
    return _page(public_id, AssignForm(formdata=None))


@area.post("")
def assign(public_id: str) -> Response:
    """Give the ticket to an account."""
    form = AssignForm()
    if form.validate():
        with form.errors_of_core():
            try:
                _assign(public_id, form)
            except (Forbidden, Stale) as refusal:
                form.form_errors.append(str(refusal))
            else:
                return redirect(url_for("staff_ticket.show", public_id=public_id), 303)
    return _page(public_id, form)


def _assign(public_id: str, form: AssignForm) -> None:
    session = writing()
    staff, _mine = member_in(session)
    ticket = assign_to_account(
        session,
        the_viewer().actor,
        staff,
        public_id,
        form.customer_user.data,
        form.version.data or 0,
    )
    assert ticket.customer_user is not None  # that is what was done
    flash(_("The ticket is now from %(name)s.", name=ticket.customer_user.name))


def _page(public_id: str, form: AssignForm) -> Response:
    mine = queues()
    ticket = ticket_for_staff(reading(), mine, public_id)
    if not mine.may_work(ticket.queue_id):
        raise Forbidden(_("You may read this ticket, but not change it."))
    query = text_of_request("q") if "q" in request.args else _first_guess(ticket)
    return form.answer(
        "staff/assign.html",
        found=accounts_found(reading(), query, ticket.queue_id),
        query=query,
        ticket=ticket,
    )


def _first_guess(ticket: Ticket) -> str:
    """Return what to search for first: colleagues of an unknown sender have the same domain."""
    return ticket.requester.rpartition("@")[2]
