"""Links from admin pages to the pages of staff."""

from urllib.parse import urlencode

from flask import current_app, url_for

TICKETS = "staff_tickets.index"


def tickets_url(of_what: str, object_id: int) -> str:
    """Return the address of the list of tickets of one thing, open and closed ones."""
    if TICKETS not in current_app.view_functions:
        return ""
    parameters = {of_what: object_id, "state": "all"}
    return f"{url_for(TICKETS)}?{urlencode(parameters)}"
