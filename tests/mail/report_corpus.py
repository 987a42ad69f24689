"""Delivery reports as bytes, in the formats of many mail servers, with what is expected of each.

To add one put ``NAME.eml`` into the folder, run ``python -m tests.mail.report_corpus``, which
writes the expectations that are missing, and read them.
"""

import json
from pathlib import Path
from typing import Any

from core.mail.message import parse
from core.mail.reports import Report, read_report

FOLDER = Path(__file__).parent / "reports"


def report_names() -> list[str]:
    """Return the names of all reports, and of mails that only look like one."""
    return sorted(path.stem for path in FOLDER.glob("*.eml"))


def raw_report(name: str) -> bytes:
    """Return the exact bytes of a mail."""
    return (FOLDER / f"{name}.eml").read_bytes()


def expected_report(name: str) -> dict[str, Any] | None:
    """Return what a mail is to be read as, in the form of ``described_report``."""
    found: dict[str, Any] | None = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def described_report(report: Report | None) -> dict[str, Any] | None:
    """Return everything that a report says; None for what is no report."""
    if report is None:
        return None
    return {
        "failed": report.failed,
        "hard": report.hard,
        "delayed": report.delayed,
        "recipients": [
            {
                "address": each.address,
                "original": each.original,
                "action": each.action.value,
                "status": each.status,
                "diagnostic": each.diagnostic,
                "reason": each.reason,
                "hard": each.hard,
                "blames_address": each.blames_address,
            }
            for each in report.recipients
        ],
    }


def write_missing() -> None:
    """Write the expectations of mails that have none, for somebody to read."""
    for name in report_names():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            described = described_report(read_report(parse(raw_report(name))))
            path.write_text(json.dumps(described, ensure_ascii=False, indent=2) + "\n", "utf-8")
            print(path)


if __name__ == "__main__":
    write_missing()
