"""The blocklist: whose mail is refused, with how often it was; entries are added and removed."""

from dataclasses import dataclass

from flask import current_app, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import HiddenField, SelectField

from core.config import Config
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.blocking import (
    block,
    blocked_sender,
    blocked_senders,
    checked_value,
    concerned,
    count_blocked,
    unblock,
)
from core.intake.blocklist import IPNetwork
from core.intake.held import discard
from core.intake.held_list import look_at
from core.labels import label
from core.models import Mail
from core.words import BlockedKind, HeldState
from portal.admin.fixed import CONFIG
from portal.admin.forms import Starred, text
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import Form, choices
from portal.parameters import id_of_request, text_of_request, word_of_request
from portal.staff.asking import member, member_in
from portal.visitors import organisation, the_viewer

area = Area("admin_blocklist", __name__, Audience.ADMIN, "/admin/blocklist")


class BlockForm(Form):
    """What can be entered; ``confirmed`` is the number of those whom its sender agreed to hit."""

    kind = SelectField(_l("Kind"), [Starred()], coerce=BlockedKind)
    value = text(_l("Value"), starred=True)
    comment = text(_l("Comment"))
    confirmed = HiddenField()

    def offer(self) -> None:
        """Fill in what can be chosen."""
        self.kind.choices = choices((kind.value, label(kind)) for kind in BlockedKind)


@dataclass(frozen=True, slots=True)
class HeldSender:
    """A held mail whose sender is to be blocked, and what could be entered for it."""

    delivery_id: int
    is_waiting: bool
    values: dict[BlockedKind, str]


@area.get("")
def index() -> str:
    """List the entries: searched, page by page, the newest first."""
    session = reading()
    query, kind = text_of_request("q"), word_of_request("kind", BlockedKind)
    parameters = {"q": query, "kind": kind.value if kind else ""}
    return render_template(
        "admin/blocklist.html",
        count=count_blocked(session, query=query, kind=kind),
        everybody=count_blocked(session),
        kinds=[(word.value, label(word)) for word in BlockedKind],
        page=blocked_senders(
            session,
            query=query,
            kind=kind,
            cursor=request.args.get("page"),
            limit=the_viewer().account.tickets_per_page,
        ),
        parameters={name: value for name, value in parameters.items() if value},
        query=query,
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new entry, and add it; with ``held`` for the sender of a held mail."""
    held = _held_of_request()
    form = BlockForm()
    form.offer()
    if form.validate_on_submit():
        with form.errors_of_core():
            return _ask(form, held) or _block(form, held)
    if not form.is_submitted() and held:
        kind = word_of_request("kind", BlockedKind)
        form.kind.data = kind if kind in held.values else next(iter(held.values), None)
        form.value.data = held.values.get(form.kind.data, "")
    return form.answer("admin/block.html", held=held, here=_address(held), label=label)


@area.route("/<int:object_id>/remove", methods=["GET", "POST"])
def remove(object_id: int) -> Response:
    """Ask, then take an entry off the list."""
    if request.method == "POST":
        value = unblock(writing(), the_viewer().actor, object_id)
        flash(_("%(value)s is no longer blocked.", value=value))
        return redirect(url_for(".index"), 303)
    page = render_template(
        "admin/unblock.html",
        action=url_for(".remove", object_id=object_id),
        cancel=url_for(".index"),
        confirm=_("Remove"),
        entry=blocked_sender(reading(), object_id),
    )
    return make_response(page)


def _ask(form: BlockForm, held: HeldSender | None) -> Response | None:
    """Return the page that names the customers who would be hit, None where nobody has to agree."""
    session = reading()
    value = checked_value(organisation(), form.kind.data, form.value.data, _relays())
    hit = concerned(session, form.kind.data, value)
    if not hit or form.confirmed.data == str(hit.accounts + hit.customers):
        return None
    page = render_template(
        "admin/confirm_blocking.html",
        action=_address(held),
        cancel=_back(held),
        confirm=_("Block anyway"),
        fields=[
            ("kind", form.kind.data.value),
            ("value", value),
            ("comment", form.comment.data),
            ("confirmed", hit.accounts + hit.customers),
        ],
        hit=hit,
        value=value,
    )
    return make_response(page)


def _block(form: BlockForm, held: HeldSender | None) -> Response:
    session, actor = writing(), the_viewer().actor
    data = form.kind.data, form.value.data, form.comment.data
    entry = block(session, actor, *data, relays=_relays())
    if held and held.is_waiting:
        staff, _mine = member_in(session)
        discard(session, actor, staff, held.delivery_id, _("The sender is blocked."))
        flash(_("%(value)s is blocked, and the mail is discarded.", value=entry.value))
        return redirect(url_for("staff_held.index"), 303)
    flash(_("%(value)s is blocked.", value=entry.value))
    return redirect(url_for(".index"), 303)


def _held_of_request() -> HeldSender | None:
    delivery_id = id_of_request("held")
    if delivery_id is None:
        return None
    held = look_at(reading(), member(), delivery_id)
    return HeldSender(delivery_id, held.delivery.held is HeldState.WAITING, _values_of(held.mail))


def _values_of(mail: Mail) -> dict[BlockedKind, str]:
    """Return what of a mail can be blocked; who handed it to a relay of ours is not known."""
    address = mail.from_address or mail.mail_from
    found = {
        BlockedKind.ADDRESS: address,
        BlockedKind.DOMAIN: address.rpartition("@")[2],
        BlockedKind.PEER: "" if mail.trusted else mail.peer,
    }
    return {kind: value for kind, value in found.items() if value}


def _relays() -> tuple[IPNetwork, ...]:
    config: Config = current_app.extensions[CONFIG]
    return config.smtp.relay_networks


def _address(held: HeldSender | None) -> str:
    return url_for(".new", held=held.delivery_id if held else None)


def _back(held: HeldSender | None) -> str:
    if held is None:
        return url_for(".index")
    return url_for("staff_held.show", delivery_id=held.delivery_id)
