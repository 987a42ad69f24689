"""The section of a customer source as text for the configuration file."""

import json
import re
from collections.abc import Mapping, Sequence

from core.config import AnySourceSection

TABLE = "customer_sources"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

Value = str | int | bool | Sequence[str] | Mapping[str, "Value"]


def section_as_toml(section: AnySourceSection) -> str:
    """Return what to put into the file; what is as it is by default stays out of it."""
    values = section.model_dump(mode="json", exclude_defaults=True)
    required = {"name": section.name, "kind": section.kind}
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"[[{TABLE}]]", *_lines({**required, **plain})]
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{TABLE}.{_key(key)}]", *_lines(value)]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Value]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in values.items()]


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _text(value)
        case Mapping():
            return f"{{ {', '.join(_lines(value))} }}"
        case _:
            return f"[{', '.join(map(_value, value))}]"


def _text(text: str) -> str:
    """Return a basic string: TOML has JSON's escapes, and wants one more character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
