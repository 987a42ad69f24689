"""The list of a customer's tickets."""

from enum import StrEnum
from typing import TypeVar

from flask import render_template, request

from core.tickets.lists import Scope, Tab, customer_tickets
from portal.areas import Area, Audience
from portal.customers.asking import access
from portal.database import reading
from portal.visitors import the_viewer

Word = TypeVar("Word", bound=StrEnum)

area = Area("tickets", __name__, Audience.CUSTOMER)


@area.get("/")
@area.get("/tickets")
def index() -> str:
    """Show the list of tickets."""
    mine = access()
    tab = _word_of_request("tab", Tab, Tab.OPEN)
    scope = _word_of_request("scope", Scope, Scope.OWN)
    if not mine.sees_customer_tickets:
        scope = Scope.OWN
    query = request.args.get("q", "").strip()
    found = customer_tickets(
        reading(),
        mine,
        scope=scope,
        tab=tab,
        query=query,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    return render_template(
        "portal/tickets.html",
        access=mine,
        found=found,
        query=query,
        scope=scope,
        tab=tab,
        Scope=Scope,
        Tab=Tab,
    )


def _word_of_request(name: str, words: type[Word], otherwise: Word) -> Word:
    """Return a word from the address of the page; what is none of ours is the default."""
    return next((word for word in words if word == request.args.get(name)), otherwise)
