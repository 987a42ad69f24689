"""The directory of staff, running and as it is configured, and a clock that stands still."""

from collections.abc import Iterator

import pytest

from core.accounts.staff_directory import StaffDirectory
from tests.accounts.directory import PEOPLE, section_of
from tests.support.clocks import stop_delays
from tests.support.slapd import READER_PASSWORD, Slapd, run_slapd


@pytest.fixture(autouse=True)
def _no_delay_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count attempts as if all were made at once; tests say where time passes."""
    stop_delays(monkeypatch)


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    """The directory with everybody."""
    with run_slapd(PEOPLE) as running:
        yield running


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[StaffDirectory]:
    """The directory as it is configured."""
    found = StaffDirectory(section_of(slapd), READER_PASSWORD)
    yield found
    found.close()
