"""What checkers outside say about the content of a mail: the answers of clamd and rspamd.

Anything but an answer that is known here counts as a check that failed, and so never as a clean
mail.
"""

import json
import re
from dataclasses import dataclass
from typing import Self

from core.mail.text import one_line

MAX_TEXT = 200  # characters of a name or a reason: they come from outside

_FOUND = re.compile(r"stream: (.+) FOUND")
_HARMLESS = frozenset({"no action", "greylist", "soft reject"})  # two only ask to come again
_SPAM = frozenset({"reject", "discard", "quarantine", "add header", "rewrite subject"})


@dataclass(frozen=True, slots=True)
class ContentVerdict:
    """What was found in a mail: all are "" for a clean one.

    ``malware`` is its name, ``spam`` the action and score, ``failed`` which check failed and why.
    """

    malware: str = ""
    spam: str = ""
    failed: str = ""

    @classmethod
    def of_failure(cls, checker: str, reason: str) -> Self:
        """Return that a checker could not tell."""
        return cls(failed=f"{checker}: {_shown(reason)}")

    def __add__(self, other: "ContentVerdict") -> "ContentVerdict":
        """Return what two checkers say together."""
        return ContentVerdict(
            malware=self.malware or other.malware,
            spam=self.spam or other.spam,
            failed="; ".join(filter(None, (self.failed, other.failed))),
        )


CLEAN = ContentVerdict()


def clamd_verdict(answer: bytes) -> ContentVerdict:
    """Read the line that answers ``nINSTREAM`` (clamd(8), COMMANDS)."""
    line = answer.decode("utf-8", "replace")
    if line == "stream: OK\n":
        return CLEAN
    if found := _FOUND.fullmatch(line.removesuffix("\n")):
        return ContentVerdict(malware=_shown(found[1]))
    return ContentVerdict.of_failure("clamd", line or "it closed the connection")


def rspamd_verdict(status: int, answer: bytes) -> ContentVerdict:
    """Read the answer to ``/checkv2``: a JSON object with ``action`` and ``score``."""
    if status != 200:
        return ContentVerdict.of_failure("rspamd", f"status {status}")
    try:
        result = json.loads(answer, parse_int=float)
    except (ValueError, RecursionError):
        return ContentVerdict.of_failure("rspamd", "its answer is no JSON")
    action, score = (
        (result.get("action"), result.get("score")) if isinstance(result, dict) else (None, None)
    )
    if not isinstance(action, str) or not isinstance(score, float):
        return ContentVerdict.of_failure("rspamd", "its answer has no action and score")
    if action in _SPAM:
        return ContentVerdict(spam=_shown(f"{action} ({score:.1f})"))
    if action in _HARMLESS:
        return CLEAN
    return ContentVerdict.of_failure("rspamd", f"unknown action {action}")


def _shown(text: str) -> str:
    return "".join(letter for letter in one_line(text[:1000]) if letter.isprintable())[:MAX_TEXT]
