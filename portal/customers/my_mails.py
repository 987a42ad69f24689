"""The mails of a customer user: what became of each, why, and what they can do about it."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField
from wtforms.validators import InputRequired

from core.audit import customer_actor
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.own_mails import Fate, file_own_mail, own_mail, own_mails
from core.models import ticket_number
from portal.areas import Area, Audience
from portal.customers.asking import access, access_in
from portal.customers.new_ticket import FEW, MAX_SUBJECT, QueueChoice, queue_choices
from portal.database import reading, writing
from portal.forms import Form, choices
from portal.limits import POST, limiter
from portal.visitors import organisation, peer, the_viewer
from portal.vocabulary import Look

area = Area("my_mails", __name__, Audience.CUSTOMER, "/mails")

LOOKS = {
    Fate.FILED: (_l("Became a ticket"), Look("good", "check2-circle")),
    Fate.ADDED: (_l("Added to a ticket"), Look("good", "reply")),
    Fate.PASSED_ON: (_l("With our staff"), Look("info", "person")),
    Fate.WAITING: (_l("Waits for our staff"), Look("warn", "hourglass-split")),
    Fate.REFUSED: (_l("Refused"), Look("bad", "x-circle")),
    Fate.PUT_ASIDE: (_l("No ticket"), Look("quiet", "slash-circle")),
}


class FileForm(Form):
    """Where a mail is to go instead."""

    queue = RadioField(_l("Where to?"), [InputRequired(_l("Please choose one."))], coerce=int)


class LongFileForm(FileForm):
    """The same with many queues."""

    queue = SelectField(_l("Where to?"), [InputRequired(_l("Please choose one."))], coerce=int)


@area.get("")
def index() -> str:
    """Show the list of mails."""
    page = own_mails(
        reading(),
        access(),
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    return render_template("portal/mails.html", looks=LOOKS, page=page)


@area.route("/<int:delivery_id>", methods=["GET", "POST"])
@limiter.limit(POST, methods=["POST"])
def show(delivery_id: int) -> Response:
    """Show one mail, and make a ticket of it in a queue that the account may write to."""
    mine = access()
    mail = own_mail(reading(), mine, delivery_id)  # NotFound for what is not theirs
    offered = queue_choices(organisation(), mine)
    form = _form(offered)
    if form.validate_on_submit():
        session = writing()
        account, mine_now = access_in(session)
        actor = customer_actor(account, peer())
        done = file_own_mail(session, actor, mine_now, delivery_id, form.queue.data)
        assert done.ticket_id is not None  # an opened ticket has one
        number = ticket_number(done.ticket_id)
        flash(_("Your mail is now ticket %(number)d.", number=number))
        return redirect(url_for("ticket.show", public_id=done.ticket_public_id), 303)
    return form.answer(
        "portal/mail.html",
        choices=offered,
        looks=LOOKS,
        mail=mail,
        max_subject=MAX_SUBJECT,
    )


def _form(offered: list[QueueChoice]) -> FileForm:
    form = FileForm() if len(offered) <= FEW else LongFileForm()
    form.queue.choices = choices((each.id, each.name) for each in offered)
    if len(offered) == 1 and form.queue.data is None:
        form.queue.data = offered[0].id
    return form
