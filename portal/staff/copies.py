"""The field for those who get a copy: mail addresses as people type or paste them."""

import re

from wtforms import StringField

# Between commas, semicolons and new lines; a name in quotation marks may contain them.
_PIECES = re.compile(r'(?:"[^"]*"|[^,;\r\n"]|")+')
_IN_BRACKETS = re.compile(r"<([^<>]*)>\s*\Z")


class CopiesField(StringField):  # type: ignore[misc]  # WTForms has no types
    """Mail addresses, with or without names; whether they are addresses is asked by core."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What was entered, one by one, without the names."""
        return addresses_in(self.data or "")


def addresses_in(text: str) -> tuple[str, ...]:
    """Return the addresses in a text, one by one, without the names."""
    pieces = (piece.strip() for piece in _PIECES.findall(text))
    return tuple(_address(piece) for piece in pieces if piece)


def _address(piece: str) -> str:
    found = _IN_BRACKETS.search(piece)
    return found[1].strip() if found else piece
