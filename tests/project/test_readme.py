"""The README names every key of the configuration, and none that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from core.config import Config, LdapSourceSection, SqlSourceSection, load_config
from core.config.sources import SourceColumns, SourceFields
from tests.support.readme import part
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
        for line in part("### Configuration", "### Routing rules").splitlines()
        if line.startswith("| `")
    ]
    named = {key for cell in table for key in re.findall(r"`([a-z_.]+)`", cell)}
    assert named == set(keys(Config))


def examples() -> list[str]:
    """Return the texts for the configuration file, which are no files for ``apply``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "[settings]" not in block]


@pytest.mark.parametrize("example", examples(), ids=lambda text: text.splitlines()[0])
def test_every_example_can_be_used_as_it_is(example: str, tmp_path: Path) -> None:
    file = tmp_path / "schalter.toml"
    file.write_text(example, encoding="utf-8")
    assert load_config(str(file)) != Config()


def test_every_key_of_a_source_is_explained() -> None:
    section = part("### Customers kept elsewhere", "#### A CRM on PostgreSQL")
    named = set(re.findall(r"`([a-z_]+)", section))
    fields = {**SourceFields.model_fields, **SourceColumns.model_fields}
    sections = {**SqlSourceSection.model_fields, **LdapSourceSection.model_fields}
    assert {*fields, *sections} <= named
