"""Held mail: what it says, who may have sent it, and what staff do with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import flash, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response
from wtforms import BooleanField, HiddenField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from core.errors import Forbidden, NotFound, Stale
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.held import discard, release
from core.intake.held_list import (
    Candidate,
    Identity,
    body_of,
    file_of,
    headers_of,
    held_mails,
    identity_of,
    look_at,
    original_of,
    record_look,
    waiting_reasons,
)
from core.intake.mail_log import shown_steps
from core.labels import label, reason_label
from core.models import MAX_ID, Staff, ticket_number
from core.tickets.view import eml
from core.words import HeldState
from portal.areas import Area, Audience
from portal.database import bookkeeping, finish_writing, reading, writing
from portal.files import file_response, frame_response
from portal.forms import REQUIRED, Form, choices
from portal.parameters import id_of_request, text_of_request, word_of_request
from portal.staff.accounts import accounts_found
from portal.staff.asking import member, member_in, named, queues
from portal.staff.mails import reason_choices
from portal.visitors import the_viewer

NO_ACCOUNT = 0
NEXT = 50  # held mails among which the next one is looked for

area = Area("staff_held", __name__, Audience.STAFF, "/staff/held")


class ReleaseForm(Form):
    """Where a held mail is filed, and as whose."""

    customer_user = HiddenField(_l("Whose mail is it?"))
    queue = SelectField(_l("File in the queue"), coerce=int)
    remember = BooleanField(_l("Remember the sender's address for this account"))

    @property
    def account_id(self) -> int:
        """The chosen account, ``NO_ACCOUNT`` for none."""
        text = self.customer_user.data or ""
        return int(text) if text.isdecimal() and int(text) <= MAX_ID else NO_ACCOUNT


class DiscardForm(Form):
    """Why a held mail is put aside."""

    why = StringField(_l("Reason"), [InputRequired(REQUIRED)])


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which held mail a list shows; the pages of single mails hand it on to the next one."""

    state: HeldState
    reason: str
    queue_id: int | None
    query: str

    @property
    def parameters(self) -> dict[str, str]:
        """What stands in the address of a page for it."""
        parameters = {
            "state": "" if self.state is HeldState.WAITING else self.state.value,
            "reason": self.reason,
            "queue": str(self.queue_id or ""),
            "q": self.query,
        }
        return {name: value for name, value in parameters.items() if value}


