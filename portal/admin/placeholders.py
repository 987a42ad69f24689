"""Placeholders on the pages of admins: what can be typed, and how a text looks once filled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import Invalid
from core.i18n import gettext as _
from core.i18n import in_language
from core.models import ticket_number
from core.outgoing.placeholders import check_placeholders, fill
from portal.installation import installation
from portal.visitors import organisation, the_viewer

PREVIEW = "preview"  # name of the button that shows a text and saves nothing
_SAMPLE_TICKET = 23


@dataclass(frozen=True, slots=True)
class Preview:
    """A text as somebody with this language would get it; ``problem`` is what is wrong with it."""

    language: str
    text: str
    subject: str = ""
    problem: str = ""


def previews(
    text: str, languages: Sequence[str], known: Mapping[str, str], queue: str
) -> list[Preview]:
    """Return what staff would send, about a ticket that does not exist, in each language."""
    found = []
    for language in languages:
        with in_language(language):
            filled = fill(text, _sample_values(queue))
        found.append(Preview(language, filled, problem=problem_of(text, known)))
    return found


def problem_of(text: str, known: Mapping[str, str]) -> str:
    """Return what saving a text would complain about, "" for nothing."""
    try:
        check_placeholders(text, known, "text")
    except Invalid as wrong:
        return wrong.message
    return ""


def _sample_values(queue: str) -> Mapping[str, str]:
    return {
        "ticket_number": str(ticket_number(_SAMPLE_TICKET)),
        "subject": _("Printer does not print"),
        "customer_name": _("Erika Example"),
        "queue": queue or _("Support"),
        "staff_name": the_viewer().account.name,
        "organisation": organisation().settings.organisation_name,
        "ticket_url": installation().page("tickets/…"),
    }
