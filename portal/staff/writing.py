"""Writing in a ticket: the reply that its customer gets, and the note that they never see."""

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from core.errors import Forbidden
from core.i18n import gettext as _
from core.models import Ticket
from core.outgoing.placeholders import fill, values_of
from core.tickets.notes import add_note
from core.tickets.reply import NewerArticle, ReplyValues, reply
from core.tickets.view import ticket_for_staff
from core.words import TicketState
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.forms import put
from portal.installation import installation
from portal.staff.asking import member, member_in, queues
from portal.staff.ticket_forms import NO_TEMPLATE, NoteForm, ReplyForm
from portal.staff.ticket_page import Returned, templates_of, ticket_page
from portal.uploads import uploads_of
from portal.visitors import organisation, the_viewer

area = Area("staff_writing", __name__, Audience.STAFF, "/staff/tickets/<public_id>")


@area.post("/reply")
def answer(public_id: str) -> Response:
    """Send a reply, or insert a template into it, which sends nothing."""
    ticket = ticket_for_staff(reading(), queues(), public_id)
    form = ReplyForm()
    form.offer(templates_of(reading(), ticket))
    if "insert" in request.form:
        return _with_template(ticket, form)
    if form.validate():
        with form.errors_of_core():
            try:
                return _reply(public_id, form)
            except Forbidden as refusal:
                form.form_errors.append(str(refusal))
            except NewerArticle:
                finish_writing(keep=False)
                return ticket_page(public_id, Returned(reply=form, overtaken=True))
    return ticket_page(public_id, Returned(reply=form))


@area.post("/note")
def note(public_id: str) -> Response:
    """Add an internal note."""
    form = NoteForm()
    if form.validate():
        with form.errors_of_core():
            uploads = uploads_of(form.files)
            session = writing()
            staff, _mine = member_in(session)
            add_note(session, the_viewer().actor, staff, public_id, form.text.data, uploads)
            flash(_("The note is saved. The customer does not see it."))
            return redirect(url_for("staff_ticket.show", public_id=public_id), 303)
    return ticket_page(public_id, Returned(note=form))


def _with_template(ticket: Ticket, form: ReplyForm) -> Response:
    """Return the form with the text of a template in it."""
    template = templates_of(reading(), ticket).get(form.template.data or NO_TEMPLATE)
    if template is not None:
        form.insert(
            fill(template.text, values_of(installation(), organisation(), ticket, member()))
        )
    put(form.template, NO_TEMPLATE)
    return ticket_page(ticket.public_id, Returned(reply=form))


def _reply(public_id: str, form: ReplyForm) -> Response:
    values = ReplyValues(
        text=form.text.data,
        cc=form.cc.addresses,
        uploads=tuple(uploads_of(form.files)),
        state=TicketState(form.state.data),
        seen_article=form.seen_article.data or 0,
    )
    session = writing()
    staff, _mine = member_in(session)
    article = reply(session, installation(), the_viewer().actor, staff, public_id, values)
    if article.sent_to:
        flash(_("The reply to %(name)s is on its way.", name=article.sent_to))
    else:
        flash(_("The reply is saved. It stands in the portal; no mail was sent."))
    return redirect(url_for("staff_ticket.show", public_id=public_id), 303)
