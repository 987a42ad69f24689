"""Errors that people are meant to read. Everything else is a defect.

Edges translate them: a form shows ``Invalid`` at its field, the console prints one line and exits
with status 1, the gateway answers a constant reply.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SchalterError(Exception):
    """Something that is explained to the person who asked for it; ``str()`` is that text."""


class Invalid(SchalterError):
    """A value that cannot be accepted.

    ``field`` is the name of the attribute as in the forms and the ``apply`` file, ``message`` is
    a sentence for people.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class InvalidFields(SchalterError):
    """Several values at once that cannot be accepted; ``errors`` keeps the order of the form."""

    def __init__(self, errors: Sequence[Invalid]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Holder:
    """The account that already holds a value which must be unique."""

    kind: str
    id: int
    name: str


class Duplicate(Invalid):
    """A value that somebody else already has; ``holder`` is who."""

    def __init__(self, field: str, message: str, holder: Holder) -> None:
        super().__init__(field, message)
        self.holder = holder


class NotFound(SchalterError):
    """There is no such thing, or the asker may not see it: the two look the same."""


class Forbidden(SchalterError):
    """The asker may see the thing but not do this with it."""


class Stale(SchalterError):
    """Somebody else changed the thing since the asker read it."""


class ConfigError(SchalterError):
    """The configuration names an unknown key or a bad value; the text names key and file."""


class DatabaseUnavailable(SchalterError):
    """The database cannot be reached or is not at the revision that this program needs."""
