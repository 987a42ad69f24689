"""Directories that answer are waited for; where one hangs, the test makes the waiting short."""

import pytest

from core.directory import client
from tests.directory.directories import PATIENCE


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give servers more time than the product does: the machine may be busy."""
    monkeypatch.setattr(client, "SECONDS", PATIENCE)
    monkeypatch.setattr(client, "PAGE_SECONDS", PATIENCE)
