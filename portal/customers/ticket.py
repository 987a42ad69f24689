"""A ticket of a customer: the conversation, what is attached to it, and writing in it."""

from enum import StrEnum

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField

from core.accounts.permissions import Access
from core.audit import customer_actor
from core.errors import NotFound
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake import submission
from core.models import CustomerUser, Ticket
from core.organisation import Organisation
from core.outgoing import mutes
from core.tickets.view import (
    File,
    article_original,
    attachment_for_customer,
    conversation,
    final_ticket,
    linked_tickets,
    mark_seen,
    seen_article,
    ticket_for_customer,
)
from core.tickets.work import close_by_customer
from core.words import DecisionKind, FollowUp, TicketState
from portal.areas import Area, Audience
from portal.conversation import message_html
from portal.customers.asking import access, access_in
from portal.customers.posting import MessageForm, post
from portal.database import note_down, reading, writing
from portal.files import file_response, frame_response
from portal.limits import POST, limiter
from portal.parameters import id_of_request
from portal.uploads import uploads_of
from portal.visitors import organisation, peer, the_viewer

area = Area("ticket", __name__, Audience.CUSTOMER, "/tickets/<public_id>")


class AfterReply(StrEnum):
    """What a reply to a ticket does, for the words beside the form."""

    APPENDED = "appended"
    REOPENED = "reopened"
    NEW_TICKET = "new-ticket"
    REFUSED = "refused"  # the queue takes no replies to closed tickets
    READ_ONLY = "read-only"  # the account may only read here


class ReplyForm(MessageForm):
    """A reply, which may close the ticket."""

    close = BooleanField(_l("This settles it: close the ticket"))


@area.get("")
def show(public_id: str) -> Response:
    """Show a ticket as a conversation; of a merged one, what it was merged into."""
    session, mine = reading(), access()
    ticket = ticket_for_customer(session, mine, public_id)
    final = final_ticket(session, mine, ticket)
    if final is not ticket:
        flash(_("Ticket %(number)d was merged into this one.", number=ticket.number))
        return redirect(url_for("ticket.show", public_id=final.public_id), 303)
    return _page(public_id, ReplyForm(formdata=None))


@area.post("/reply")
@limiter.limit(POST)
def reply(public_id: str) -> Response:
    """Send a reply."""
    ticket = _ticket(reading(), access(), public_id)
    form = ReplyForm()
    if form.validate():
        with form.errors_of_core():
            form.check_text()
            message = submission.reply(
                the_viewer().customer_user_in(reading()),
                ticket,
                form.text.data,
                uploads_of(form.files),
                close=form.close.data,
                nonce=form.message_nonce(public_id),
                peer=peer(),
            )
            done = post(message)
            if done.decision is DecisionKind.OPEN_TICKET:
                flash(_("Your message has opened a new ticket."))
            elif form.close.data:
                flash(_("Your reply is sent, and the ticket is closed."))
            else:
                flash(_("Your reply is sent."))
            return redirect(url_for("ticket.show", public_id=done.ticket_public_id), 303)
    return _page(public_id, form)


@area.route("/close", methods=["GET", "POST"])
def close(public_id: str) -> Response | str:
    """Ask whether the ticket is settled, then close it without a word."""
    if request.method == "POST":
        session = writing()
        account, mine = access_in(session)
        ticket = _ticket(session, mine, public_id)
        close_by_customer(session, customer_actor(account, peer()), mine, ticket.public_id)
        flash(_("The ticket is closed."))
        return redirect(url_for("ticket.show", public_id=ticket.public_id), 303)
    ticket = _ticket(reading(), access(), public_id)
    return render_template(
        "portal/close.html",
        action=url_for("ticket.close", public_id=public_id),
        cancel=url_for("ticket.show", public_id=public_id),
        confirm=_("Close ticket"),
        follow_up=organisation().queues[ticket.queue_id].follow_up,
        ticket=ticket,
    )


