"""The forms on the page of a ticket."""

from collections.abc import Mapping

from wtforms import (
    HiddenField,
    IntegerField,
    MultipleFileField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired
from wtforms.widgets import HiddenInput

from core.accounts.staff import StaffQueues
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.labels import label
from core.models import ReplyTemplate, Ticket
from core.tickets.work import TicketValues, ticket_values
from core.words import Priority, TicketState
from portal.database import reading
from portal.forms import REQUIRED, Form, choices, put
from portal.staff.asking import colleagues, named
from portal.staff.copies import CopiesField

NOBODY = 0
NO_TEMPLATE = 0
AFTER_REPLY = (TicketState.WAITING, TicketState.OPEN, TicketState.CLOSED)


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
        self.put(fields_of(ticket_values(ticket)))
        self.mark_read(ticket)

    def put(self, values: Mapping[str, str | int]) -> None:
        """Give fields other values than what was sent."""
        for name, value in values.items():
            put(self[name], value)

    def mark_read(self, ticket: Ticket) -> None:
        """Note what the reader of this form gets to see."""
        put(self.version, ticket.version)
        put(self.read, "|".join(map(str, fields_of(ticket_values(ticket)).values())))

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


def fields_of(values: TicketValues) -> dict[str, str | int]:
    """Return values as the fields of the form hold them."""
    return {
        "queue_id": values.queue_id,
        "state": values.state.value,
        "priority": values.priority.value,
        "owner_id": values.owner_id or NOBODY,
    }


class ReplyForm(Form):
    """What goes to the customer. ``seen_article`` is the newest message that its writer has read.

    The fields have ids of their own: the page has other forms with a text and a state.
    """

    text = TextAreaField(_l("Message"), [InputRequired(REQUIRED)], id="reply-text")
    cc = CopiesField(_l("Copy to (Cc)"), id="reply-cc")
    files = MultipleFileField(_l("Files"), id="reply-files")
    state = SelectField(
        _l("State after sending"), default=TicketState.WAITING.value, id="reply-state"
    )
    template = SelectField(
        _l("Template"), coerce=int, default=NO_TEMPLATE, id="reply-template", validate_choice=False
    )
    seen_article = IntegerField(widget=HiddenInput(), id="reply-seen")

    def offer(self, templates: Mapping[int, ReplyTemplate]) -> None:
        """Fill in what can be chosen."""
        self.state.choices = choices((word.value, label(word)) for word in AFTER_REPLY)
        names = ((id_, each.name) for id_, each in templates.items())
        self.template.choices = choices([(NO_TEMPLATE, _("No template")), *names])

    def insert(self, text: str) -> None:
        """Put the text of a template below what is written already."""
        written = (self.text.data or "").rstrip()
        put(self.text, f"{written}\n\n{text}" if written else text)


class NoteForm(Form):
    """An internal note."""

    text = TextAreaField(_l("Note"), [InputRequired(REQUIRED)], id="note-text")
    files = MultipleFileField(_l("Files"), id="note-files")


class LinkForm(Form):
    """Another ticket by its number."""

    number = IntegerField(_l("Ticket number"), [InputRequired(REQUIRED)], id="link-number")


class TagsForm(Form):
    """The tags of a ticket, between commas."""

    tags = StringField(_l("Tags"), default="")


class TargetForm(Form):
    """The ticket to merge into, by its number."""

    number = IntegerField(_l("Ticket number"), [InputRequired(REQUIRED)], id="merge-number")
