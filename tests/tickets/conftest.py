"""What tests of outgoing replies need: an installation with a key of its own."""

from pathlib import Path

import pytest

from core.outgoing.installation import Installation
from core.secret_key import Keys, ensure_secret_key


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation whose pages are at ``https://help.example``."""
    file = str(tmp_path / "secret.key")
    ensure_secret_key(file)
    return Installation(Keys(file), "https://help.example", "mx.help.example")
