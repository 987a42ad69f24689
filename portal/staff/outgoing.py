"""Outgoing mail: what waits, what was sent, what was not, and what came back."""

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlencode

from flask import flash, g, redirect, render_template, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from core.errors import Forbidden, NotFound
from core.i18n import N_
from core.i18n import gettext as _
from core.models import OutgoingMail
from core.outgoing.bounces import bouncing, clear_bounces
from core.outgoing.lists import (
    OutboxState,
    OutgoingFilter,
    outbox_state,
    outgoing_mails,
    reply_text,
)
from core.outgoing.manage import can_cancel, can_retry, cancel, outgoing_mail, retry
from core.tickets.view import OCTETS, File
from core.words import OutgoingState
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.files import file_response
from portal.parameters import id_of_request, text_of_request, word_of_request
from portal.staff.asking import member, member_in, named, queues
from portal.staff.receiver import no_relay
from portal.staff.tickets import Tab
from portal.visitors import the_viewer

area = Area("staff_outgoing", __name__, Audience.STAFF, "/staff/outgoing")


class Shown(StrEnum):
    """Which mails the list shows."""

    WAITING = "waiting"
    FAILED = "failed"
    BOUNCED = "bounced"
    SENT = "sent"
    ALL = "all"


_TABS: Mapping[Shown, str] = {
    Shown.WAITING: N_("Waiting"),
    Shown.FAILED: N_("Not sent"),
    Shown.BOUNCED: N_("Came back"),
    Shown.SENT: N_("Sent"),
    Shown.ALL: N_("All"),
}


@area.get("")
def index() -> str:
    """List outgoing mails: filtered, page by page."""
    session, mine = reading(), queues()
    shown = word_of_request("state", Shown) or Shown.WAITING
    wanted = OutgoingFilter(
        state=None if shown is Shown.ALL else OutgoingState(shown.value),
        queue_id=id_of_request("queue"),
        query=text_of_request("q"),
    )
    return render_template(
        "staff/outgoing.html",
        no_relay=no_relay(),
        page=outgoing_mails(
            session,
            mine,
            wanted,
            cursor=request.args.get("page"),
            limit=the_viewer().account.tickets_per_page,
        ),
        parameters=_parameters(shown, wanted),
        queues=[(queue.id, queue.name) for queue in named(mine.readable)],
        answer_of=answer_of,
        shown=shown,
        tabs_to_show=_tabs(shown, wanted),
        wanted=wanted,
        Shown=Shown,
    )


@area.get("/<int:outgoing_id>")
def show(outgoing_id: int) -> str:
    """Show one mail: what it is, what the relay said, and what can be done."""
    mail = outgoing_mail(reading(), member(), outgoing_id)
    return render_template(
        "staff/outgoing_mail.html",
        bouncing=bouncing(reading(), [mail.recipient_key]).get(mail.recipient_key),
        can_cancel=can_cancel(mail),
        can_retry=can_retry(mail),
        mail=mail,
        may_work=queues().may_work(mail.queue_id),
        no_relay=no_relay(),
        reply_text=reply_text(mail),
    )


@area.get("/<int:outgoing_id>/raw")
def raw(outgoing_id: int) -> Response:
    """Hand out the message as the relay gets it."""
    mail = outgoing_mail(reading(), member(), outgoing_id)
    if mail.raw is None:
        raise NotFound(_("There is no such mail."))
    name = f"outgoing-{mail.id}.eml"
    return file_response(File(name, "message/rfc822", OCTETS, mail.raw.content))


@area.post("/<int:outgoing_id>/retry")
def try_again(outgoing_id: int) -> Response:
    """Let the worker try a mail at once."""
    session = writing()
    staff, _mine = member_in(session)
    retry(session, the_viewer().actor, staff, outgoing_id)
    flash(_("The mail will be tried at once."))
    return redirect(url_for(".show", outgoing_id=outgoing_id), 303)


@area.post("/<int:outgoing_id>/cancel")
def put_aside(outgoing_id: int) -> Response:
    """Give a mail up."""
    session = writing()
    staff, _mine = member_in(session)
    cancel(session, the_viewer().actor, staff, outgoing_id)
    flash(_("The mail is cancelled: it will not be sent."))
    return redirect(url_for(".show", outgoing_id=outgoing_id), 303)


@area.post("/<int:outgoing_id>/trust")
def trust(outgoing_id: int) -> Response:
    """Say that an address is good although mail to it came back."""
    session = writing()
    staff, mine = member_in(session)
    mail = outgoing_mail(session, staff, outgoing_id)
    if not mine.may_work(mail.queue_id):
        raise Forbidden(_("You may read this ticket, but not change it."))
    clear_bounces(session, the_viewer().actor, mail.recipient_key)
    flash(_("What came back from this address counts no more."))
    return redirect(url_for(".show", outgoing_id=outgoing_id), 303)


def state_of_outbox() -> OutboxState:
    """Return how the outbox stands for who asks; asked once for each request.

    It stands in the navigation, so also on the page that says that the database is away.
    """
    if "outbox" not in g:
        try:
            g.outbox = outbox_state(reading(), queues())
        except SQLAlchemyError:
            g.outbox = OutboxState(0, None, 0)
    found: OutboxState = g.outbox
    return found


def answer_of(mail: OutgoingMail) -> str:
    """Return what is to be said of a mail beside its state."""
    return mail.bounce if mail.state is OutgoingState.BOUNCED else reply_text(mail)


def _parameters(shown: Shown, wanted: OutgoingFilter) -> dict[str, str]:
    parameters = {
        "state": "" if shown is Shown.WAITING else shown.value,
        "queue": str(wanted.queue_id or ""),
        "q": wanted.query,
    }
    return {name: value for name, value in parameters.items() if value}


def _tabs(shown: Shown, wanted: OutgoingFilter) -> list[Tab]:
    """Return the tabs; those that somebody has to look after say how many there are."""
    state = state_of_outbox()
    counts = {Shown.WAITING: state.waiting, Shown.FAILED: state.failed}
    is_all = not (wanted.queue_id or wanted.query)
    tabs = []
    for each, text in _TABS.items():
        query = urlencode(_parameters(each, wanted))
        url = f"{url_for('.index')}?{query}".rstrip("?")
        tabs.append(Tab(_(text), url, counts.get(each) if is_all else None, each is shown))
    return tabs
