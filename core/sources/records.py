"""What a customer source tells about one person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One record, its texts as they are in the source and "" for what it does not know.

    ``key`` identifies the record for as long as it exists; the login may change. ``email`` is the
    main address. ``customer_name`` is the name of the firm with the Kunden#.
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
