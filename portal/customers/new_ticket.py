"""A new ticket of a customer, in a queue that they may write to."""

from dataclasses import dataclass

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField, StringField
from wtforms.validators import InputRequired

from core.accounts.permissions import Access
from core.errors import Invalid
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake import submission
from core.models import ticket_number
from core.organisation import Organisation
from portal.areas import Area, Audience
from portal.customers.asking import access
from portal.customers.posting import MessageForm, post, text_field
from portal.database import reading
from portal.forms import REQUIRED, choices
from portal.limits import POST, limiter
from portal.parameters import text_of_request
from portal.uploads import uploads_of
from portal.visitors import organisation, peer, the_viewer

MAX_SUBJECT = 200  # characters that somebody may type; a mail may have more
FEW = 5  # queues that are shown beside each other; more become a list to choose from

area = Area("new_ticket", __name__, Audience.CUSTOMER)


@dataclass(frozen=True, slots=True)
class QueueChoice:
    """A queue as it is offered: what it is for, and the address that mail reaches it by."""

    id: int
    name: str
    purpose: str
    address: str


class NewTicketForm(MessageForm):
    """What a ticket needs. ``queue`` is offered and checked by what the account may write to."""

    queue = RadioField(_l("Where to?"), [InputRequired(_l("Please choose one."))], coerce=int)
    subject = StringField(_l("Subject"), [InputRequired(REQUIRED)])
    text = text_field()

    def check_subject(self) -> None:
        """Raise ``Invalid`` for a subject that is empty or too long."""
        if not self.subject.data.strip():
            raise Invalid("subject", _("Please fill this in."))
        if len(self.subject.data) > MAX_SUBJECT:
            raise Invalid("subject", _("At most %(limit)d characters.", limit=MAX_SUBJECT))


class LongNewTicketForm(NewTicketForm):
    """The same with many queues."""

    queue = SelectField(_l("Where to?"), [InputRequired(_l("Please choose one."))], coerce=int)


@area.route("/tickets/new", methods=["GET", "POST"])
@limiter.limit(POST, methods=["POST"])
def show() -> Response | str:
    """Show the form of a new ticket, and file it."""
    offered = queue_choices(organisation(), access())
    if not offered:
        return render_template("portal/no_queue.html")
    form = _form(offered)
    if form.validate_on_submit():
        with form.errors_of_core():
            form.check_subject()
            form.check_text()
            message = submission.new_ticket(
                the_viewer().customer_user_in(reading()),
                form.queue.data,
                form.subject.data,
                form.text.data,
                uploads_of(form.files),
                nonce=form.message_nonce(str(form.queue.data), form.subject.data),
                peer=peer(),
            )
            done = post(message)
            assert done.ticket_id is not None  # post() makes sure
            number = ticket_number(done.ticket_id)
            flash(_("Your message has arrived. It has the number %(number)d.", number=number))
            return redirect(url_for("ticket.show", public_id=done.ticket_public_id), 303)
    if not form.is_submitted():
        form.subject.data = text_of_request("subject")  # of a mail that was not taken
    form.prepare_nonce()
    return form.answer("portal/new_ticket.html", choices=offered, max_subject=MAX_SUBJECT)


def queue_choices(here: Organisation, mine: Access) -> list[QueueChoice]:
    """Return the queues that an account may write to, in the order of their names."""
    addresses: dict[int, str] = {}
    for address, queue in here.queue_by_address.items():
        addresses.setdefault(queue.id, address)
    queues = (here.queues[queue_id] for queue_id in mine.writable_queues)
    return [
        QueueChoice(queue.id, queue.name, queue.purpose, addresses.get(queue.id, ""))
        for queue in queues
    ]


def _form(offered: list[QueueChoice]) -> NewTicketForm:
    form = NewTicketForm() if len(offered) <= FEW else LongNewTicketForm()
    form.queue.choices = choices((each.id, each.name) for each in offered)
    if len(offered) == 1 and form.queue.data is None:
        form.queue.data = offered[0].id
    return form
