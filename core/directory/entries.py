"""What a directory tells about somebody or something."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

OBJECT_GUID = "objectguid"  # of Active Directory, in lower case


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with those of its attributes that were asked for."""

    dn: str
    attributes: Mapping[str, tuple[str, ...]]

    def first(self, name: str) -> str:
        """Return the first value of an attribute, "" where it has none; no name has none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of an attribute."""
        return self.attributes.get(name, ())


class Attributes(Mapping[str, tuple[str, ...]]):
    """Values by the name of their attribute, found in upper and lower case alike.

    Octets that are no text are shown as well as can be, but for ``objectGUID``: that is the text
    which Active Directory's own tools show.
    """

    def __init__(self, raw: Mapping[str, Sequence[bytes]]) -> None:
        self._values = {
            name: tuple(_text(name, octets) for octets in values) for name, values in raw.items()
        }
        self._names = {name.lower(): name for name in self._values}

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._values[self._names[name.lower()]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def guid_octets(text: str) -> bytes | None:
    """Return the octets of an ``objectGUID`` by its text, None where that is none."""
    try:
        return uuid.UUID(text).bytes_le
    except ValueError:
        return None


def _text(name: str, octets: bytes) -> str:
    if name.lower() == OBJECT_GUID and len(octets) == 16:
        return str(uuid.UUID(bytes_le=octets))
    return octets.decode("utf-8", "replace")
