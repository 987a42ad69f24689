"""``schalter sources`` and the lines of ``schalter check`` about them."""

from pathlib import Path

import pytest

from tests.cli.conftest import Installation, one_line
from tests.sources.crm import ANNA, BERT, Crm, logins


@pytest.fixture
def config(small_installation: Installation, crm: Crm, erp: Crm) -> Path:
    """A configuration file with two sources."""
    section = """
[[customer_sources]]
name = "{name}"
kind = "sql"
url = "{url}"
table = "Kunden Benutzer"
columns = {{ key = "id", login = "login", customer_number = "Kunden#", email = "mail", \
first_name = "vorname", last_name = "name" }}
"""
    text = section.format(name="crm", url=crm.url) + section.format(name="erp", url=erp.url)
    return small_installation.file("sources.toml", text)


def test_sync_reads_every_source_in_order(
    small_installation: Installation,
    config: Path,
    crm: Crm,
    erp: Crm,
) -> None:
    crm.hold(ANNA | {"login": "s.anna"})
    erp.hold(BERT | {"login": "s.bert"}, ANNA | {"id": 3, "login": "s.anna"})
    result = small_installation.run("--config", config, "sources", "sync")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "crm: 1 new, 0 changed, 0 unchanged, 0 refused, 0 vanished, 0 conflicts",
        "erp: 1 new, 0 changed, 0 unchanged, 1 refused, 0 vanished, 1 conflicts",
    ]
    brought = {login: of for login, of in logins(small_installation.database).items() if of[0]}
    assert brought == {"s.anna": ("crm", "valid"), "s.bert": ("erp", "valid")}

    listed = small_installation.json("--config", config, "sources", "list")["sources"]
    assert [(each["name"], each["records"], each["conflicts"]) for each in listed] == [
        ("crm", 1, 0),
        ("erp", 2, 1),
    ]
    (conflict,) = small_installation.json("--config", config, "sources", "conflicts")["conflicts"]
    assert (conflict["source"], conflict["key"], conflict["kind"]) == ("erp", "3", "login")

    lines = small_installation.run("--config", config, "check").stdout.splitlines()
    told = {line.split("  ")[0]: line for line in lines if line.startswith("source ")}
    assert " ok " in told["source crm"]
    assert "warning" in told["source erp"]
    assert "conflicts: 1" in told["source erp"]


def test_one_that_is_away_hinders_no_other(
    small_installation: Installation,
    config: Path,
    crm: Crm,
    erp: Crm,
) -> None:
    crm.execute('DROP TABLE "Kunden Benutzer"')
    erp.hold(BERT | {"login": "s.bert"})
    result = small_installation.run("--config", config, "sources", "sync")
    assert result.exit_code == 1
    assert one_line(result).startswith("schalter: customer source crm: no such table")
    assert logins(small_installation.database)["s.bert"] == ("erp", "valid")
    checked = small_installation.run("--config", config, "check")
    assert checked.exit_code == 1
    assert "failed: source crm" in checked.stderr


def test_wrong_names_and_no_sources(small_installation: Installation, config: Path) -> None:
    unknown = small_installation.run("--config", config, "sources", "sync", "sap")
    assert one_line(unknown) == "schalter: there is no customer source sap"
    nothing = small_installation.run("sources", "sync")
    assert one_line(nothing) == "schalter: no customer sources are configured"
    assert "No customer sources" in small_installation.run("sources", "list").stdout
    assert "no conflicts" in small_installation.run("sources", "conflicts").stdout


def test_adopt_keeps_accounts_here(
    small_installation: Installation, config: Path, crm: Crm, erp: Crm
) -> None:
    crm.hold(ANNA | {"login": "s.anna"})
    erp.hold(BERT | {"login": "s.bert"})
    small_installation.run("--config", config, "sources", "sync")
    tried = small_installation.run("--config", config, "sources", "adopt", "crm", "--dry-run")
    assert tried.stdout.splitlines() == [
        "crm: 1 accounts, 0 with password, 1 without password, 1 customers",
        "Nothing was changed: this was a dry run.",
    ]
    assert logins(small_installation.database)["s.anna"] == ("crm", "valid")

    done = small_installation.run("--config", config, "sources", "adopt", "crm")
    assert "remove this source from the configuration" in done.stdout
    known = logins(small_installation.database)
    assert (known["s.anna"], known["s.bert"]) == ((None, "valid"), ("erp", "valid"))
    # One that is configured no longer, whose accounts are still there.
    gone = small_installation.json("sources", "adopt", "erp")
    assert (gone["accounts"], gone["dry_run"]) == (1, False)
    wrong = small_installation.run("--config", config, "sources", "adopt", "sap")
    assert one_line(wrong) == "schalter: there is no customer source sap"
