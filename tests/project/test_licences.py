"""Every library that Schalter runs on has a licence that fits MIT."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.sources import ROOT

# LGPL fits because the library stays exchangeable: it is imported, not built in. MPL fits because
# it covers the files of the library (the public suffix list) alone, and we change none of them.
FITTING = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "MIT",
    "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
}  # fmt: skip
# How packages without a licence expression name theirs in a classifier or in free text.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
}
# Packages whose metadata name no licence at all: what the text in them is.
READ = {"dkimpy": "Zlib"}  # "BSD-like", "DFSG approved"


def runtime_distributions() -> dict[str, Distribution]:
    """Return what our declared dependencies need on this machine, themselves included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, Distribution] = {}
    waiting = [Requirement(line) for line in project["dependencies"]]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        extras = wanted.extras or {""}
        if name in found and not wanted.extras:
            continue
        found[name] = distribution(name)
        waiting += [
            needed
            for needed in map(Requirement, found[name].requires or [])
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras)
        ]
    return found


def licences(package: Distribution) -> Iterator[frozenset[str]]:
    """Give the licences to choose from, each as the set of all that then apply."""
    metadata = package.metadata
    if package.name in READ:
        yield frozenset({READ[package.name]})
        return
    for expression in metadata.get_all("License-Expression", []):
        for choice in expression.split(" OR "):
            yield frozenset(choice.strip("()").split(" AND "))
        return
    stated = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ] or metadata.get_all("License", ["none named"])
    yield frozenset(SPDX.get(name, name) for name in stated)


@pytest.mark.parametrize("name", sorted(runtime_distributions()))
def test_the_licence_fits(name: str) -> None:
    choices = list(licences(distribution(name)))
    assert any(choice <= FITTING for choice in choices), f"{name}: {choices}"


def test_the_walk_reaches_what_dependencies_need() -> None:
    assert {"werkzeug", "mako", "psycopg-binary", "pydantic-core"} <= runtime_distributions().keys()
