"""Finding a Kunden# in a mail: in header fields, the sub-address, the subject, the text.

The labels are literal words from the settings, so no setting can make the search slow.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from core.mail.message import Message
from core.mail.text import unquoted_lines
from core.text import exact

MAX_NUMBER = 64
MAX_LINES = 200
MAX_CHARACTERS = 32 * 1024


class Claim(NamedTuple):
    """A Kunden# that a mail names, and where: header, recipient, subject or text."""

    number: str
    where: str


def find_claims(
    message: Message,
    recipient_tag: str | None,
    header_names: Sequence[str],
    labels: Sequence[str],
) -> tuple[Claim, ...]:
    """Return the Kunden# that a mail names, in the order header, recipient, subject, text.

    In the text only lines outside quoted parts count, at most the first 200 and 32 KiB.
    """
    pattern = _pattern(tuple(labels))
    found = [
        Claim(number, "header")
        for name in header_names
        for value in message.header_values(name)
        if (number := _number(value))
    ]
    if recipient_tag and (number := _number(recipient_tag)):
        found.append(Claim(number, "recipient"))
    if pattern is not None:
        found.extend(Claim(number, "subject") for number in _search(pattern, message.subject))
        head = message.text[:MAX_CHARACTERS]
        if pattern.search(head):  # the common mail names none: one search, no splitting
            lines = [line for line, _n in zip(unquoted_lines(head), range(MAX_LINES), strict=False)]
            found.extend(
                Claim(number, "text") for line in lines for number in _search(pattern, line)
            )
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=32)
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return the pattern of a label and the number behind it; linear, for labels are literal."""
    if not labels:
        return None
    words = "|".join(
        r"[ \t]+".join(re.escape(part) for part in label.split())
        for label in sorted(labels, key=len, reverse=True)
    )
    return re.compile(
        rf"(?<!\w)(?:{words})[ \t]*[:=#]?[ \t]*(\S{{1,{MAX_NUMBER + 8}}})", re.IGNORECASE
    )


def _search(pattern: re.Pattern[str], line: str) -> list[str]:
    return [number for found in pattern.findall(line) if (number := _number(found))]


def _number(text: str) -> str | None:
    number = exact(text).rstrip(".,;:)!?]>\"'").lstrip("([<\"'")
    return number if 0 < len(number) <= MAX_NUMBER and not number.isspace() else None
