"""The section of the configuration: what it takes, and what it says about the rest."""

from pathlib import Path

import pytest

from core.config import Config, load_config
from core.errors import ConfigError
from core.sources.configured import open_sources

GOOD = """
[[customer_sources]]
name = "crm"
kind = "sql"
url = "postgresql://reader@crm.example/crm"
table = "kunden"
columns = { login = "login", customer_number = "nr", email = "mail" }
"""

# What is exchanged in the good section, by what, and what is told.
WRONG = [
    ('kind = "sql"', 'kind = "odbc"', "customer_sources.0.kind: must be "),
    ('kind = "sql"', "", 'customer_sources.0.kind: must be "sql" or "ldap"'),
    ('name = "crm"', 'name = "My CRM"', "customer_sources.0: name must be "),
    ('table = "kunden"', 'tabel = "kunden"', "customer_sources.0.table: Field required"),
    ('table = "kunden"', 'table = "kunden"\ntabel = ""', "unknown key customer_sources.0.tabel"),
    ('mail" }', 'mail", tel = "t" }', "unknown key customer_sources.0.columns.tel"),
    ("postgresql://reader@", "oracle://reader@", "url must be of sqlite, postgresql or mariadb"),
    ("postgresql://reader@", "reader@", "url must be an SQLAlchemy address"),
    ("reader@crm", "reader:geheim@crm", "url must not hold the password"),
    ("example/crm", "example/crm?sslpassword=geheim", "url must not hold the password"),
    ("postgresql://reader@crm.example/crm", "sqlite://", "url must name a file"),
    (GOOD, GOOD + GOOD, "customer_sources: two are called crm"),
]


def config_of(folder: Path, text: str) -> Config:
    """Return the configuration of a file with this text."""
    file = folder / "schalter.toml"
    file.write_text(text)
    return load_config(str(file))


def test_the_smallest_section(tmp_path: Path) -> None:
    (section,) = config_of(tmp_path, GOOD).customer_sources
    assert (section.name, section.columns.email) == ("crm", "mail")
    assert section.valid_values == ["1", "true"]


@pytest.mark.parametrize(("old", "new", "told"), WRONG)
def test_a_mistake_names_file_key_and_reason(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_of(tmp_path, GOOD.replace(old, new))
    assert told in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/schalter.toml: ")
    assert "geheim" not in str(error.value)


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "crm.password"
    config = config_of(tmp_path, GOOD + f'password_file = "{missing}"')
    wrong = f"crm: password_file {missing}: No such file"
    with pytest.raises(ConfigError, match=wrong), open_sources(config):
        pass


def test_no_sources_cost_nothing() -> None:
    with open_sources(Config()) as sources:
        assert sources == []
