"""A gateway for tests that need no other, with the small firm of the intake tests behind it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from core.db import Database
from tests.gateway.running import Running, running_gateway
from tests.intake.firm import a_firm

Run = Callable[..., Running]


@pytest.fixture
def run(sqlite_database: Database, tmp_path: Path) -> Iterator[Run]:
    """Start a gateway on SQLite: ``run(limits=..., free_space=..., max_message_bytes=...)``."""
    a_firm(sqlite_database, sender_policy="open")
    with ExitStack() as stack:

        def start(**options: object) -> Running:
            context: AbstractContextManager[Running] = running_gateway(
                sqlite_database, tmp_path, **options
            )
            return stack.enter_context(context)

        yield start


@pytest.fixture
def gateway(run: Run) -> Running:
    """A gateway on SQLite with its real limits."""
    return run()
