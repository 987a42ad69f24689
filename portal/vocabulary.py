"""The closed vocabularies as people read them, with the look of each word.

Texts are marked here and translated where they are shown.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from core.i18n import N_
from core.words import Permission, Priority, Role, TicketState, Validity


class Word(NamedTuple):
    """A word for people: its text, its tone (see ``app.css``) and the icon beside it."""

    text: str
    tone: str = "quiet"  # quiet | info | good | warn | bad
    icon: str = ""


STATES: Mapping[StrEnum, Word] = {
    TicketState.NEW: Word(N_("New"), "info", "envelope"),
    TicketState.OPEN: Word(N_("Open"), "info", "arrow-repeat"),
    TicketState.WAITING: Word(N_("Waiting for customer"), "warn", "hourglass-split"),
    TicketState.CLOSED: Word(N_("Closed"), "quiet", "check2"),
}
# A customer is told who is to do something next.
STATES_FOR_CUSTOMERS: Mapping[StrEnum, Word] = {
    **STATES,
    TicketState.WAITING: Word(N_("Waiting for you"), "warn", "hourglass-split"),
}
PRIORITIES: Mapping[StrEnum, Word] = {
    Priority.LOW: Word(N_("Low"), "quiet", "arrow-down"),
    Priority.NORMAL: Word(N_("Normal"), "quiet", "dash"),
    Priority.HIGH: Word(N_("High"), "warn", "arrow-up"),
    Priority.URGENT: Word(N_("Urgent"), "bad", "exclamation-triangle"),
}
VALIDITIES: Mapping[StrEnum, Word] = {
    Validity.VALID: Word(N_("valid"), "good", "check2"),
    Validity.INVALID: Word(N_("invalid"), "quiet", "slash-circle"),
    Validity.INVALID_TEMPORARILY: Word(N_("invalid temporarily"), "warn", "pause-circle"),
}
ROLES: Mapping[StrEnum, Word] = {
    Role.AGENT: Word(N_("Agent"), "quiet", "person"),
    Role.ADMIN: Word(N_("Admin"), "info", "gear"),
}
PERMISSIONS: Mapping[StrEnum, Word] = {
    Permission.RO: Word(N_("Read"), "quiet", "eye"),
    Permission.RW: Word(N_("Read and write"), "info", "pencil"),
}
LANGUAGE_NAMES = {"de": "Deutsch", "en": "English"}  # each in itself


_TABLES: Mapping[type[StrEnum], Mapping[StrEnum, Word]] = {
    TicketState: STATES,
    Priority: PRIORITIES,
    Validity: VALIDITIES,
    Role: ROLES,
    Permission: PERMISSIONS,
}


def word_of(value: StrEnum, *, for_customers: bool = False) -> Word:
    """Return the word for a stored value. Raises ``KeyError`` for one that has none."""
    if for_customers and isinstance(value, TicketState):
        return STATES_FOR_CUSTOMERS[value]
    return _TABLES[type(value)][value]
