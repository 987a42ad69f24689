"""A ticket as staff see it: the conversation with its notes, what may be changed, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import HiddenField, IntegerField, SelectField, TextAreaField
from wtforms.validators import InputRequired
from wtforms.widgets import HiddenInput

from core.accounts.permissions import customer_user_access
from core.accounts.staff import StaffQueues
from core.errors import NotFound, Stale
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.mail_log import shown_steps
from core.labels import label
from core.models import Ticket
from core.tickets.notes import add_note
from core.tickets.origin import delivery_of_article
from core.tickets.view import (
    article_original,
    attachment_for_staff,
    conversation,
    linked_tickets,
    raw_for_staff,
    ticket_for_staff,
)
from core.tickets.work import (
    TicketValues,
    change_ticket,
    link,
    move_hides,
    ticket_values,
    unlink,
)
from core.words import Priority, TicketState
from portal.areas import Area, Audience
from portal.conversation import message_html
from portal.database import finish_writing, reading, writing
from portal.files import file_response, frame_response
from portal.forms import REQUIRED, Form, choices, put
from portal.history import history_page, last_events
from portal.staff.asking import colleagues, member_in, named, queues
from portal.visitors import organisation, the_viewer

KIND = "ticket"
NOBODY = 0
LAST_EVENTS = 6  # beside the conversation; the history has them all

area = Area("staff_ticket", __name__, Audience.STAFF, "/staff/tickets/<public_id>")


class ChangeForm(Form):
    """What can be changed of a ticket. ``read`` is what the reader saw, to tell what they chose."""

    queue_id = SelectField(_l("Queue"), coerce=int)
    state = SelectField(_l("State"))
    priority = SelectField(_l("Priority"))
    owner_id = SelectField(_l("Owner"), coerce=int)
    version = IntegerField(widget=HiddenInput())
    read = HiddenField()
    confirmed = HiddenField()

    def offer(self, ticket: Ticket, mine: StaffQueues) -> None:
        """Fill in what can be chosen for this ticket."""
        offered = [
            queue
            for queue in named(mine.writable | {ticket.queue_id})
            if queue.valid or queue.id == ticket.queue_id
        ]
        self.queue_id.choices = choices((queue.id, queue.name) for queue in offered)
        self.state.choices = choices((word.value, label(word)) for word in TicketState)
        self.priority.choices = choices((word.value, label(word)) for word in Priority)
        people = {each.id: each.name for each in colleagues(reading())}
        if ticket.owner is not None:
            people.setdefault(ticket.owner.id, ticket.owner.name)
        self.owner_id.choices = choices([(NOBODY, _("nobody")), *people.items()])

    def show(self, ticket: Ticket) -> None:
        """Show a ticket as it is stored."""
        self.put(_fields_of(ticket_values(ticket)))
        self.mark_read(ticket)

    def put(self, values: Mapping[str, str | int]) -> None:
        """Give fields other values than what was sent."""
        for name, value in values.items():
            put(self[name], value)

    def mark_read(self, ticket: Ticket) -> None:
        """Note what the reader of this form gets to see."""
        put(self.version, ticket.version)
        put(self.read, _as_read(ticket_values(ticket)))

    def values(self) -> TicketValues:
        """Return what was entered."""
        return TicketValues(
            queue_id=self.queue_id.data,
            state=TicketState(self.state.data),
            priority=Priority(self.priority.data),
            owner_id=self.owner_id.data or None,
        )

    def text_of(self, name: str, value: str | int) -> str:
        """Return a value of a field as it is shown."""
        shown = {choice.value: choice.label for choice in self[name].choices}
        return str(shown.get(value, value))


class NoteForm(Form):
    """An internal note."""

    text = TextAreaField(_l("Note"), [InputRequired(REQUIRED)])


class LinkForm(Form):
    """Another ticket by its number."""

    number = IntegerField(_l("Ticket number"), [InputRequired(REQUIRED)])


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that somebody else has changed: what is stored now, and what the form holds."""

    field: str
    stored: str
    chosen: str


@area.get("")
def show(public_id: str) -> Response:
    """Show a ticket."""
    return _page(public_id)


