"""The README names every key of the configuration, and none that does not exist."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from core.config import Config
from tests.support.sources import ROOT


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from keys(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_key_is_explained() -> None:
    table = [
        line.split("|")[1]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    named = {key for cell in table for key in re.findall(r"`([a-z_.]+)`", cell)}
    assert named == set(keys(Config))
