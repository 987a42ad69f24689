"""The list of a customer's tickets."""

from flask import render_template, request

from core.tickets.lists import Scope, Tab, customer_tickets
from portal.areas import Area, Audience
from portal.customers.asking import access
from portal.database import reading
from portal.parameters import text_of_request, word_of_request
from portal.visitors import the_viewer

area = Area("tickets", __name__, Audience.CUSTOMER)


@area.get("/tickets")
def index() -> str:
    """Show the list of tickets."""
    mine = access()
    tab = word_of_request("tab", Tab) or Tab.OPEN
    scope = word_of_request("scope", Scope) or Scope.OWN
    if not mine.sees_customer_tickets:
        scope = Scope.OWN
    query = text_of_request("q")
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
