"""When a mail that the relay did not take is tried again; pure."""

from datetime import datetime, timedelta
from random import Random

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)
GIVE_UP_AFTER = timedelta(days=5)  # RFC 5321 4.5.4.1 asks for four or five at least
LEAST_TRIES = 6  # so that mail has a chance that waited for something else, or is retried by hand
JITTER = 0.25  # of a pause, up or down: what failed together is not tried together


def pause_after(tries: int, random: Random, longest: timedelta = LONGEST_PAUSE) -> timedelta:
    """Return how long to wait after so many tries in a row (1 and more) have failed."""
    doubled = FIRST_PAUSE * (1 << min(tries - 1, 20))
    return min(doubled, longest) * random.uniform(1 - JITTER, 1 + JITTER)


def next_try(
    created_at: datetime, tries: int, failed_at: datetime, random: Random
) -> datetime | None:
    """Return when to try again, None to give up."""
    if tries >= LEAST_TRIES and failed_at - created_at >= GIVE_UP_AFTER:
        return None
    return failed_at + pause_after(tries, random)
