"""The time zones that people may choose."""

from functools import cache
from zoneinfo import available_timezones


@cache
def time_zones() -> frozenset[str]:
    """Return the names of all time zones; looked up once, as each is a file of its own."""
    return frozenset(available_timezones())