@area.post("/mute")
def mute(public_id: str) -> Response:
    """Stop mail about the ticket, or let it come again."""
    session = writing()
    account, mine = access_in(session)
    ticket = _ticket(session, mine, public_id)
    if request.form.get("wanted") == "no":
        mutes.mute(session, account.id, ticket.id)
        flash(_("You get no more mail about this ticket."))
    else:
        mutes.unmute(session, account.id, ticket.id)
        flash(_("You get mail about new answers in this ticket again."))
    return redirect(url_for("ticket.show", public_id=ticket.public_id), 303)


@area.get("/attachments/<int:attachment_id>")
def attachment(public_id: str, attachment_id: int) -> Response:
    """Hand out a file, to be saved."""
    return file_response(_file(public_id, attachment_id))


@area.get("/pictures/<int:attachment_id>")
def picture(public_id: str, attachment_id: int) -> Response:
    """Hand out a picture, to be shown in its message."""
    return file_response(_file(public_id, attachment_id), inline=True)


@area.get("/messages/<int:article_id>")
def original(public_id: str, article_id: int) -> str:
    """Show a message with the formatting of its sender, in a frame of its own."""
    session, mine = reading(), access()
    ticket = _ticket(session, mine, public_id)
    article_original(session, mine, ticket.public_id, article_id)  # NotFound for what is not theirs
    return render_template("portal/original.html", ticket=ticket, article_id=article_id)


@area.get("/messages/<int:article_id>/frame")
def frame(public_id: str, article_id: int) -> Response:
    """Hand out the document for that frame."""
    session, mine = reading(), access()
    ticket = _ticket(session, mine, public_id)
    html = article_original(session, mine, ticket.public_id, article_id)
    if html is None:
        raise NotFound(_("There is no such message."))
    return frame_response(html)


def after_reply(mine: Access, here: Organisation, ticket: Ticket) -> AfterReply:
    """Return what a reply would do. Intake decides again when one comes."""
    if not mine.may_reply(ticket):
        return AfterReply.READ_ONLY
    if ticket.state is not TicketState.CLOSED:
        return AfterReply.APPENDED
    match here.queues[ticket.queue_id].follow_up:
        case FollowUp.POSSIBLE:
            return AfterReply.REOPENED
        case FollowUp.NEW_TICKET:
            return AfterReply.NEW_TICKET
        case FollowUp.REJECT:
            return AfterReply.REFUSED


def _ticket(session: Session, mine: Access, public_id: str) -> Ticket:
    """Return the ticket that an address leads to. Raises ``NotFound``."""
    return final_ticket(session, mine, ticket_for_customer(session, mine, public_id))


def _file(public_id: str, attachment_id: int) -> File:
    session, mine = reading(), access()
    ticket = _ticket(session, mine, public_id)
    return attachment_for_customer(session, mine, ticket.public_id, attachment_id)


def _page(public_id: str, form: ReplyForm) -> Response:
    """Return the page of a ticket with the reply as it was typed."""
    session, mine = reading(), access()
    ticket = _ticket(session, mine, public_id)
    form.prepare_nonce()
    talk = conversation(session, ticket, internal=False, before=id_of_request("before"))
    account = the_viewer().account
    assert isinstance(account, CustomerUser)  # the area lets nobody else in
    me = account.id
    seen = seen_article(session, me, ticket)
    if talk.newest > seen:
        note_down("a ticket was seen", lambda notes: mark_seen(notes, me, ticket, talk.newest))
    return form.answer(
        "portal/ticket.html",
        after=after_reply(mine, organisation(), ticket),
        has_notices=account.notices,
        html={article.id: message_html(mine, ticket, article) for article in talk.articles},
        is_muted=mutes.is_muted(session, me, ticket.id),
        links=linked_tickets(session, mine, ticket),
        seen=seen,
        talk=talk,
        ticket=ticket,
    )
