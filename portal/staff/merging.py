"""Merging a ticket into another one, and giving a message a ticket of its own: both are asked."""

from dataclasses import dataclass

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import IntegerField
from wtforms.validators import InputRequired
from wtforms.widgets import HiddenInput

from core.errors import Forbidden, NotFound, Stale
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Article, Ticket
from core.tickets.merging import check_merge, merge, merge_target, split
from core.tickets.view import conversation, ticket_for_staff
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.forms import REQUIRED, Form
from portal.staff.asking import member_in, queues
from portal.staff.ticket_forms import TargetForm
from portal.staff.ticket_page import Returned, ticket_page
from portal.visitors import organisation, the_viewer

area = Area("staff_merging", __name__, Audience.STAFF, "/staff/tickets/<public_id>")


class MergeForm(Form):
    """The number of the ticket to merge into, and the version of the one that was read."""

    number = IntegerField(_l("Ticket number"), [InputRequired(REQUIRED)], widget=HiddenInput())
    version = IntegerField(widget=HiddenInput())


@dataclass(frozen=True, slots=True)
class Side:
    """One of two tickets that shall become one. The counts are of its latest messages."""

    ticket: Ticket
    messages: int
    notes: int


@area.get("/merge")
def ask(public_id: str) -> Response:
    """Show both tickets and what moves; one that cannot be merged stays where it is."""
    form = TargetForm(request.args)
    if form.validate():
        with form.errors_of_core():
            return _question(public_id, form.number.data, MergeForm(formdata=None))
    return ticket_page(public_id, Returned(merge=form))


@area.post("/merge")
def join(public_id: str) -> Response:
    """Merge the ticket into the other one."""
    form = MergeForm()
    if not form.validate():
        raise NotFound(_("There is no such ticket."))
    with form.errors_of_core():
        try:
            return _merge(public_id, form)
        except (Forbidden, Stale) as refusal:
            finish_writing(keep=False)
            form.form_errors.append(str(refusal))
    return _question(public_id, form.number.data, form)


@area.route("/messages/<int:article_id>/split", methods=["GET", "POST"])
def part(public_id: str, article_id: int) -> Response | str:
    """Ask, then give a message a ticket of its own."""
    if request.method == "POST":
        session = writing()
        staff, _mine = member_in(session)
        new = split(session, the_viewer().actor, staff, public_id, article_id)
        flash(_("The message now has this ticket of its own."))
        return redirect(url_for("staff_ticket.show", public_id=new.public_id), 303)
    session = reading()
    ticket = _workable(session, public_id)
    return render_template(
        "staff/split.html",
        action=url_for(".part", public_id=public_id, article_id=article_id),
        article=_article(session, ticket, article_id),
        cancel=url_for("staff_ticket.show", public_id=public_id),
        confirm=_("Split off"),
        ticket=ticket,
    )


def _merge(public_id: str, form: MergeForm) -> Response:
    session = writing()
    staff, _mine = member_in(session)
    number, version = form.number.data, form.version.data or 0
    target = merge(session, the_viewer().actor, staff, public_id, number, version)
    flash(_("Merged: everything now stands in this ticket."))
    return redirect(url_for("staff_ticket.show", public_id=target.public_id), 303)


def _question(public_id: str, number: int, form: MergeForm) -> Response:
    """Return the page that asks. Raises ``Invalid`` for a number that cannot be merged into."""
    session = reading()
    ticket = _workable(session, public_id)
    target = merge_target(session, queues(), public_id, number)
    check_merge(session, organisation(), ticket, target)
    if not form.is_submitted():
        form.number.data, form.version.data = target.number, ticket.version
    return form.answer(
        "staff/merge.html",
        action=url_for(".join", public_id=public_id),
        cancel=url_for("staff_ticket.show", public_id=public_id),
        confirm=_("Merge"),
        source=_side(session, ticket),
        target=_side(session, target),
    )


def _side(session: Session, ticket: Ticket) -> Side:
    articles = conversation(session, ticket, internal=True).articles
    notes = sum(not article.visible for article in articles)
    return Side(ticket, len(articles) - notes, notes)


def _workable(session: Session, public_id: str) -> Ticket:
    mine = queues()
    ticket = ticket_for_staff(session, mine, public_id)
    if not mine.may_work(ticket.queue_id):
        raise Forbidden(_("You may read this ticket, but not change it."))
    return ticket


def _article(session: Session, ticket: Ticket, article_id: int) -> Article:
    talk = conversation(session, ticket, internal=True, before=article_id + 1)
    if talk.newest != article_id:
        raise NotFound(_("There is no such message."))
    return talk.articles[-1]
