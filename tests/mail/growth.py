"""Whether work grows with its input as it should: by doubling, never by a clock."""

import time
from collections.abc import Callable

SMALLEST = 0.002  # seconds; below that the clock and the machine's moods decide


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of some work, the best of two."""
    best = float("inf")
    for _attempt in range(2):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def grows_linearly(make: Callable[[int], str], work: Callable[[str], object], size: int) -> bool:
    """Whether eight times the input takes less than some thirty times the work.

    Work that grows with the square would take sixty-four times. ``make`` builds an input of a
    number of repetitions.
    """
    small, large = make(size), make(8 * size)
    return seconds(lambda: work(large)) < 30 * max(SMALLEST, seconds(lambda: work(small)))
