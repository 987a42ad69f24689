"""``[[customer_sources]]``: databases and directories that keep customer data."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from core.config.directories import DirectorySection
from core.config.sections import Section

SQL_BACKENDS = ("sqlite", "postgresql", "mysql", "mariadb")
# What an address of MariaDB may say beside its parts; that a certificate is verified, none can.
MARIADB_OPTIONS = {"ssl_ca", "ssl_cert", "ssl_key", "unix_socket"}


class SourceSection(Section):
    """What every source has.

    ``when_away`` says what becomes of mail from an unknown address, which may be known there,
    while the source does not answer: it is held, or deferred with 451. A look-up is remembered
    for ``cache_seconds``. All records are read every ``sync_minutes``; 0 is only when asked.
    """

    name: str
    when_away: Literal["hold", "defer"] = "hold"
    cache_seconds: int = Field(default=10, ge=0, le=300)
    sync_minutes: int = Field(default=60, ge=0, le=10_080)

    @model_validator(mode="after")
    def _named(self) -> "SourceSection":
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", self.name):
            raise ValueError("name must be 1 to 50 of a-z, 0-9, - and _")
        return self


class SourceFields(Section):
    """Which column or attribute holds what; "" for what a source does not know.

    ``key`` identifies a record for as long as it exists; without it that is the login.
    """

    login: str = Field(min_length=1)
    customer_number: str = Field(min_length=1)
    email: str = Field(min_length=1)
    more_addresses: list[str] = Field(default=[])
    key: str = ""
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
    valid: str = ""


class SourceColumns(SourceFields):
    """``columns`` of an SQL source.

    ``password`` holds hashes (``core.sources.passwords.hashes``); without it nobody of the source
    can sign in.
    """

    password: str = ""


class SqlSourceSection(SourceSection):
    """A table or view of an SQL database with one row per account.

    A row is valid when its column ``valid`` holds one of ``valid_values``, or there is none.
    ``writable`` names the fields that may be changed here and are then written there.
    ``keep_passwords`` keeps a password that was right as a hash of ours, for when the accounts
    are taken over.
    """

    kind: Literal["sql"]
    url: str
    password_file: str = ""
    table: str = Field(min_length=1)
    table_schema: str = ""
    columns: SourceColumns
    valid_values: list[str] = Field(default=["1", "true"])
    writable: list[str] = Field(default=[])
    keep_passwords: bool = False

    @model_validator(mode="after")
    def _usable(self) -> "SqlSourceSection":
        """Here, not at the key: the message of a key shows its value, and this may be secret."""
        try:
            url = make_url(self.url)
        except ArgumentError:
            raise ValueError("url must be an SQLAlchemy address") from None
        if url.get_backend_name() not in SQL_BACKENDS:
            raise ValueError("url must be of sqlite, postgresql or mariadb")
        if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("url must name a file, as in sqlite:///crm.db")
        if url.get_backend_name() in ("mysql", "mariadb") and set(url.query) - MARIADB_OPTIONS:
            raise ValueError(f"url: after ? can only stand {', '.join(sorted(MARIADB_OPTIONS))}")
        if url.password is not None or any("password" in each for each in url.query):
            raise ValueError("url must not hold the password: name its file in password_file")
        return self

    @model_validator(mode="after")
    def _writable_columns(self) -> "SqlSourceSection":
        fixed = {"key", "login", "more_addresses", "valid", "password"}
        fixed |= {"customer_number", "customer_name"}  # of all accounts of a customer
        named = self.columns.model_dump()
        for field in self.writable:
            if field not in named or field in fixed or not named[field]:
                raise ValueError(f"writable: {field} is no field with a column that can be changed")
        return self


class SourceAttributes(SourceFields):
    """``attributes`` of an LDAP source; the first value counts but for ``more_addresses``.

    ``key`` is ``entryUUID``, or ``objectGUID`` in Active Directory. ``more_addresses`` may name
    attributes with many values, also ``proxyAddresses``. ``customer_number`` may be empty where
    the section has one for all.
    """

    key: str = "entryUUID"
    login: str = "uid"
    customer_number: str = ""
    email: str = "mail"
    first_name: str = "givenName"
    last_name: str = "sn"


class LdapSourceSection(DirectorySection, SourceSection):
    """Entries of an LDAP directory; people sign in by a bind with their DN and password.

    ``customer_number`` is that of everybody, where no attribute holds it. For the groups that
    ``groups`` gives, the directory decides alone.
    """

    kind: Literal["ldap"]
    attributes: SourceAttributes = SourceAttributes()
    customer_number: str = ""
    valid_values: list[str] = Field(default=["1", "true"])

    @model_validator(mode="after")
    def _one_number(self) -> "LdapSourceSection":
        if bool(self.customer_number) == bool(self.attributes.customer_number):
            raise ValueError("set either customer_number or attributes.customer_number")
        return self

    @model_validator(mode="after")
    def _names_of_attributes(self) -> "LdapSourceSection":
        """What stands in filters is a name (RFC 4512 2.5), and no part of a filter."""
        names = self.attributes.model_dump(exclude={"more_addresses"}).items()
        more = [("more_addresses", name) for name in self.attributes.more_addresses]
        for field, name in [*names, *more]:
            if name and not re.fullmatch(r"[A-Za-z0-9.;-]+", name):
                raise ValueError(f"attributes.{field}: {name} is no name of an attribute")
        return self


AnySourceSection = Annotated[SqlSourceSection | LdapSourceSection, Field(discriminator="kind")]
