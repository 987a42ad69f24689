"""The text of a section: what is read back from it is the section."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from core.config import LdapSourceSection, SqlSourceSection, load_config
from core.config.sources import AnySourceSection
from core.sources.trying.toml_text import section_as_toml

SQL: dict[str, Any] = {
    "name": "crm",
    "kind": "sql",
    "url": "postgresql://reader@crm.example/crm",
    "table": "customers",
    "columns": {"login": "login", "customer_number": "number", "email": "mail"},
}
LDAP: dict[str, Any] = {
    "name": "ad",
    "kind": "ldap",
    "servers": ["dc1.example", "dc2.example:3269"],
    "base": "dc=example",
    "attributes": {"customer_number": "employeeNumber"},
}
ODD = [
    'a "quoted" name',
    "back\\slash",
    "Kunden#",
    "Größe ß",
    "tab\there",
    "line\nbreak\r",
    "bell\x07 and delete\x7f",
    "\u2028 \U0001f4e7",
    "'",
    "'''",
    '"""',
    "= [table] # no comment",
    "",
    " ",
]


def sql(**values: Any) -> SqlSourceSection:
    return SqlSourceSection(**{**SQL, **values})


SECTIONS: dict[str, AnySourceSection] = {
    "the least": sql(),
    "everything": sql(
        when_away="defer",
        cache_seconds=0,
        sync_minutes=0,
        password_file="/etc/schalter/crm.password",
        table_schema="public",
        columns={**SQL["columns"], "more_addresses": ["mail2", "mail 3"], "phone": "tel"},
        valid_values=["J", "ja"],
        writable=["phone"],
        keep_passwords=True,
    ),
    "no values of validity": sql(valid_values=[]),
    "a directory": LdapSourceSection(**LDAP),
    "groups": LdapSourceSection(
        **LDAP
        | {
            "groups": {
                'cn=Technik "A",dc=example': {"technik": "rw", "Käufer & Co": "ro"},
                "cn=b": {"b": "ro"},
            },
            "tls": "ldaps",
        }
    ),
    "one Kunden# for all": LdapSourceSection(
        **{**LDAP, "attributes": {"mobile": "mobile"}}, customer_number="K-1000"
    ),
}


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_it_is_read_back_as_it_was(section: AnySourceSection, tmp_path: Path) -> None:
    file = tmp_path / "schalter.toml"
    file.write_text(section_as_toml(section), encoding="utf-8")
    assert load_config(str(file)).customer_sources == [section]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_read_back(text: str) -> None:
    section = sql(
        table=text or "x",
        columns={**SQL["columns"], "phone": text, "more_addresses": [text, text]},
        valid_values=[text],
    )
    (read,) = tomllib.loads(section_as_toml(section))["customer_sources"]
    assert SqlSourceSection(**read) == section


def test_two_sections_stand_one_after_the_other(tmp_path: Path) -> None:
    sections = [SECTIONS["everything"], SECTIONS["groups"]]
    file = tmp_path / "schalter.toml"
    file.write_text("\n".join(map(section_as_toml, sections)), encoding="utf-8")
    assert load_config(str(file)).customer_sources == sections


def test_what_is_as_by_default_stays_out_of_it() -> None:
    text = section_as_toml(sql())
    assert text.splitlines() == [
        "[[customer_sources]]",
        'name = "crm"',
        'kind = "sql"',
        'url = "postgresql://reader@crm.example/crm"',
        'table = "customers"',
        "",
        "[customer_sources.columns]",
        'login = "login"',
        'customer_number = "number"',
        'email = "mail"',
    ]
