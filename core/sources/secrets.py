"""What of a row or an entry is not shown to anybody."""

import re
from collections.abc import Collection

HIDDEN = "•••"

_SECRET = re.compile(r"pass|kennw|pwd|^pw$|_pw$|^pw_|secret|hash|token|salt|otp", re.IGNORECASE)


def shown(name: str, values: tuple[str, ...], secret: Collection[str] = ()) -> tuple[str, ...]:
    """Return the values of a column or attribute, hidden where it is or may be a password."""
    is_secret = name in secret or _SECRET.search(name) is not None
    return tuple(HIDDEN for _value in values) if is_secret else values