@area.get("")
def index() -> str:
    """List held mail: what waits, the oldest first, or what was done with the rest."""
    session, wanted = reading(), filter_of_request()
    waiting = waiting_reasons(session, member())
    page = held_mails(
        session,
        member(),
        state=wanted.state,
        reason=wanted.reason,
        queue_id=wanted.queue_id,
        query=wanted.query,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    return render_template(
        "staff/held.html",
        page=page,
        queues=[(queue.id, queue.name) for queue in named(queues().writable)],
        reasons=_reasons(wanted, waiting),
        states=[(word, label(word)) for word in HeldState],
        waiting=sum(waiting.values()),
        wanted=wanted,
        HeldState=HeldState,
    )


@area.get("/<int:delivery_id>")
def show(delivery_id: int) -> Response:
    """Show a held mail, and note down who has read it."""
    held = look_at(reading(), member(), delivery_id)
    if "account" not in request.args:  # a search on the page is the same look
        with bookkeeping() as session:
            record_look(session, the_viewer().actor, held)
    return _page(delivery_id, ReleaseForm(formdata=None))


@area.post("/<int:delivery_id>/release")
def let_go(delivery_id: int) -> Response:
    """File a held mail in a queue."""
    form = ReleaseForm()
    form.queue.choices = _queue_choices()
    if form.validate():
        with form.errors_of_core():
            try:
                return _release(delivery_id, form)
            except Forbidden as refusal:
                form.form_errors.append(str(refusal))
            except Stale as stale:
                return _too_late(delivery_id, stale)
    return _page(delivery_id, form)


@area.route("/<int:delivery_id>/discard", methods=["GET", "POST"])
def put_aside(delivery_id: int) -> Response:
    """Ask for the reason, then discard a held mail; its bytes are kept."""
    form = DiscardForm()
    if form.validate_on_submit():
        with form.errors_of_core():
            session = writing()
            staff, _mine = member_in(session)
            try:
                discard(session, the_viewer().actor, staff, delivery_id, form.why.data)
            except Stale as stale:
                return _too_late(delivery_id, stale)
            flash(_("The mail is discarded. It stays in the mail log."))
            return _to_next(delivery_id)
    held = look_at(reading(), member(), delivery_id)
    return form.answer(
        "staff/discard.html",
        action=_address(".put_aside", delivery_id),
        cancel=_address(".show", delivery_id),
        confirm=_("Discard mail"),
        held=held,
        is_waiting=held.delivery.held is HeldState.WAITING,
    )


@area.get("/<int:delivery_id>/raw")
def raw(delivery_id: int) -> Response:
    """Hand out the exact bytes of a held mail."""
    return file_response(eml(look_at(reading(), member(), delivery_id).mail))


@area.get("/<int:delivery_id>/files/<int:part>")
def file(delivery_id: int, part: int) -> Response:
    """Hand out a file of a held mail, to be saved."""
    return file_response(file_of(look_at(reading(), member(), delivery_id), part))


@area.get("/<int:delivery_id>/original")
def original(delivery_id: int) -> str:
    """Show a held mail with the formatting of its sender, in a frame of its own."""
    held = look_at(reading(), member(), delivery_id)
    is_shown = original_of(held) is not None
    return render_template("staff/held_original.html", held=held, is_shown=is_shown)


@area.get("/<int:delivery_id>/frame")
def frame(delivery_id: int) -> Response:
    """Hand out the document for that frame."""
    html = original_of(look_at(reading(), member(), delivery_id))
    if html is None:
        raise NotFound(_("There is no such message."))
    return frame_response(html)


def filter_of_request() -> HeldFilter:
    """Return which held mail the address of this page asks for."""
    return HeldFilter(
        state=word_of_request("state", HeldState) or HeldState.WAITING,
        reason=text_of_request("reason"),
        queue_id=id_of_request("queue"),
        query=text_of_request("q"),
    )


def _reasons(wanted: HeldFilter, waiting: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the reasons to choose from: of what waits those that there are, with their number."""
    if wanted.state is not HeldState.WAITING:
        return reason_choices()
    counts = {wanted.reason: 0, **waiting} if wanted.reason else waiting
    found = [(reason, f"{reason_label(reason)} ({counts[reason]})") for reason in counts]
    return sorted(found, key=lambda pair: pair[1])


def _release(delivery_id: int, form: ReleaseForm) -> Response:
    session = writing()
    staff, _mine = member_in(session)
    receipt = release(
        session,
        the_viewer().actor,
        staff,
        delivery_id,
        form.queue.data,
        form.account_id or None,
        remember_address=form.remember.data,
    )
    assert receipt.ticket_id is not None  # a release opens a ticket or raises
    number = ticket_number(receipt.ticket_id)
    link = Markup('<a href="{}">{}</a>').format(
        url_for("staff_ticket.show", public_id=receipt.ticket_public_id), number
    )
    told = Markup(_("The mail is released: ticket %(number)s."))  # noqa: S704 - our own text
    flash(told % {"number": link})
    return _to_next(delivery_id)


def _to_next(delivery_id: int) -> Response:
    """Lead to the next held mail of the same list, to its beginning, or to the empty list."""
    wanted = filter_of_request()
    rest = held_mails(
        writing(),
        member(),
        reason=wanted.reason,
        queue_id=wanted.queue_id,
        query=wanted.query,
        limit=NEXT,
    ).items
    later = [held for held in rest if held.delivery.id > delivery_id]
    if not rest:
        return redirect(_address(".index"), 303)
    return redirect(_address(".show", (later or rest)[0].delivery.id), 303)


def _too_late(delivery_id: int, stale: Stale) -> Response:
    finish_writing(keep=False)
    flash(str(stale), "warning")
    return redirect(_address(".show", delivery_id), 303)


def _address(endpoint: str, delivery_id: int | None = None) -> str:
    """Return the address of a page of this area, with the list that one comes from."""
    page = url_for(endpoint) if delivery_id is None else url_for(endpoint, delivery_id=delivery_id)
    return f"{page}?{urlencode(filter_of_request().parameters)}".rstrip("?")


def _queue_choices() -> list[SelectChoice]:
    return choices((queue.id, queue.name) for queue in named(queues().writable) if queue.valid)


def _page(delivery_id: int, form: ReleaseForm) -> Response:
    """Return the page of a held mail with the release as it was filled in."""
    session, wanted = reading(), filter_of_request()
    held = look_at(session, member(), delivery_id)
    queue_id = held.delivery.queue_id
    form.queue.choices = _queue_choices()
    if not form.is_submitted():
        form.queue.data = queue_id
    query = text_of_request("account")
    identity = identity_of(session, held)
    body = body_of(held)
    settled_by = session.get(Staff, held.delivery.settled_by_id or 0)
    return form.answer(
        "staff/held_mail.html",
        body=body,
        found=_without(identity, accounts_found(session, query, queue_id)),
        headers=headers_of(held),
        held=held,
        html=Markup(body.html.html) if body.html is not None else None,  # noqa: S704 - nh3's
        identity=identity,
        is_waiting=held.delivery.held is HeldState.WAITING,
        query=query,
        settled_by=settled_by.name if settled_by is not None else "",
        steps=shown_steps(held.delivery.trace),
        ticket_number=ticket_number(held.delivery.ticket_id or 0),
        wanted=wanted,
        HeldState=HeldState,
    )


def _without(identity: Identity, found: tuple[Candidate, ...]) -> list[Candidate]:
    """Return what a search has found besides the candidates."""
    shown = {candidate.customer_user.id for candidate in identity.candidates}
    return [each for each in found if each.customer_user.id not in shown]
