"""How stored words look on a page. Their texts are in ``core.labels``."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from markupsafe import Markup

from core.i18n import current_language
from core.i18n import gettext as _
from core.labels import label
from core.mail.authentication.findings import Result
from core.words import (
    DecisionKind,
    Evidence,
    Flag,
    HeldState,
    OutgoingState,
    Permission,
    Priority,
    Role,
    TicketState,
    Validity,
)
from portal.assets import icon

LANGUAGE_NAMES = {"de": "Deutsch", "en": "English"}  # each in itself


class Look(NamedTuple):
    """The tone of a word (``.chip-TONE`` in ``app.css``) and the icon beside it."""

    tone: str = "quiet"  # quiet | info | good | warn | bad
    icon: str = ""


_LOOKS: Mapping[type[StrEnum], Mapping[StrEnum, Look]] = {
    TicketState: {
        TicketState.NEW: Look("info", "envelope"),
        TicketState.OPEN: Look("info", "arrow-repeat"),
        TicketState.WAITING: Look("warn", "hourglass-split"),
        TicketState.CLOSED: Look("quiet", "check2"),
    },
    Priority: {
        Priority.LOW: Look("quiet", "arrow-down"),
        Priority.NORMAL: Look("quiet", "dash"),
        Priority.HIGH: Look("warn", "arrow-up"),
        Priority.URGENT: Look("bad", "exclamation-triangle"),
    },
    Validity: {
        Validity.VALID: Look("good", "check2"),
        Validity.INVALID: Look("quiet", "slash-circle"),
        Validity.INVALID_TEMPORARILY: Look("warn", "pause-circle"),
    },
    Role: {Role.AGENT: Look("quiet", "person"), Role.ADMIN: Look("info", "gear")},
    Permission: {Permission.RO: Look("quiet", "eye"), Permission.RW: Look("info", "pencil")},
    DecisionKind: {
        DecisionKind.OPEN_TICKET: Look("good", "plus-circle"),
        DecisionKind.APPEND_ARTICLE: Look("good", "reply"),
        DecisionKind.HOLD: Look("warn", "pause-circle"),
        DecisionKind.DISCARD: Look("quiet", "trash"),
        DecisionKind.REJECT: Look("bad", "x-circle"),
        DecisionKind.DEFER: Look("warn", "clock"),
    },
    HeldState: {
        HeldState.WAITING: Look("warn", "pause-circle"),
        HeldState.RELEASED: Look("good", "check2"),
        HeldState.DISCARDED: Look("quiet", "trash"),
    },
    Evidence: {
        Evidence.PORTAL: Look("good", "shield-check"),
        Evidence.VERIFIED: Look("good", "shield-check"),
        Evidence.NEUTRAL: Look("warn", "shield"),
        Evidence.FAILED: Look("bad", "shield-exclamation"),
    },
    Result: {
        Result.PASS: Look("good", "check2"),
        Result.FAIL: Look("bad", "x-circle"),
        Result.SOFTFAIL: Look("warn", "exclamation-triangle"),
        Result.POLICY: Look("warn", "exclamation-triangle"),
        Result.TEMPERROR: Look("warn", "clock"),
        Result.PERMERROR: Look("bad", "x-circle"),
    },
    OutgoingState: {
        OutgoingState.WAITING: Look("warn", "clock"),
        OutgoingState.SENT: Look("good", "send"),
        OutgoingState.FAILED: Look("bad", "x-circle"),
        OutgoingState.BOUNCED: Look("bad", "arrow-return-left"),
        OutgoingState.CANCELLED: Look("quiet", "slash-circle"),
        OutgoingState.SUPPRESSED: Look("quiet", "bell-slash"),
    },
    Flag: {
        Flag.SENDER_NOT_VERIFIED: Look("warn", "shield"),
        Flag.NEW_ADDRESS: Look("warn", "at"),
        Flag.STRANGER: Look("warn", "person-x"),
        Flag.UNREADABLE: Look("warn", "file-earmark-break"),
        Flag.OTHER_PERSON: Look("info", "people"),
        Flag.FOREIGN_ADDRESS: Look("warn", "person-exclamation"),
        Flag.AUTOMATIC: Look("quiet", "robot"),
        Flag.SENDER_UNCLEAR: Look("bad", "shield-exclamation"),
        Flag.DELIVERY_REPORT: Look("warn", "envelope-exclamation"),
        Flag.BURST: Look("warn", "collection"),
    },
}


def look_of(word: StrEnum) -> Look:
    """Return how a word looks; one without a look of its own is plain."""
    return _LOOKS.get(type(word), {}).get(word, Look())


def label_for_customers(word: StrEnum) -> str:
    """Return a word as customers read it: they are told who is to do something next."""
    return _("Waiting for you") if word is TicketState.WAITING else label(word)


def chip(word: StrEnum, for_customers: bool = False) -> Markup:
    """Return a word as a page shows it: colour, icon and text."""
    return _chip(current_language(), type(word), word, for_customers)


@cache
def _chip(_language: str, _kind: type[StrEnum], word: StrEnum, for_customers: bool) -> Markup:
    look = look_of(word)
    text = label_for_customers(word) if for_customers else label(word)
    drawn = icon(look.icon) if look.icon else ""
    return Markup('<span class="chip chip-{}">{}{}</span>').format(look.tone, drawn, text)
