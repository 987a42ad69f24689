"""Text from outside: cleaned of what a database or a page could not take, and its quoted parts."""

import re
from collections.abc import Iterator, Sequence

# C0 without tab and line feed, DEL, C1, lone surrogates
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Marks that turn the direction of text around and so show another text than there is
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")
_QUOTE = re.compile(r"[ \t]{0,3}>")

# Where mail programs put the mail that is answered below the answer.
_DIVIDER = re.compile(
    r"-{2,}[ \t]*(?:original message|original-nachricht|originalnachricht"
    r"|ursprüngliche nachricht|urspr\. nachricht|元のメッセージ)[ \t]*-{2,}",
    re.IGNORECASE,
)
_OUTLOOK_FIELDS = (
    frozenset({"von", "from"}),
    frozenset({"gesendet", "sent", "datum", "date"}),
    frozenset({"an", "to"}),
    frozenset({"betreff", "subject"}),
)
_OUTLOOK_LINES = 8  # Cc, importance and broken lists of addresses stand between
_ATTRIBUTION = re.compile(r"(?:Am|On) .{5,400}\b(?:schrieb\b.{0,200}|wrote ?):", re.DOTALL)


def clean_text(text: str) -> str:
    """Return text with ``\\n`` line ends and without control characters and surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    return "\ufffd" if found[0] >= "\ud800" else ""


def one_line(text: str) -> str:
    """Return text as one line without control or direction characters: for headers and names."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(_BIDI.sub("", clean_text(text)).split())


def unflow(text: str, *, delete_space: bool = False) -> str:
    """Join the lines that ``format=flowed`` has broken (RFC 3676); quoted lines stay quoted.

    ``delete_space`` is the parameter DelSp: the blank at the break is none of the text.
    """
    paragraphs: list[str] = []
    flows, depth = False, 0
    for line in text.split("\n"):
        rest = line.lstrip(">")
        its_depth = len(line) - len(rest)
        rest = rest.removeprefix(" ")  # 4.4: space-stuffing
        is_signature = rest == "-- "
        if flows and its_depth == depth and not is_signature:
            paragraphs.append(rest)
        else:
            marks = ">" * its_depth + (" " if its_depth else "")
            paragraphs.append(f"\n{marks}{rest}" if paragraphs else f"{marks}{rest}")
        flows, depth = rest.endswith(" ") and not is_signature, its_depth
        if flows and delete_space:
            paragraphs[-1] = paragraphs[-1][:-1]
    return "".join(paragraphs)


def split_quoted(text: str) -> list[tuple[bool, str]]:
    """Split a text into runs of quoted and other lines, in order; together they are the text.

    Quoted are lines that begin with ``>``, and the whole mail that a program put below its
    answer. A mail that has nothing above such a mail is a forward, and quotes nothing.
    """
    runs: list[tuple[bool, list[str]]] = []
    for quoted, line in _judged_lines(text):
        if not runs or runs[-1][0] is not quoted:
            runs.append((quoted, []))
        runs[-1][1].append(line)
    return [(quoted, "\n".join(lines)) for quoted, lines in runs]


def unquoted_lines(text: str) -> Iterator[str]:
    """Yield the lines of a text that are not quoted from another mail, as ``split_quoted``."""
    return (line for quoted, line in _judged_lines(text) if not quoted)


def _judged_lines(text: str) -> Iterator[tuple[bool, str]]:
    lines = text.split("\n")
    below = answered = False
    for number, line in enumerate(lines):
        marked = _QUOTE.match(line) is not None
        if answered and not below and not marked:
            below = _original_begins(lines, number)
        answered = answered or not (marked or not line or line.isspace())
        yield below or marked, line


def _original_begins(lines: Sequence[str], number: int) -> bool:
    """Whether an answered mail, with no ``>`` before its lines, begins at this line."""
    line = lines[number].strip().lstrip("*")
    if line.startswith("--"):
        return _DIVIDER.fullmatch(line) is not None
    if line.startswith(("Von:", "From:")):
        names = {
            each.partition(":")[0].strip(" \t*").lower()
            for each in lines[number : number + _OUTLOOK_LINES]
        }
        return all(names & alternatives for alternatives in _OUTLOOK_FIELDS)
    if line.startswith(("Am ", "On ")):
        return _is_attribution_without_marks(lines, number)
    return False


def _is_attribution_without_marks(lines: Sequence[str], number: int) -> bool:
    """Whether this is ``Am … schrieb …:`` on one or two lines, and no ``>`` follows.

    With ``>`` below, those marks tell better what is quoted: people answer in between.
    """
    for end in (number + 1, number + 2):
        if _ATTRIBUTION.fullmatch("\n".join(lines[number:end])[:700].strip()):
            following = next((each for each in lines[end : end + 3] if each.strip()), ">")
            return _QUOTE.match(following) is None
    return False