@area.post("/change")
def change(public_id: str) -> Response:
    """Change queue, state, priority and owner; ask before that hides the ticket."""
    mine = queues()
    ticket = ticket_for_staff(reading(), mine, public_id)
    form = ChangeForm()
    form.offer(ticket, mine)
    if form.validate():
        with form.errors_of_core():
            return _changed(public_id, form)
    return _page(public_id, form)


@area.post("/note")
def note(public_id: str) -> Response:
    """Add an internal note."""
    form = NoteForm()
    if form.validate():
        with form.errors_of_core():
            session = writing()
            staff, _mine = member_in(session)
            add_note(session, the_viewer().actor, staff, public_id, form.text.data)
            flash(_("The note is saved. The customer does not see it."))
            return redirect(url_for(".show", public_id=public_id), 303)
    return _page(public_id, note=form)


@area.post("/link")
def tie(public_id: str) -> Response:
    """Tie the ticket to another one."""
    form = LinkForm()
    if form.validate():
        with form.errors_of_core():
            session = writing()
            staff, _mine = member_in(session)
            other = link(session, the_viewer().actor, staff, public_id, form.number.data)
            flash(_("Linked to ticket %(number)d.", number=other.number))
            return redirect(url_for(".show", public_id=public_id), 303)
    return _page(public_id, tie=form)


@area.post("/unlink")
def untie(public_id: str) -> Response:
    """Untie two tickets."""
    form = LinkForm()
    if not form.validate():
        raise NotFound(_("There is no such ticket."))
    session = writing()
    staff, _mine = member_in(session)
    unlink(session, the_viewer().actor, staff, public_id, form.number.data)
    flash(_("The link is removed."))
    return redirect(url_for(".show", public_id=public_id), 303)


@area.get("/history")
def history(public_id: str) -> str:
    """Show everything that was done with a ticket."""
    ticket = ticket_for_staff(reading(), queues(), public_id)
    return history_page("staff/ticket_history.html", KIND, ticket.id, ticket=ticket)


@area.get("/messages/<int:article_id>/why")
def why(public_id: str, article_id: int) -> str:
    """Show the mail behind a message, and how intake decided about it."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    delivery = delivery_of_article(session, mine, public_id, article_id)
    return render_template(
        "staff/why.html",
        article_id=article_id,
        delivery=delivery,
        mail=delivery.mail,
        in_log=delivery.queue_id in mine.readable,
        steps=shown_steps(delivery.trace),
        ticket=ticket,
    )


@area.get("/attachments/<int:attachment_id>")
def attachment(public_id: str, attachment_id: int) -> Response:
    """Hand out a file, to be saved."""
    return file_response(attachment_for_staff(reading(), queues(), public_id, attachment_id))


@area.get("/pictures/<int:attachment_id>")
def picture(public_id: str, attachment_id: int) -> Response:
    """Hand out a picture, to be shown in its message."""
    found = attachment_for_staff(reading(), queues(), public_id, attachment_id)
    return file_response(found, inline=True)


@area.get("/messages/<int:article_id>/raw")
def raw(public_id: str, article_id: int) -> Response:
    """Hand out the exact mail behind a message."""
    return file_response(raw_for_staff(reading(), queues(), public_id, article_id))


@area.get("/messages/<int:article_id>")
def original(public_id: str, article_id: int) -> str:
    """Show a message with the formatting of its sender, in a frame of its own."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    remote = _with_remote_images()
    html = article_original(session, mine, public_id, article_id, remote_images=remote)
    return render_template(
        "staff/original.html",
        article_id=article_id,
        images=remote,
        is_shown=html is not None,
        ticket=ticket,
    )


@area.get("/messages/<int:article_id>/frame")
def frame(public_id: str, article_id: int) -> Response:
    """Hand out the document for that frame, with images from elsewhere if that is asked for."""
    remote = _with_remote_images()
    html = article_original(reading(), queues(), public_id, article_id, remote_images=remote)
    if html is None:
        raise NotFound(_("There is no such message."))
    return frame_response(html, remote_images=remote)


def _with_remote_images() -> bool:
    return request.args.get("images") == "1"


