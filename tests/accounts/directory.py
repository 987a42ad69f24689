"""A directory of staff for tests: agents, admins, and groups that give permissions."""

from core.config import StaffDirectorySection
from core.words import Permission, Role
from tests.support.slapd import (
    Entries,
    Slapd,
    group,
    group_dn,
    person,
    person_dn,
)

PASSWORD = "correct horse battery"
AGENTS, ADMINS, SALES, TECHNICIANS = map(group_dn, ("agents", "admins", "sales", "technicians"))
ANNA, BERT, CAROL, DORA = map(person_dn, ("anna", "bert", "carol", "dora"))

PEOPLE: Entries = {
    ANNA: person("anna", "anna@firm.example", PASSWORD, first="Anna", last="Müller"),
    BERT: person("bert", "bert@firm.example", PASSWORD, first="Bert", last="Groß"),
    CAROL: person("carol", "carol@firm.example", PASSWORD, first="Carol", last="Smith"),
    DORA: person("dora", "dora@firm.example", PASSWORD, first="Dora", last="Kern"),
    AGENTS: group(ANNA, BERT),
    ADMINS: group(BERT),
    SALES: group(ANNA),
    TECHNICIANS: group(ANNA, DORA),
}
"""Anna is an agent, Bert an admin, too; Carol has no role, Dora permissions without a role."""


def section_of(slapd: Slapd, **changes: object) -> StaffDirectorySection:
    """Return the section for a directory with ``PEOPLE``, by StartTLS, but for some changes."""
    values: dict[str, object] = {
        "servers": [slapd.server],
        "ca_file": slapd.ca_file,
        "bind_dn": slapd.bind_dn,
        "password_file": slapd.password_file,
        "base": slapd.base,
        "filter": "(objectClass=inetOrgPerson)",
        "roles": {AGENTS: Role.AGENT, ADMINS: Role.ADMIN},
        "groups": {
            SALES: {"vertrieb": Permission.RW, "technik": Permission.RO},
            TECHNICIANS: {"technik": Permission.RW},
        },
    }
    return StaffDirectorySection.model_validate(values | changes)
