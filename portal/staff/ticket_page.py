"""The page of a ticket: the conversation, the forms below and beside it, and what is known of it.

Several views show it, each with the form that came back to its writer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import make_response, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.accounts.permissions import customer_user_access
from core.accounts.staff import StaffQueues
from core.models import Article, ReplyTemplate, Ticket
from core.outgoing.placeholders import fill, values_of
from core.tickets.reply_templates import templates_for
from core.tickets.tags import all_tags, tags_of
from core.tickets.view import (
    Conversation,
    conversation,
    linked_tickets,
    outgoing_of,
    ticket_for_staff,
)
from core.words import Flag
from portal.conversation import message_html
from portal.database import reading
from portal.forms import put
from portal.history import last_events
from portal.installation import installation
from portal.staff.asking import member, queues
from portal.staff.receiver import language_of, receiver_of
from portal.staff.ticket_forms import (
    ChangeForm,
    LinkForm,
    NoteForm,
    ReplyForm,
    TagsForm,
    TargetForm,
)
from portal.visitors import organisation

KIND = "ticket"
LAST_EVENTS = 6  # beside the conversation; the history has them all
# What no person wrote is shown on one line until somebody opens it.
FOLDED = frozenset({Flag.AUTOMATIC, Flag.DELIVERY_REPORT})


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that somebody else has changed: what is stored now, and what the form holds."""

    field: str
    stored: str
    chosen: str


@dataclass(frozen=True, slots=True)
class Returned:
    """What comes back to its writer: a form with errors, or one that others have overtaken.

    ``differences`` is None unless a change was overtaken; ``overtaken`` says that a reply was.
    """

    change: ChangeForm | None = None
    reply: ReplyForm | None = None
    note: NoteForm | None = None
    tie: LinkForm | None = None
    merge: TargetForm | None = None
    tags: TagsForm | None = None
    differences: list[Difference] | None = None
    overtaken: bool = False

    @property
    def status(self) -> int:
        """The status of the answer."""
        if self.differences is not None or self.overtaken:
            return 409
        forms = (self.change, self.reply, self.note, self.tie, self.merge, self.tags)
        return 422 if any(form is not None and form.has_errors for form in forms) else 200


def ticket_page(public_id: str, returned: Returned | None = None) -> Response:
    """Return the page of a ticket. Raises ``NotFound`` for one that staff may not read."""
    session, mine = reading(), queues()
    returned = returned or Returned()
    ticket = ticket_for_staff(session, mine, public_id)
    tags = tags_of(session, [ticket.id])[ticket.id]
    before = request.args.get("before", type=int)
    talk = conversation(session, ticket, internal=True, before=before)
    reply = _reply_form(session, returned.reply, ticket)
    page = render_template(
        "staff/ticket.html",
        FOLDED=FOLDED,
        change=returned.change or _change_form(ticket, mine),
        hidden=_is_hidden(session, ticket),
        html={
            article.id: message_html(mine, ticket, article, "staff_messages.picture")
            for article in talk.articles
        },
        last_events=last_events(session, KIND, ticket.id, LAST_EVENTS),
        known_tags=all_tags(session, mine.readable),
        links=linked_tickets(session, mine, ticket),
        mails=outgoing_of(session, ticket),
        may_work=mine.may_work(ticket.queue_id),
        may_write=mine.may_work(ticket.queue_id) and before is None,
        merge=returned.merge or TargetForm(formdata=None),
        newer=_mark_read(reply, talk),
        note=returned.note or NoteForm(formdata=None),
        may_open_outgoing=lambda mail: mine.everything or mail.queue_id in mine.readable,
        receiver=receiver_of(session, ticket),
        reply=reply,
        returned=returned,
        signature=_signature(ticket),
        tags=tags,
        tags_form=returned.tags or TagsForm(formdata=None, tags=", ".join(tags)),
        talk=talk,
        ticket=ticket,
        tie=returned.tie or LinkForm(formdata=None),
    )
    return make_response(page, returned.status)


def templates_of(session: Session, ticket: Ticket) -> Mapping[int, ReplyTemplate]:
    """Return the templates for replies to a ticket, by id, in the order in which they are shown."""
    found = templates_for(session, ticket.queue_id, language_of(ticket))
    return {template.id: template for template in found}


def _change_form(ticket: Ticket, mine: StaffQueues) -> ChangeForm:
    form = ChangeForm(formdata=None)
    form.offer(ticket, mine)
    form.show(ticket)
    return form


def _reply_form(session: Session, returned: ReplyForm | None, ticket: Ticket) -> ReplyForm:
    form = returned or ReplyForm(formdata=None)
    form.offer(templates_of(session, ticket))
    return form


def _mark_read(form: ReplyForm, talk: Conversation) -> Sequence[Article]:
    """Note what the writer of this form gets to see; return what of it came while they wrote."""
    seen = form.seen_article.data
    put(form.seen_article, talk.newest)
    return [article for article in talk.articles if seen is not None and article.id > seen]


def _signature(ticket: Ticket) -> str:
    """Return what will stand below a reply of who asks."""
    values = values_of(installation(), organisation(), ticket, member())
    return fill(organisation().queues[ticket.queue_id].signature, values).strip()


def _is_hidden(session: Session, ticket: Ticket) -> bool:
    """Whether the customer user whose ticket it is cannot see it."""
    if ticket.customer_user is None:
        return False
    access = customer_user_access(session, organisation(), ticket.customer_user)
    return not access.may_see_ticket(ticket)
