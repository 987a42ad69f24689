"""Placeholders in texts: ``{ticket_number}`` becomes the number of the ticket that it is about.

A text is read once from its beginning to its end, so a value that itself looks like a placeholder
stays what it is, and no text takes longer than its length. What is no placeholder, such as braces
with a blank in them, stays as it is.
"""

import re
from collections.abc import Collection, Mapping

from core.errors import Invalid
from core.i18n import N_, ngettext
from core.mail.text import one_line
from core.models import Staff, Ticket
from core.organisation import Organisation
from core.outgoing.installation import Installation

# What may stand in a text of staff, with what it means.
PLACEHOLDERS: Mapping[str, str] = {
    "ticket_number": N_("Number of the ticket"),
    "subject": N_("Subject of the ticket"),
    "customer_name": N_("Name of the customer user"),
    "queue": N_("Name of the queue"),
    "staff_name": N_("Name of who writes"),
    "organisation": N_("Name of the organisation"),
    "ticket_url": N_("Address of the ticket in the portal"),
}

_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,39})\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with values in place of placeholders; one without a value stays."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def unknown_placeholders(text: str, known: Collection[str]) -> list[str]:
    """Return the names in a text that are none of the known ones, each once, in their order."""
    names = dict.fromkeys(found[1] for found in _PLACEHOLDER.finditer(text))
    return [name for name in names if name not in known]


def check_placeholders(text: str, known: Collection[str], field: str) -> None:
    """Raise ``Invalid`` for a name that nothing would be put in for: customers would read it."""
    unknown = unknown_placeholders(text, known)
    if unknown:
        names = ", ".join(f"{{{name}}}" for name in unknown)
        message = ngettext(
            "There is no placeholder %(names)s.",
            "There are no placeholders %(names)s.",
            len(unknown),
            names=names,
        )
        raise Invalid(field, message)


def values_of(
    installation: Installation, organisation: Organisation, ticket: Ticket, staff: Staff | None
) -> dict[str, str]:
    """Return the values for a ticket, each one line; ``staff`` is who writes, if anybody does.

    The customer's name is "" for a ticket without account: what its sender calls himself in a
    mail is nobody's word.
    """
    account = ticket.customer_user
    queue = organisation.queues[ticket.queue_id]
    values = {
        "ticket_number": str(ticket.number),
        "subject": ticket.subject,
        "customer_name": account.name if account is not None else "",
        "queue": queue.name,
        "staff_name": staff.name if staff is not None else "",
        "organisation": organisation.settings.organisation_name,
        "ticket_url": installation.page(f"tickets/{ticket.public_id}"),
    }
    return {name: one_line(value) for name, value in values.items()}
