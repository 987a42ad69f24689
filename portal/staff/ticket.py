"""A ticket as staff see it, what may be changed of it, and its history."""

from flask import flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response

from core.errors import NotFound, Stale
from core.i18n import gettext as _
from core.tickets.tags import change_tags
from core.tickets.view import final_ticket, ticket_for_staff
from core.tickets.work import change_ticket, link, move_hides, ticket_values, unlink
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.history import history_page
from portal.staff.asking import member_in, queues
from portal.staff.ticket_forms import ChangeForm, LinkForm, TagsForm, fields_of
from portal.staff.ticket_page import KIND, Difference, Returned, ticket_page
from portal.visitors import organisation, the_viewer

area = Area("staff_ticket", __name__, Audience.STAFF, "/staff/tickets/<public_id>")


@area.get("")
def show(public_id: str) -> Response:
    """Show a ticket; one that was merged leads to where its messages are."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    if ticket.merged_into_id is None:
        return ticket_page(public_id)
    target = final_ticket(session, mine, ticket)
    flash(_("Ticket %(number)d was merged into this one.", number=ticket.number))
    return redirect(url_for(".show", public_id=target.public_id), 303)


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
    return ticket_page(public_id, Returned(change=form))


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
    return ticket_page(public_id, Returned(tie=form))


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


@area.post("/tags")
def tag(public_id: str) -> Response:
    """Give the ticket other tags."""
    form = TagsForm()
    if form.validate():
        with form.errors_of_core():
            session = writing()
            staff, _mine = member_in(session)
            tags = (form.tags.data or "").split(",")
            change_tags(session, the_viewer().actor, staff, public_id, tags)
            flash(_("Saved."))
            return redirect(url_for(".show", public_id=public_id), 303)
    return ticket_page(public_id, Returned(tags=form))


@area.get("/history")
def history(public_id: str) -> str:
    """Show everything that was done with a ticket."""
    ticket = ticket_for_staff(reading(), queues(), public_id)
    return history_page("staff/ticket_history.html", KIND, ticket.id, ticket=ticket)


def _changed(public_id: str, form: ChangeForm) -> Response:
    """Change the ticket and return to it, ask first, or say that somebody else was faster."""
    try:
        hides = _change(public_id, form)
    except Stale as stale:
        finish_writing(keep=False)
        form.form_errors.append(str(stale))
        differences = _take_over(public_id, form)
        return ticket_page(public_id, Returned(change=form, differences=differences))
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
    stored = fields_of(ticket_values(ticket))
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
