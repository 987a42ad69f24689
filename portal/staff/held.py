"""Held mail: what it says, who may have sent it, and what staff do with it."""

from collections.abc import Mapping

from flask import flash, g, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response
from wtforms.fields.choices import SelectChoice

from core.errors import Forbidden, NotFound, Stale
from core.i18n import current_language
from core.i18n import gettext as _
from core.intake.held import RightMissing, discard, may_undo, release, release_to_ticket
from core.intake.held_list import (
    Candidate,
    HeldCounts,
    Identity,
    body_of,
    file_of,
    headers_of,
    held_around,
    held_mails,
    held_state,
    identity_of,
    look_at,
    original_of,
    record_look,
    waiting_reasons,
)
from core.intake.incoming import RecipientReceipt
from core.intake.mail_log import shown_steps
from core.intake.number_claims.answers import CONFIRMED, DENIED, asked_about
from core.intake.refuse import REASONS as REFUSALS
from core.intake.refuse import language_of, refusal_problem, refuse, shown_why, text_of
from core.labels import label, reason_label
from core.models import Staff, ticket_number
from core.tickets.view import eml
from core.words import HeldState
from portal.areas import Area, Audience
from portal.database import bookkeeping, finish_writing, reading, writing
from portal.files import file_response, frame_response
from portal.forms import choices, put
from portal.installation import installation
from portal.parameters import id_of_request, text_of_request
from portal.staff.accounts import accounts_found
from portal.staff.asking import member, member_in, named, queues
from portal.staff.held_filter import HeldFilter, filter_of_request
from portal.staff.held_forms import DiscardForm, RefuseForm, ReleaseForm, right_key
from portal.staff.mails import reason_choices
from portal.visitors import the_viewer

NEXT = 50  # held mails among which the next one is looked for

area = Area("staff_held", __name__, Audience.STAFF, "/staff/held")


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
        undoable=_undoable(),
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
            except RightMissing as missing:
                form.form_errors.append(str(missing))
                return _page(delivery_id, form, missing)
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
            return _to_next(delivery_id, discarded=True)
    held = look_at(reading(), member(), delivery_id)
    return form.answer(
        "staff/discard.html",
        action=_address(".put_aside", delivery_id),
        cancel=_address(".show", delivery_id),
        confirm=_("Discard mail"),
        held=held,
        is_waiting=held.delivery.held is HeldState.WAITING,
    )


@area.route("/<int:delivery_id>/refuse", methods=["GET", "POST"])
def turn_down(delivery_id: int) -> Response:
    """Ask what the sender is to be told, then put a held mail aside and tell them."""
    form = RefuseForm()
    form.reason.choices = choices((word, _(text)) for word, text in REFUSALS.items())
    if form.validate_on_submit():
        with form.errors_of_core():
            try:
                return _refuse(delivery_id, form)
            except Forbidden as refusal:
                form.form_errors.append(str(refusal))
            except Stale as stale:
                return _too_late(delivery_id, stale)
    session = reading()
    held = look_at(session, member(), delivery_id)
    if not form.is_submitted():
        form.language.data = language_of(session, held.delivery)
    return form.answer(
        "staff/refuse.html",
        action=_address(".turn_down", delivery_id),
        cancel=_address(".show", delivery_id),
        held=held,
        is_waiting=held.delivery.held is HeldState.WAITING,
        problem=refusal_problem(session, installation(), held.delivery),
        samples=[
            (_(name), text_of(session, held.delivery, word, current_language()))
            for word, name in REFUSALS.items()
        ],
    )


def _refuse(delivery_id: int, form: RefuseForm) -> Response:
    session = writing()
    staff, _mine = member_in(session)
    refuse(
        session,
        installation(),
        the_viewer().actor,
        staff,
        delivery_id,
        form.reason.data,
        form.language.data,
    )
    flash(_("The mail is refused, and its sender will be told."))
    return _to_next(delivery_id)


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


def state_of_held() -> HeldCounts:
    """Return how much held mail waits for who asks; asked once for each request.

    It stands in the navigation, so also on the page that says that the database is away.
    """
    if "held" not in g:
        try:
            g.held = held_state(reading(), member())
        except SQLAlchemyError:
            g.held = HeldCounts(0, None)
    found: HeldCounts = g.held
    return found


