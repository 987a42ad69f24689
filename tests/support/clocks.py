"""Clocks that stand still."""

import pytest

from core.accounts import throttle
from core.models import now


def stop_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no delay of the throttle end by itself.

    The first one lasts a second, and a busy machine may need longer to look at a password.
    """
    moment = now()
    monkeypatch.setattr(throttle, "now", lambda: moment)
