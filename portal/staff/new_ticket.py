"""A ticket that staff open for a customer user: first for whom, then what it says."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import BooleanField, MultipleFileField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from core.accounts.permissions import customer_user_access
from core.errors import Forbidden, Invalid, NotFound
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import CustomerUser
from core.organisation import QueueFacts
from core.outgoing.compose import MAX_SUBJECT
from core.tickets.start import StartValues, start_ticket
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import REQUIRED, Form, choices
from portal.installation import installation
from portal.parameters import id_of_request, text_of_request
from portal.staff.accounts import accounts_found
from portal.staff.asking import member_in, named, queues
from portal.staff.copies import CopiesField
from portal.staff.receiver import no_relay
from portal.uploads import uploads_of
from portal.visitors import organisation, the_viewer

area = Area("staff_new_ticket", __name__, Audience.STAFF, "/staff/tickets/new")


class NewTicketForm(Form):
    """What a ticket begins with. ``send`` mails it; else the customer finds it in the portal."""

    queue_id = SelectField(_l("Queue"), [InputRequired(_l("Please choose one."))], coerce=int)
    subject = StringField(_l("Subject"), [InputRequired(REQUIRED)])
    text = TextAreaField(_l("Message"), [InputRequired(REQUIRED)])
    files = MultipleFileField(_l("Files"))
    send = BooleanField(_l("Send it to the customer by mail"))
    cc = CopiesField(_l("Copy to (Cc)"))


@area.get("")
def show() -> Response | str:
    """Show the accounts that a search finds, or the form for the account that was chosen."""
    if id_of_request("customer_user") is not None:
        return _form_page(NewTicketForm(formdata=None, data={"send": True}))
    query = text_of_request("q")
    return render_template(
        "staff/new_ticket_for.html", found=accounts_found(reading(), query, None), query=query
    )


@area.post("")
def create() -> Response:
    """Open the ticket."""
    form = NewTicketForm()
    form.queue_id.choices = _choices(_offered(_account()))
    if form.validate():
        with form.errors_of_core():
            try:
                return _start(form)
            except Forbidden as refusal:
                form.form_errors.append(str(refusal))
            except Invalid as error:
                if error.field != "customer_user":
                    raise
                form.form_errors.append(error.message)
    return _form_page(form)


def _start(form: NewTicketForm) -> Response:
    values = StartValues(
        customer_user_id=_account().id,
        queue_id=form.queue_id.data,
        subject=form.subject.data,
        text=form.text.data,
        uploads=tuple(uploads_of(form.files)),
        cc=form.cc.addresses,
        send=form.send.data,
    )
    session = writing()
    staff, _mine = member_in(session)
    ticket = start_ticket(session, installation(), the_viewer().actor, staff, values)
    flash(_("The ticket is open. It has the number %(number)d.", number=ticket.number))
    return redirect(url_for("staff_ticket.show", public_id=ticket.public_id), 303)


def _form_page(form: NewTicketForm) -> Response:
    account = _account()
    offered = _offered(account)
    form.queue_id.choices = _choices(offered)
    return form.answer(
        "staff/new_ticket.html",
        account=account,
        may_write=bool(offered),
        max_subject=MAX_SUBJECT,
        no_relay=no_relay(),
    )


def _account() -> CustomerUser:
    account = reading().get(CustomerUser, id_of_request("customer_user") or 0)
    if account is None:
        raise NotFound(_("There is no such account."))
    return account


def _offered(account: CustomerUser) -> Sequence[QueueFacts]:
    """Return the queues that staff work and the account may write to."""
    access = customer_user_access(reading(), organisation(), account)
    both = queues().writable.intersection(access.writable_queues)
    return [queue for queue in named(both) if queue.valid]


def _choices(offered: Sequence[QueueFacts]) -> list[SelectChoice]:
    return choices((queue.id, queue.name) for queue in offered)
