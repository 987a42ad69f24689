"""The list of tickets as staff see it: filtered, searched, page by page."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.errors import NotFound
from core.i18n import N_
from core.i18n import gettext as _
from core.labels import label
from core.models import Customer, CustomerUser
from core.tickets.lists import (
    MAX_COUNTED,
    StaffFilter,
    StateFilter,
    staff_counts,
    staff_tickets,
)
from core.tickets.tags import all_tags, tags_of
from core.tickets.view import ticket_with_number
from core.words import Flag, TicketState
from portal.areas import Area, Audience
from portal.database import reading
from portal.formats import number as shown_number
from portal.parameters import id_of_request, text_of_request, word_of_request
from portal.staff.asking import colleagues, member, named, queues
from portal.visitors import the_viewer

ME, NOBODY = "me", "nobody"
_STATES: Mapping[StateFilter, str] = {
    StateFilter.UNCLOSED: N_("Not closed"),
    StateFilter.NEW: N_("New"),
    StateFilter.OPEN: N_("Open"),
    StateFilter.WAITING: N_("Waiting"),
    StateFilter.CLOSED: N_("Closed"),
    StateFilter.ALL: N_("All"),
}

area = Area("staff_tickets", __name__, Audience.STAFF, "/staff/tickets")


class Tab(NamedTuple):
    """A state to choose; ``tickets`` is how many it has, None where that is not known."""

    text: str
    url: str
    tickets: int | None
    is_here: bool


@area.get("")
def index() -> str:
    """List the tickets of the queues that somebody may read."""
    session, mine, wanted = reading(), queues(), filter_of_request()
    found = staff_tickets(
        session,
        mine,
        wanted,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    tags = dict.fromkeys([*all_tags(session, mine.readable), wanted.tag])
    others = [each for each in colleagues(session) if each.id != member().id]
    return render_template(
        "staff/tickets.html",
        customer=session.get(Customer, wanted.customer_id or 0),
        customer_user=session.get(CustomerUser, wanted.customer_user_id or 0),
        flags=[(flag.value, label(flag)) for flag in Flag],
        found=found,
        has_queues=bool(mine.readable),
        owners=[(ME, _("Mine")), (NOBODY, _("Nobody's")), *((o.id, o.name) for o in others)],
        parameters=parameters_of(wanted),
        queues=[(queue.id, queue.name) for queue in named(mine.readable)],
        tags=[(tag, tag) for tag in tags if tag],
        tags_of_tickets=tags_of(session, [ticket.id for ticket in found.page.items]),
        tabs_to_show=_tabs(staff_counts(session, mine, wanted), wanted),
        wanted=wanted,
        StateFilter=StateFilter,
    )


@area.get("/number/<int:number>")
def by_number(number: int) -> Response:
    """Lead to the ticket with a number."""
    ticket = ticket_with_number(reading(), queues(), number)
    if ticket is None:
        raise NotFound(_("There is no such ticket."))
    return redirect(url_for("staff_ticket.show", public_id=ticket.public_id))


def filter_of_request() -> StaffFilter:
    """Return which tickets the address of this page asks for."""
    return StaffFilter(
        state=word_of_request("state", StateFilter) or StateFilter.UNCLOSED,
        queue_id=id_of_request("queue"),
        owner_id=_owner_of_request(),
        customer_id=id_of_request("customer"),
        customer_user_id=id_of_request("customer_user"),
        flag=word_of_request("flag", Flag),
        tag=text_of_request("tag"),
        query=text_of_request("q"),
    )


def parameters_of(wanted: StaffFilter) -> dict[str, str]:
    """Return the parameters of an address that asks for these tickets."""
    parameters = {
        "state": "" if wanted.state is StateFilter.UNCLOSED else wanted.state.value,
        "queue": str(wanted.queue_id or ""),
        "owner": _owner_parameter(wanted.owner_id),
        "customer": str(wanted.customer_id or ""),
        "customer_user": str(wanted.customer_user_id or ""),
        "flag": wanted.flag.value if wanted.flag is not None else "",
        "tag": wanted.tag,
        "q": wanted.query,
    }
    return {name: value for name, value in parameters.items() if value}


def _tabs(counts: Mapping[TicketState, int], wanted: StaffFilter) -> list[Tab]:
    """Return the states to choose from, with how many tickets each has where that is counted."""
    known = {StateFilter(state): count for state, count in counts.items()}
    known[StateFilter.UNCLOSED] = sum(counts.values())
    return [_tab(state, known.get(state), wanted) for state in _STATES]


def _tab(state: StateFilter, count: int | None, wanted: StaffFilter) -> Tab:
    text = _(_STATES[state])
    if count is not None and count > MAX_COUNTED:
        count, text = None, f"{text} ({shown_number(MAX_COUNTED)}+)"
    query = urlencode(parameters_of(replace(wanted, state=state)))
    return Tab(text, f"{url_for('.index')}?{query}".rstrip("?"), count, state is wanted.state)


def _owner_of_request() -> int | None:
    match request.args.get("owner"):
        case "me":
            return member().id
        case "nobody":
            return 0
        case _:
            return id_of_request("owner")


def _owner_parameter(owner_id: int | None) -> str:
    if owner_id is None:
        return ""
    return {0: NOBODY, member().id: ME}.get(owner_id, str(owner_id))
