"""The lock pins everything, and works with any index."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.sources import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+) \\\n(?P<hashes>(?: {4}--hash.*\n?)+)", re.M
)


def pinned_versions() -> dict[str, str]:
    return {canonicalize_name(found["name"]): found["version"] for found in PINNED.finditer(LOCK)}


def test_every_line_is_a_pin_with_hashes() -> None:
    rest = [
        line
        for line in PINNED.sub("", LOCK).splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert rest == []
    assert all("--hash=sha256:" in found["hashes"] for found in PINNED.finditer(LOCK))


def test_it_names_no_place_to_download_from() -> None:
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host| @ ", LOCK)


def test_it_holds_every_dependency_in_a_version_that_fits() -> None:
    pinned = pinned_versions()
    declared = [
        Requirement(line)
        for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for line in lines
    ]
    missing = [
        str(wanted)
        for wanted in declared
        if not wanted.specifier.contains(pinned.get(canonicalize_name(wanted.name), "0"))
    ]
    assert not missing, f'run "make lock": {missing}'
