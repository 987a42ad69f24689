"""Which customer sources were asked who a mail is from, and whether they answered."""

from dataclasses import dataclass
from enum import StrEnum


class SourcesAnswer(StrEnum):
    """What came of asking, as the step of an explanation says it."""

    ANSWERED = "answered"
    AWAY = "away"  # at least one of them did not answer


@dataclass(frozen=True, slots=True)
class SourcesAsked:
    """The names of the sources that were asked about a mail; of these, ``silent`` said nothing."""

    names: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


NOBODY_ASKED = SourcesAsked()
