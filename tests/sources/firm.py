"""A firm's directory with people in it, for tests of customer sources."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from core.config import LdapSourceSection
from core.sources.kinds.ldap import LdapSource
from tests.support.slapd import Entries, Slapd, group, group_dn, person, person_dn

PASSWORD = "Käsekuchen 2026"
ANNA = person_dn("anna")
BERT = person_dn("bert")
CARLA = person_dn("carla")
ANNAS_ADDRESSES = ["anna@firm.example", "a.muster@firm.example"]
GUIDS = {ANNA: bytes(range(16)), BERT: bytes(range(0x20, 0x30)), CARLA: b"()*\\" * 4}
PEOPLE: Entries = {
    ANNA: {
        **person("anna", ANNAS_ADDRESSES, PASSWORD, first="Anna", last="Muster"),
        "customerNumber": "K-1000",
        "telephoneNumber": "0228 1",
        "objectGUID": GUIDS[ANNA],
        "proxyAddresses": [
            "smtp:am@firm.example",
            "X400:c=de;s=muster",
            "SMTP:Anna@firm.example",
            "sip:anna@firm.example",
        ],
        "validity": "1",
        "jpegPhoto": b"\xff\xd8\xff\xe0" + bytes(2_000),
    },
    BERT: {
        **person("bert", "bert@firm.example", PASSWORD, first="Bert", last="Muster"),
        "customerNumber": "K-1000",
        "objectGUID": GUIDS[BERT],
        "validity": "0",
    },
    CARLA: {
        **person("carla", "carla@other.example", first="Carla", last="Ebert"),
        "customerNumber": "K-2000",
        "objectGUID": GUIDS[CARLA],
        "validity": "yes",
    },
}
SUPPORT = group_dn("support")
LEADERS = group_dn("leaders")
GROUPS: Entries = {SUPPORT: group(ANNA, BERT), LEADERS: group(ANNA)}

# What the configuration says of the attributes that the tests' people have.
MAP = {"customer_number": "customerNumber", "phone": "telephoneNumber"}


def section_of(
    slapd: Slapd, *, attributes: Mapping[str, Any] = MAP, **keys: Any
) -> LdapSourceSection:
    """Return the section of the configuration that names a directory."""
    return LdapSourceSection(
        **{
            "name": "firm",
            "kind": "ldap",
            "servers": [slapd.server],
            "ca_file": slapd.ca_file,
            "bind_dn": slapd.bind_dn,
            "password_file": slapd.password_file,
            "base": slapd.base,
            "filter": "(objectClass=inetOrgPerson)",
            "attributes": attributes,
            **keys,
        }
    )


@contextmanager
def source_of(slapd: Slapd, **keys: Any) -> Iterator[LdapSource]:
    """Give the source of such a section, and close it."""
    source = LdapSource(section_of(slapd, **keys), slapd.password)
    try:
        yield source
    finally:
        source.close()
