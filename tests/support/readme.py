"""The README as tests read it, so that what it tells people to do is what is tested."""

import re

from tests.support.sources import ROOT


def part(start: str, end: str = "\n## ") -> str:
    """Return what stands from the text ``start`` up to ``end``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    beginning = text.index(start)
    return text[beginning : text.index(end, beginning + len(start))]


def example(heading: str, language: str) -> str:
    """Return the first block of code in a language below a heading."""
    found = re.search(rf"^```{language}\n(.*?)^```$", part(heading), re.DOTALL | re.MULTILINE)
    assert found, f"{heading}: no example in {language}"
    return found[1]


def with_values(section: str, **values: str) -> str:
    """Return a section of the configuration with other texts for keys that it has."""
    for key, value in values.items():
        (given,) = re.findall(rf'^{key} = ".*?"', section, re.MULTILINE)
        section = section.replace(given, f'{key} = "{value}"')
    return section