def _reasons(wanted: HeldFilter, waiting: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the reasons to choose from: of what waits those that there are, with their number."""
    if wanted.state is not HeldState.WAITING:
        return reason_choices()
    counts = {wanted.reason: 0, **waiting} if wanted.reason else waiting
    found = [(reason, f"{reason_label(reason)} ({counts[reason]})") for reason in counts]
    return sorted(found, key=lambda pair: pair[1])


def _release(delivery_id: int, form: ReleaseForm) -> Response:
    try:
        receipt = _filed(delivery_id, form)
    except RightMissing as missing:
        if not form.gives(missing):
            raise
        receipt = _filed(delivery_id, form, give_right=True)
    assert receipt.ticket_id is not None  # a release files in a ticket or raises
    number = ticket_number(receipt.ticket_id)
    link = Markup('<a href="{}">{}</a>').format(
        url_for("staff_ticket.show", public_id=receipt.ticket_public_id), number
    )
    told = Markup(_("The mail is released: ticket %(number)s."))  # noqa: S704 - our own text
    flash(told % {"number": link})
    return _to_next(delivery_id)


def _filed(delivery_id: int, form: ReleaseForm, *, give_right: bool = False) -> RecipientReceipt:
    session = writing()
    staff, _mine = member_in(session)
    number = form.ticket_number
    if number is not None:
        return release_to_ticket(
            session,
            the_viewer().actor,
            staff,
            delivery_id,
            number,
            form.account_id or None,
            remember_address=form.remember.data,
            give_right=give_right,
        )
    return release(
        session,
        the_viewer().actor,
        staff,
        delivery_id,
        form.queue.data,
        form.account_id or None,
        remember_address=form.remember.data,
        give_right=give_right,
    )


def _to_next(delivery_id: int, *, discarded: bool = False) -> Response:
    """Lead to the next held mail of the same list, to its beginning, or to the empty list.

    What was discarded can be taken back there.
    """
    more = f"{delivery_id}" if discarded else ""
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
        return redirect(_address(".index", discarded=more), 303)
    return redirect(_address(".show", (later or rest)[0].delivery.id, discarded=more), 303)


def _undoable() -> list[int]:
    """Return the mail that was just discarded, if that can still be taken back."""
    delivery_id = id_of_request("discarded")
    if delivery_id is None:
        return []
    try:
        delivery = look_at(reading(), member(), delivery_id).delivery
    except NotFound:
        return []
    return [delivery_id] if may_undo(member(), delivery) else []


def _too_late(delivery_id: int, stale: Stale) -> Response:
    finish_writing(keep=False)
    flash(str(stale), "warning")
    return redirect(_address(".show", delivery_id), 303)


def _address(endpoint: str, delivery_id: int | None = None, discarded: str = "") -> str:
    """Return the address of a page of this area, with the list that one comes from."""
    page = url_for(endpoint) if delivery_id is None else url_for(endpoint, delivery_id=delivery_id)
    return filter_of_request().at(page, **({"discarded": discarded} if discarded else {}))


def _queue_choices() -> list[SelectChoice]:
    return choices((queue.id, queue.name) for queue in named(queues().writable) if queue.valid)


def _page(delivery_id: int, form: ReleaseForm, missing: RightMissing | None = None) -> Response:
    """Return the page of a held mail with the release as it was filled in.

    What is ``missing`` for it an admin can give from there.
    """
    session, wanted = reading(), filter_of_request()
    held = look_at(session, member(), delivery_id)
    queue_id = held.delivery.queue_id
    form.queue.choices = _queue_choices()
    if not form.is_submitted():
        form.queue.data = queue_id
    put(form.give_what, right_key(missing) if missing is not None else "")
    form.give.data = False
    query = text_of_request("account")
    identity = identity_of(session, held)
    body = body_of(held)
    settled_by = session.get(Staff, held.delivery.settled_by_id or 0)
    return form.answer(
        "staff/held_mail.html",
        answers={CONFIRMED: _("has confirmed the sender"), DENIED: _("does not know the sender")},
        asked=asked_about(session, held.delivery),
        body=body,
        found=_without(identity, accounts_found(session, query, queue_id)),
        headers=headers_of(held),
        held=held,
        html=Markup(body.html.html) if body.html is not None else None,  # noqa: S704 - nh3's
        identity=identity,
        is_waiting=held.delivery.held is HeldState.WAITING,
        may_refuse=not refusal_problem(session, installation(), held.delivery),
        list_of=held_around(
            session,
            member(),
            delivery_id,
            state=wanted.state,
            reason=wanted.reason,
            queue_id=wanted.queue_id,
            query=wanted.query,
        ),
        missing=missing if the_viewer().is_admin else None,
        query=query,
        settled_by=settled_by.name if settled_by is not None else "",
        steps=shown_steps(held.delivery.trace),
        ticket_number=ticket_number(held.delivery.ticket_id or 0),
        undoable=_undoable(),
        wanted=wanted,
        why=shown_why(held.delivery.settled_why),
        HeldState=HeldState,
    )


def _without(identity: Identity, found: tuple[Candidate, ...]) -> list[Candidate]:
    """Return what a search has found besides the candidates."""
    shown = {candidate.customer_user.id for candidate in identity.candidates}
    return [each for each in found if each.customer_user.id not in shown]
