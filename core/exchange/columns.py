"""What may stand in a file: the one definition of its columns, for reading, writing and pages.

A password never stands in a file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from babel.support import LazyProxy

from core.accounts.customer_users import CustomerUserValues
from core.accounts.customers import CustomerValues
from core.accounts.logins import login_key
from core.exchange.cells import (
    as_text,
    read_date,
    read_flag,
    read_groups,
    read_list,
    read_number,
    read_text,
    read_valid,
    read_validity,
)
from core.i18n import lazy_gettext as _l
from core.text import exact, fold

GROUPS = "groups"  # the one column that is no field of the values

_NOT_IN_WORDS = re.compile(r"[^\w#]|_")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the name of its field, its label on pages, and other words for it in a header.

    An empty cell empties a field that ``may_be_empty``; any other keeps what it has.
    """

    name: str
    label: LazyProxy
    words: tuple[str, ...] = ()
    read: Callable[[str, str], object] = read_text
    may_be_empty: bool = True

    @property
    def empty(self) -> object:
        """What an empty cell comes to."""
        return None if self.read is read_date else self.read(self.name, "")

    def cell(self, value: object) -> str:
        """Return a value as it stands in a file, without the guard against formulas."""
        if self.read is read_valid:
            return "valid" if value else "invalid"
        return as_text(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is about. ``same`` makes two spellings of one key equal.

    ``object_kind`` is what the audit log calls one of them.
    """

    name: str
    object_kind: str
    values: type[Any]
    key: str
    same: Callable[[str], str]
    columns: Sequence[Column]

    @property
    def required(self) -> Sequence[str]:
        """The fields that something new must have."""
        return [
            field.name
            for field in fields(self.values)
            if field.default is MISSING and field.default_factory is MISSING
        ]

    def column(self, name: str) -> Column:
        """Return the column of a field. Raises ``KeyError``."""
        return {column.name: column for column in self.columns}[name]

    def guessed(self, header: str) -> str | None:
        """Return the field that a word in a header means, if it is known."""
        return self._by_word().get(_word(header))

    def _by_word(self) -> Mapping[str, str]:
        return {
            _word(word): column.name
            for column in self.columns
            for word in (column.name, *column.words)
        }


def _word(header: str) -> str:
    return _NOT_IN_WORDS.sub("", fold(header))


_STREET = Column("street", _l("Street"), ("Straße", "Adresse", "address"))
_POSTCODE = Column("postcode", _l("Postcode"), ("PLZ", "Postleitzahl", "zip", "postal code"))
_CITY = Column("city", _l("City"), ("Ort", "Stadt", "town"))
_COUNTRY = Column("country", _l("Country"), ("Land",))
_COMMENT = Column("comment", _l("Comment"), ("Kommentar", "Bemerkung", "Notiz", "note"))
_GROUPS = Column(GROUPS, _l("Groups"), ("Gruppen", "Berechtigungen", "permissions"), read_groups)
_NUMBER_WORDS = (
    "Kunden#",
    "Kundennummer",
    "Kunden-Nr",
    "KdNr",
    "Kunden-ID",
    "customer ID",
    "customer no",
)

CUSTOMERS = Kind(
    "customers",
    "customer",
    CustomerValues,
    "number",
    exact,
    (
        Column("number", _l("Kunden#"), (*_NUMBER_WORDS, "customer number", "Nummer")),
        Column("name", _l("Name"), ("Firma", "Firmenname", "Kunde", "company", "customer")),
        Column("domains", _l("Mail domains"), ("Domain", "Maildomains", "Mail-Domains"), read_list),
        _STREET,
        _POSTCODE,
        _CITY,
        _COUNTRY,
        Column("url", _l("Web page"), ("Webseite", "Website", "Homepage", "WWW")),
        _COMMENT,
        Column("valid", _l("Valid"), ("Gültig", "Gültigkeit", "aktiv"), read_valid, False),
        _GROUPS,
    ),
)
USERS = Kind(
    "users",
    "customer-user",
    CustomerUserValues,
    "login",
    login_key,
    (
        Column("login", _l("Login"), ("Benutzername", "Benutzer", "username", "user name")),
        Column("customer_number", _l("Kunden#"), (*_NUMBER_WORDS, "Kunde", "customer")),
        Column("email", _l("E-mail"), ("Mail", "E-Mail-Adresse", "Mailadresse", "mail address")),
        Column(
            "more_addresses",
            _l("More mail addresses"),
            (
                "Further mail addresses",
                "Weitere Mailadressen",
                "Weitere E-Mail-Adressen",
                "further addresses",
            ),
            read_list,
        ),
        Column("share_address", _l("Share addresses"), ("Adressen teilen",), read_flag, False),
        Column("title", _l("Title"), ("Titel", "Anrede", "salutation")),
        Column("first_name", _l("First name"), ("Vorname", "given name")),
        Column("last_name", _l("Last name"), ("Nachname", "Familienname", "surname")),
        Column("phone", _l("Phone"), ("Telefon", "Tel", "telephone")),
        Column("mobile", _l("Mobile"), ("Mobiltelefon", "Mobil", "Handy")),
        _STREET,
        _POSTCODE,
        _CITY,
        _COUNTRY,
        _COMMENT,
        Column("valid", _l("Valid"), ("Gültig", "Gültigkeit"), read_validity, False),
        Column(
            "invalid_until",
            _l("Invalid until"),
            ("Ungültig bis", "Ungültig bis einschließlich"),
            read_date,
        ),
        Column("invalid_reason", _l("Reason"), ("Grund", "Grund der Ungültigkeit")),
        Column(
            "sees_customer_tickets",
            _l("Sees all tickets of the customer"),
            ("Sieht Tickets des Kunden", "Sieht alle Tickets des Kunden"),
            read_flag,
            False,
        ),
        Column("language", _l("Language"), ("Sprache",)),
        Column("theme", _l("Appearance"), ("Darstellung", "Design"), read_text, False),
        Column("time_zone", _l("Time zone"), ("Zeitzone",)),
        Column(
            "tickets_per_page", _l("Tickets per page"), ("Tickets pro Seite",), read_number, False
        ),
        Column("notices", _l("Mail about new answers"), ("Benachrichtigungen",), read_flag, False),
        _GROUPS,
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (USERS, CUSTOMERS)}
