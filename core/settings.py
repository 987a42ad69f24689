"""Run-time settings: changed by admins in the browser or by ``apply``, kept in the database.

What is fixed at the start of a process is in ``core.config``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Actor
from core.errors import Invalid, InvalidFields, Stale
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.mail.addresses import check_new_address, domain_key
from core.mail.text import one_line
from core.models import OrganisationVersion, Setting
from core.text import exact
from core.time_zones import time_zones
from core.words import SenderPolicy

FIELD_NAME = re.compile("[!-9;-~]+")  # RFC 5322 2.2: printable, without the colon


def _time_zone(value: str) -> str:
    if value not in time_zones():
        raise ValueError(_("There is no such time zone."))
    return value


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError(_("There is no such language."))
    return value


def _header(value: str) -> str:
    if not FIELD_NAME.fullmatch(value):
        raise ValueError(_('"%(name)s" is not the name of a header field.', name=value))
    return value


def _address(value: str) -> str:
    if not value:
        return ""
    try:
        return check_new_address(value)
    except Invalid as wrong:
        raise ValueError(wrong.message) from None


def _domain(value: str) -> str:
    key = domain_key(value)
    if key is None:
        raise ValueError(_('"%(domain)s" is not a mail domain.', domain=value))
    return key


def _clean(value: Any) -> Any:
    return exact(one_line(value)) if isinstance(value, str) else value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


Clean = BeforeValidator(_clean)
Label = Annotated[str, Field(min_length=1, max_length=64), Clean]
Header = Annotated[Label, AfterValidator(_header)]
Domain = Annotated[str, Field(min_length=1, max_length=253), Clean, AfterValidator(_domain)]
GroupName = Annotated[str, Field(min_length=1, max_length=100), Clean]


class Settings(BaseModel):
    """All run-time settings with their defaults.

    ``customer_group_support`` and ``customer_group_always_groups`` are the handbook's
    *CustomerGroupSupport* and *CustomerGroupAlwaysGroups*; without group support every valid
    customer user may use every valid queue. ``number_labels`` are literal words before a Kunden#
    in subject or text, ``number_headers`` header fields that hold one. ``relay_authenticates`` are
    domains whose senders a trusted relay vouches for where it writes no results of its checks.
    ``sender_address`` is whom mail is from that belongs to no queue. Automatic answers: at most
    ``auto_responses_per_address`` to one address in 24 hours, and ``auto_responses_per_hour`` in
    all. An account that opens more than ``burst_tickets`` tickets in one queue within ten minutes
    gets one ticket for the rest. Held mail is put aside after ``held_days`` days without a
    decision, never with 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_group_support: bool = True
    customer_group_always_groups: Annotated[
        tuple[GroupName, ...], Field(max_length=100), AfterValidator(_distinct)
    ] = ()
    sender_policy: SenderPolicy = SenderPolicy.BALANCED
    organisation_name: Annotated[str, Field(min_length=1, max_length=100), Clean] = "Schalter"
    support_contact: Annotated[str, Field(max_length=300), Clean] = ""
    language: Annotated[str, AfterValidator(_language)] = "de"
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Europe/Berlin"
    relay_authenticates: Annotated[
        tuple[Domain, ...], Field(max_length=100), AfterValidator(_distinct)
    ] = ()
    number_headers: Annotated[
        tuple[Header, ...], Field(max_length=20), AfterValidator(_distinct)
    ] = ("X-Kundennummer", "X-Customer-Number")
    number_labels: Annotated[tuple[Label, ...], Field(max_length=50), AfterValidator(_distinct)] = (
        "Kunden#",
        "Kundennummer",
        "Kunden-Nr.",
        "Kd.-Nr.",
        "Customer no.",
        "Customer number",
    )
    upload_max_files: int = Field(default=10, ge=0, le=100)
    upload_max_bytes: int = Field(default=20_000_000, ge=0, le=1_000_000_000)
    sender_address: Annotated[str, Field(max_length=254), Clean, AfterValidator(_address)] = ""
    auto_responses_per_address: int = Field(default=10, ge=0, le=1000)
    auto_responses_per_hour: int = Field(default=200, ge=0, le=100_000)
    burst_tickets: int = Field(default=20, ge=1, le=10_000)
    held_days: int = Field(default=30, ge=0, le=3650)
    session_idle_minutes: int = Field(default=30, ge=5, le=1440)
    session_hours: int = Field(default=12, ge=1, le=168)


def load_settings(session: Session) -> Settings:
    """Return the settings as stored, defaults for the rest."""
    stored = {row.key: row.value for row in session.execute(select(Setting.key, Setting.value))}
    return Settings(**stored)


def change_settings(
    session: Session,
    actor: Actor,
    changes: Mapping[str, Any],
    shown: Mapping[str, Any] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Store ``changes`` and write them to the audit log; return what is different now.

    ``shown`` are the values that the asker saw before, ``noted`` is told beside what changed.
    Raises ``InvalidFields`` with a problem for each unknown setting or bad value, and ``Stale``
    when somebody else changed one of these settings after it was shown.
    """
    session.execute(select(OrganisationVersion.version).with_for_update())  # one at a time
    current = load_settings(session)
    wanted = checked({**current.model_dump(), **changes})
    before, after = audit.differences(
        current.model_dump(mode="json"), wanted.model_dump(mode="json")
    )
    if shown is not None and any(before[key] != _plain(shown, key) for key in after):
        raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
    if not after:
        return {}
    session.execute(delete(Setting).where(Setting.key.in_(after)))
    session.add_all(Setting(key=key, value=value) for key, value in after.items())
    told = {**after, **(noted or {})}
    audit.record(session, actor, "changed", "settings", None, "", before, told)
    return after


def checked(values: Mapping[str, Any]) -> Settings:
    """Return these values as settings. Raises ``InvalidFields`` with a problem for each bad one."""
    try:
        return Settings(**values)
    except ValidationError as error:
        problems = {str(p["loc"][0]): p for p in error.errors(include_url=False)}  # one each
        raise InvalidFields(
            [Invalid(name, _sentence(problem)) for name, problem in problems.items()]
        ) from None


def _plain(shown: Mapping[str, Any], key: str) -> Any:
    value = shown.get(key)
    return list(value) if isinstance(value, tuple) else value


_Context = Mapping[str, Any]
_SENTENCES: Mapping[str, Callable[[_Context], str]] = {
    "extra_forbidden": lambda _context: _("There is no such setting."),
    "value_error": lambda context: str(context["error"]),
    "string_too_short": lambda _context: _("Please fill this in."),
    "string_too_long": lambda context: _(
        "At most %(limit)d characters.", limit=context["max_length"]
    ),
    "too_long": lambda context: _("At most %(limit)d entries.", limit=context["max_length"]),
    "greater_than_equal": lambda context: _("At least %(limit)d.", limit=context["ge"]),
    "less_than_equal": lambda context: _("At most %(limit)d.", limit=context["le"]),
    "enum": lambda _context: _("Please choose one of: %(words)s.", words=", ".join(SenderPolicy)),
    "bool_parsing": lambda _context: _("This is either true or false."),
    "int_parsing": lambda _context: _("Please enter a whole number."),
}


def _sentence(problem: ErrorDetails) -> str:
    """Return what is wrong with a value, in the language of the reader."""
    sentence = _SENTENCES.get(problem["type"])
    return sentence(problem.get("ctx", {})) if sentence else _("This value cannot be used here.")
