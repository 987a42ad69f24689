"""The configuration: defaults, then a TOML file, then the environment.

The file is named by ``--config`` or ``SCHALTER_CONFIG``, else it is ``schalter.toml`` in the
current directory where that exists. ``SCHALTER_<SECTION>__<KEY>`` overrides a key. An unknown key
or a bad value stops the start with its name, the reason and where it was found.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from core.config.directories import DirectorySection, StaffDirectorySection
from core.config.fields import UNIX, split_host_port
from core.config.sections import (
    ContentChecksSection,
    DatabaseSection,
    RelaySection,
    Section,
    SmtpSection,
    WebSection,
)
from core.config.single_sign_on import SingleSignOnSection
from core.config.sources import (
    AnySourceSection,
    LdapSourceSection,
    SourceSection,
    SqlSourceSection,
)
from core.errors import ConfigError

__all__ = [
    "DEFAULT_FILE",
    "ENVIRONMENT_PREFIX",
    "STAFF_DIRECTORY",
    "UNIX",
    "AnySourceSection",
    "Config",
    "ContentChecksSection",
    "DatabaseSection",
    "DirectorySection",
    "LdapSourceSection",
    "RelaySection",
    "Section",
    "SingleSignOnSection",
    "SmtpSection",
    "SourceSection",
    "SqlSourceSection",
    "StaffDirectorySection",
    "WebSection",
    "load_config",
    "split_host_port",
]

DEFAULT_FILE = "schalter.toml"
ENVIRONMENT_PREFIX = "SCHALTER_"
STAFF_DIRECTORY = "[staff_directory]"  # no name that a source can have


class Config(BaseSettings):
    """Everything that is fixed at the start of a process."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    database: DatabaseSection = DatabaseSection()
    smtp: SmtpSection = Field(default_factory=SmtpSection)
    content_checks: ContentChecksSection = ContentChecksSection()
    web: WebSection = WebSection()
    relay: RelaySection = RelaySection()
    secret_key_file: str = "var/secret.key"
    customer_sources: list[AnySourceSection] = []
    staff_directory: StaffDirectorySection | None = None
    single_sign_on: list[SingleSignOnSection] = []

    @field_validator("customer_sources", "single_sign_on")
    @classmethod
    def _names_differ(
        cls, sections: Sequence[SourceSection | SingleSignOnSection]
    ) -> Sequence[SourceSection | SingleSignOnSection]:
        names = [section.name for section in sections]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("twice", "two are called {name}", {"name": name})
        return sections

    @property
    def managed_groups(self) -> Mapping[str, frozenset[str]]:
        """By the name of a customer source: the groups that it alone gives to its accounts.

        By ``STAFF_DIRECTORY`` those that the directory of staff alone gives to its staff.
        """
        sections: list[tuple[str, Section | None]] = [
            (section.name, section) for section in self.customer_sources
        ]
        return {
            name: section.given_groups
            for name, section in [*sections, (STAFF_DIRECTORY, self.staff_directory)]
            if isinstance(section, DirectorySection) and section.given_groups
        }

    @property
    def public_url(self) -> str:
        """The address under which browsers reach the pages, without a slash at its end."""
        return self.web.public_url or f"http://{self.web.listen}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which comes in as initial values."""
        return env_settings, init_settings


def load_config(path: str | None = None) -> Config:
    """Read the configuration; raise ``ConfigError`` naming key, reason and place."""
    chosen = path or os.environ.get("SCHALTER_CONFIG")
    file = Path(chosen or DEFAULT_FILE)
    values: dict[str, Any] = {}
    if chosen or file.exists():
        values = _read_file(file)
    _refuse_unknown_variables()
    try:
        return Config(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, file)) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    """pydantic-settings ignores what it does not know; a typo must not pass in silence."""
    for name in os.environ:
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "SCHALTER_CONFIG":
            continue
        parts = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        fields: Any = Config.model_fields
        for part in parts:
            field = fields.get(part) if fields else None
            if field is None:
                raise ConfigError(f"environment: {name}: unknown key {'.'.join(parts)}")
            fields = getattr(field.annotation, "model_fields", None)


def _first_problem(error: ValidationError, file: Path) -> str:
    problem = error.errors(include_url=False)[0]
    location = _key(problem["loc"])
    key = ".".join(location)
    variable = ENVIRONMENT_PREFIX + "__".join(location).upper()
    place = f"environment: {variable}" if variable in os.environ else str(file)
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key {key}"
    if problem["type"].startswith("union_tag"):  # the only union is that of customer sources
        return f'{place}: {key}.kind: must be "sql" or "ldap"'
    reason = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], dict | list) else f" (got {problem['input']!r})"
    return f"{place}: {key}: {reason}{shown}"


def _key(location: Sequence[int | str]) -> list[str]:
    """Return a key as it stands in the file: the kind of a source is none of it."""
    parts = [str(part) for part in location]
    has_kind = parts[0] == "customer_sources" and parts[2:3] in (["sql"], ["ldap"])
    return parts[:2] + parts[3:] if has_kind else parts
