"""What a customer source tells about one person."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.words import Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One record, its texts as they are in the source and "" for what it does not know.

    ``key`` identifies the record for as long as it exists; the login may change. ``email`` is the
    main address. ``customer_name`` is the name of the firm with the Kunden#. ``groups`` are the
    permissions that the source gives, by the name of a group here; None where it knows of none.
    """

    key: str
    login: str
    customer_number: str
    email: str
    more_addresses: tuple[str, ...] = ()
    customer_name: str = ""
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    mobile: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    valid: bool = True
    groups: Mapping[str, Permission] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A record together with the row or entry that it was read from, for people to look at.

    ``raw`` holds the values by column or attribute; what is or may be a password is hidden.
    """

    raw: Mapping[str, tuple[str, ...]]
    record: SourceRecord