def _changed(public_id: str, form: ChangeForm) -> Response:
    """Change the ticket and return to it, ask first, or say that somebody else was faster."""
    try:
        hides = _change(public_id, form)
    except Stale as stale:
        finish_writing(keep=False)
        form.form_errors.append(str(stale))
        return _page(public_id, form, differences=_take_over(public_id, form))
    if hides and form.confirmed.data != str(form.queue_id.data):
        finish_writing(keep=False)
        return _ask(public_id, form)
    flash(_("Saved."))
    return redirect(url_for(".show", public_id=public_id), 303)


def _change(public_id: str, form: ChangeForm) -> bool:
    """Change the ticket as the form says; return whether its customer loses sight of it."""
    session, wanted = writing(), form.values()
    staff, mine = member_in(session)
    ticket = ticket_for_staff(session, mine, public_id)
    moves = wanted.queue_id != ticket.queue_id
    hides = moves and move_hides(session, ticket, wanted.queue_id)
    actor, version = the_viewer().actor, form.version.data or 0
    change_ticket(session, actor, staff, public_id, wanted, version)
    return hides


def _ask(public_id: str, form: ChangeForm) -> Response:
    """Return the page that asks whether the ticket shall disappear for its customer."""
    ticket = ticket_for_staff(reading(), queues(), public_id)
    fields = ("queue_id", "state", "priority", "owner_id", "version", "read")
    page = render_template(
        "staff/confirm_move.html",
        action=url_for(".change", public_id=public_id),
        cancel=url_for(".show", public_id=public_id),
        fields=[*((name, form[name].data) for name in fields), ("confirmed", form.queue_id.data)],
        queue=organisation().queues[form.queue_id.data].name,
        ticket=ticket,
    )
    return make_response(page)


def _take_over(public_id: str, form: ChangeForm) -> list[Difference]:
    """Bring the form up to date where its reader had chosen nothing; return what others changed."""
    ticket = ticket_for_staff(reading(), queues(), public_id)
    stored = _fields_of(ticket_values(ticket))
    read = dict(zip(stored, (form.read.data or "").split("|"), strict=False))
    others = {name: value for name, value in stored.items() if read.get(name) != str(value)}
    form.put(
        {name: value for name, value in others.items() if str(form[name].data) == read.get(name)}
    )
    form.mark_read(ticket)
    return [
        Difference(
            form[name].label.text, form.text_of(name, value), form.text_of(name, form[name].data)
        )
        for name, value in others.items()
    ]


def _fields_of(values: TicketValues) -> dict[str, str | int]:
    """Return values as the fields of the form hold them."""
    return {
        "queue_id": values.queue_id,
        "state": values.state.value,
        "priority": values.priority.value,
        "owner_id": values.owner_id or NOBODY,
    }


def _as_read(values: TicketValues) -> str:
    return "|".join(str(value) for value in _fields_of(values).values())


def _page(
    public_id: str,
    change: ChangeForm | None = None,
    *,
    note: NoteForm | None = None,
    tie: LinkForm | None = None,
    differences: list[Difference] | None = None,
) -> Response:
    """Return the page of a ticket, with the form that came back where one did."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    returned = change or note or tie
    if change is None:
        change = ChangeForm(formdata=None)
        change.offer(ticket, mine)
        change.show(ticket)
    talk = conversation(session, ticket, internal=True, before=request.args.get("before", type=int))
    page = render_template(
        "staff/ticket.html",
        change=change,
        differences=differences,
        hidden=_is_hidden(ticket),
        last_events=last_events(session, KIND, ticket.id, LAST_EVENTS),
        html={article.id: message_html(mine, ticket, article) for article in talk.articles},
        links=linked_tickets(session, mine, ticket),
        may_work=mine.may_work(ticket.queue_id),
        note=note or NoteForm(formdata=None),
        talk=talk,
        ticket=ticket,
        tie=tie or LinkForm(formdata=None),
    )
    if differences is not None:
        return make_response(page, 409)
    return make_response(page, 422 if returned is not None and returned.has_errors else 200)


def _is_hidden(ticket: Ticket) -> bool:
    """Whether the customer user whose ticket it is cannot see it."""
    if ticket.customer_user is None:
        return False
    access = customer_user_access(reading(), organisation(), ticket.customer_user)
    return not access.may_see_ticket(ticket)
