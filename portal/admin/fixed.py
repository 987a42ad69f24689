"""What the configuration fixes at the start of a process, to be read on a page: no secrets."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask import current_app
from pydantic import BaseModel

from core.config import ENVIRONMENT_PREFIX, Config
from core.i18n import gettext as _
from portal.database import database

CONFIG = "schalter_config"  # where the app keeps its configuration


@dataclass(frozen=True, slots=True)
class FixedValue:
    """A key of the configuration, its value, and where that was set."""

    key: str
    value: str
    source: str


def fixed_values() -> Iterator[FixedValue]:
    """Yield every key of the configuration. Passwords stand in files, and only these are named."""
    config = current_app.extensions[CONFIG]
    assert isinstance(config, Config)
    for section in Config.model_fields:
        part = getattr(config, section)
        if not isinstance(part, BaseModel):
            shown = [each.name for each in part] if isinstance(part, list) else part
            yield FixedValue(section, _text(shown), _source((section,), config))
            continue
        for name in type(part).model_fields:
            value = getattr(part, name)
            yield FixedValue(
                f"{section}.{name}", _shown(section, name, value), _source((section, name), part)
            )


def _shown(section: str, name: str, value: object) -> str:
    if (section, name) == ("database", "url"):
        return database().address  # without its password
    return _text(value)


def _text(value: object) -> str:
    """Return a value in one line; a table shows what it has by its keys."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    return str(value)


def _source(path: tuple[str, ...], holder: BaseModel) -> str:
    variable = ENVIRONMENT_PREFIX + "__".join(path).upper()
    if variable in os.environ:
        return _("environment: %(variable)s", variable=variable)
    if path[-1] in holder.model_fields_set:
        return _("configuration file")
    return _("default")
