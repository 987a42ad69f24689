"""What every test may use; each plug-in says what it gives."""

import pytest

from core.i18n import SOURCE_LANGUAGE, set_language

pytest_plugins = [
    "tests.support.pace",
    "tests.support.skips",
    "tests.support.databases",
    "tests.support.browser",
    "tests.support.examples",
    "tests.support.slapd",
    "tests.sources.databases",
]


@pytest.fixture(autouse=True)
def _english() -> None:
    """Begin in the source language: a request in this thread may have left another one behind."""
    set_language(SOURCE_LANGUAGE)
