"""Finding a Kunden# in a mail: in header fields, the sub-address, the subject, the text."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from core.mail.message import Message
from core.mail.text import unquoted_lines
from core.text import exact

MAX_NUMBER = 64
MAX_LINES = 200
MAX_CHARACTERS = 32 * 1024
MAX_CLAIMS = 20  # they become parameters of one query, and a mail may name thousands
MAX_WORDS = 3  # of a Kunden# with blanks in it

_BLANK = "[ \t\u00a0\u202f]"
# What stands around a number in a sentence
_BEFORE = "([<\"'“”„‚‘’»«"
_BEHIND = ".,;:)!?]>\"'“”„‚‘’»«"


class Claim(NamedTuple):
    """A Kunden# that a mail names, and where: header, recipient, subject or text."""

    number: str
    where: str


class _Labels(NamedTuple):
    """The labels as a pattern, and what a text that has one of them holds, case-folded."""

    pattern: re.Pattern[str]
    fragments: frozenset[str]

    def occur_in(self, text: str) -> bool:
        """Whether a search is worth its time: most mails name no number at all."""
        folded = text.casefold()
        return any(fragment in folded for fragment in self.fragments)


def find_claims(
    message: Message,
    recipient_tag: str | None,
    header_names: Sequence[str],
    labels: Sequence[str],
) -> tuple[Claim, ...]:
    """Return the Kunden# that a mail names, in the order header, recipient, subject, text.

    In the text only lines outside quoted parts count, at most the first 200 and 32 KiB. A label
    before ``10 200`` claims both ``10`` and ``10 200``: only the accounts tell which it is.
    """
    compiled = _compiled(tuple(labels))
    found = dict.fromkeys(_claims(message, recipient_tag, header_names, compiled))
    return tuple(islice(found, MAX_CLAIMS))


def _claims(
    message: Message,
    recipient_tag: str | None,
    header_names: Sequence[str],
    labels: _Labels | None,
) -> Iterator[Claim]:
    for name in header_names:
        for value in message.header_values(name):
            if number := _number(value):
                yield Claim(number, "header")
    if recipient_tag and (number := _number(recipient_tag)):
        yield Claim(number, "recipient")
    if labels is None:
        return
    if labels.occur_in(message.subject):
        for number in _numbers(labels.pattern, message.subject):
            yield Claim(number, "subject")
    head = message.text[:MAX_CHARACTERS]
    if labels.occur_in(head):
        for line in islice(unquoted_lines(head), MAX_LINES):
            for number in _numbers(labels.pattern, line):
                yield Claim(number, "text")


@lru_cache(maxsize=32)
def _compiled(labels: tuple[str, ...]) -> _Labels | None:
    """Return the pattern of the labels and of what may stand between one and the number.

    Labels are literal words, and blanks are counted: no setting and no mail makes it slow.
    """
    usable = [label for label in labels if label.strip(". ")]
    if not usable:
        return None
    words = "|".join(map(_label, sorted(usable, key=len, reverse=True)))
    pattern = re.compile(
        rf"(?<!\w)(?:{words}){_BLANK}{{0,20}}(?:[:=#：]|[-–—](?={_BLANK}))?{_BLANK}{{0,20}}(?=\S)",
        re.IGNORECASE,
    )
    fragments = {re.split(r"(?<=.)[\s#]", label.strip(". "))[0].casefold() for label in usable}
    return _Labels(pattern, frozenset(fragments))


def _label(label: str) -> str:
    """Return the pattern of a label: blanks vary, and its last full stop is often left out."""
    words = rf"{_BLANK}{{1,5}}".join(map(re.escape, label.removesuffix(".").split()))
    words = words.replace(r"\#", rf"{_BLANK}?\#")
    if label.endswith("."):
        return rf"{words}(?!\w)\.?"
    return rf"{words}(?!\w)" if label[-1:].isalnum() else words


def _numbers(pattern: re.Pattern[str], line: str) -> Iterator[str]:
    """Yield what stands behind each label of a line, with and without the words after it."""
    for found in pattern.finditer(line):
        behind = line[found.end() : found.end() + MAX_WORDS * MAX_NUMBER]
        words = behind.split(maxsplit=MAX_WORDS)[:MAX_WORDS]
        for count in range(1, len(words) + 1):
            if count > 1 and not _belongs(words[count - 2], words[count - 1]):
                break
            if number := _number(" ".join(words[:count])):
                yield number


def _belongs(word: str, following: str) -> bool:
    """Whether two words may be one number: nothing ends between them, and digits follow."""
    return word[-1].isalnum() and any(char.isdigit() for char in following)


def _number(text: str) -> str | None:
    if len(text) > MAX_NUMBER + 8:
        return None
    number = exact(text).rstrip(_BEHIND).lstrip(_BEFORE).strip()
    return number if 0 < len(number) <= MAX_NUMBER else None
