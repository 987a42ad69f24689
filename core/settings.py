"""Run-time settings: changed by admins in the browser or by ``apply``, kept in the database.

What is fixed at the start of a process is in ``core.config``.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Actor
from core.errors import Invalid
from core.i18n import LANGUAGES
from core.models import Setting
from core.words import SenderPolicy


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("no such time zone")
    return value


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return value


Label = Annotated[str, Field(min_length=1, max_length=64)]


class Settings(BaseModel):
    """All run-time settings with their defaults.

    ``customer_group_support`` and ``customer_group_always_groups`` are the handbook's
    *CustomerGroupSupport* and *CustomerGroupAlwaysGroups*; without group support every valid
    customer user may use every valid queue. ``number_labels`` are literal words before a Kunden#
    in subject or text, ``number_headers`` header fields that hold one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_group_support: bool = True
    customer_group_always_groups: tuple[str, ...] = ()
    sender_policy: SenderPolicy = SenderPolicy.BALANCED
    organisation_name: str = Field(default="Schalter", min_length=1, max_length=100)
    support_contact: str = Field(default="", max_length=300)
    language: Annotated[str, AfterValidator(_language)] = "de"
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Europe/Berlin"
    number_headers: tuple[Label, ...] = ("X-Kundennummer", "X-Customer-Number")
    number_labels: tuple[Label, ...] = (
        "Kunden#",
        "Kundennummer",
        "Kunden-Nr.",
        "Kd.-Nr.",
        "Customer no.",
        "Customer number",
    )
    upload_max_files: int = Field(default=10, ge=0, le=100)
    upload_max_bytes: int = Field(default=20_000_000, ge=0, le=1_000_000_000)
    session_idle_minutes: int = Field(default=30, ge=5, le=1440)
    session_hours: int = Field(default=12, ge=1, le=168)


def load_settings(session: Session) -> Settings:
    """Return the settings as stored, defaults for the rest."""
    stored = {row.key: row.value for row in session.execute(select(Setting.key, Setting.value))}
    return Settings(**stored)


def change_settings(session: Session, actor: Actor, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Store ``changes`` and write them to the audit log; return what is different now.

    Raises ``Invalid`` with the setting's name for an unknown setting or a bad value.
    """
    current = load_settings(session)
    try:
        wanted = Settings(**{**current.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0])
        raise Invalid(name, problem["msg"].removeprefix("Value error, ")) from None
    before, after = audit.differences(
        current.model_dump(mode="json"), wanted.model_dump(mode="json")
    )
    if not after:
        return {}
    session.execute(delete(Setting).where(Setting.key.in_(after)))
    session.add_all(Setting(key=key, value=value) for key, value in after.items())
    audit.record(session, actor, "changed", "settings", None, "", before, after)
    return after
