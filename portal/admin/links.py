"""Links from admin pages to the pages of staff."""

from urllib.parse import urlencode

from flask import url_for


def tickets_url(of_what: str, object_id: int) -> str:
    """Return the address of the list of tickets of one thing, open and closed ones."""
    return f"{url_for('staff_tickets.index')}?{urlencode({of_what: object_id, 'state': 'all'})}"
