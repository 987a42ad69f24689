"""``make bench``: every bar of the design beside what this machine measures.

``python -m tests.bench [PART ...] [--quick]``; the parts are those of ``PARTS``. Rates are
ratios to a yardstick that is measured in turn with ours, because machines are shared and noisy.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator

from tests.bench import growth, intake, memory, pages, sources, start
from tests.bench.report import Bar, as_text

PARTS: dict[str, Callable[[bool], Iterator[Bar]]] = {
    "intake": lambda quick: intake.measure(1 if quick else 5, 1_000 if quick else 3_000),
    "gateways": lambda quick: intake.measure_two_gateways(
        1 if quick else 3, 1_000 if quick else 3_000
    ),
    "memory": lambda _quick: memory.measure(),
    "pages": lambda quick: pages.measure(1 if quick else 3, 400 if quick else 2_000),
    "growth": lambda quick: growth.measure(100_000 if quick else 1_000_000),
    "sources": lambda quick: sources.measure(10_000 if quick else 100_000),
    "start": lambda _quick: start.measure(),
}


def main() -> None:
    """Measure the parts asked for and print the report."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    bars: list[Bar] = []
    for name in options.parts or PARTS:
        print(f"measuring: {name}", file=sys.stderr)
        bars.extend(PARTS[name](options.quick))
    print(as_text(bars))


if __name__ == "__main__":
    main()
