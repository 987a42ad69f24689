"""Links from admin pages to the pages of staff."""

from urllib.parse import urlencode

from flask import current_app, url_for

TICKETS = "staff_tickets.index"


def tickets_url(of_what: str, object_id: int) -> str:
    """Return the address of the staff's list of tickets, narrowed down to those of one thing."""
    if TICKETS not in current_app.view_functions:
        return ""
    return f"{url_for(TICKETS)}?{urlencode({of_what: object_id})}"
