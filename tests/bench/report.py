"""What the benchmark prints: each bar of the design beside what was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One line of the report; ``reached`` None means that it could not be measured here."""

    what: str
    measured: str
    asked: str
    reached: bool | None
    note: str = ""


def at_least(what: str, ratio: float, least: float, note: str = "") -> Bar:
    """Return the line for a ratio that should not be smaller than the bar."""
    return Bar(what, f"{ratio:.2f}", f">= {least:g}", ratio >= least, note)


def at_most(what: str, value: float, most: float, note: str = "", unit: str = "") -> Bar:
    """Return the line for a figure that should not be larger than the bar."""
    return Bar(what, f"{value:.2f}{unit}", f"<= {most:g}{unit}", value <= most, note)


def not_measured(what: str, why: str) -> Bar:
    """Return the line for what cannot be measured on this machine."""
    return Bar(what, "-", "-", None, why)


def as_text(bars: list[Bar]) -> str:
    """Return the report: a table, then a list of the bars that were not reached."""
    words = {True: "reached", False: "NOT REACHED", None: "not measured"}
    rows = [("bar", "measured", "asked", "", "")] + [
        (bar.what, bar.measured, bar.asked, words[bar.reached], bar.note) for bar in bars
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    missed = [bar.what for bar in bars if bar.reached is False]
    closing = f"Not reached: {', '.join(missed)}" if missed else "Every bar measured was reached."
    return "\n".join([*(line.rstrip() for line in lines), "", closing])
