"""``schalter sources`` and the lines of ``schalter check`` about them."""

import re
from pathlib import Path

import pytest

from core.claims import claimed
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
    assert {each["state"] for each in listed} == {"answers"}
    assert all(0 <= each["age_seconds"] < 60 for each in listed)
    assert all(each["next"] > each["read"] for each in listed)
    table = small_installation.run("--config", config, "sources", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "STATE", "RECORDS", "CONFLICTS", "READ", "NEXT", "ERROR"]
    assert re.fullmatch(r"crm +answers +1 +0 +\d+ s ago +in \d+ min +\(none\)", table[1])
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


def test_a_loss_is_accepted_for_one_source_by_name(
    small_installation: Installation, config: Path, crm: Crm, erp: Crm
) -> None:
    persons = [
        ANNA | {"id": number, "login": f"u{number}", "mail": f"u{number}@muster.example"}
        for number in range(50)
    ]
    crm.hold(*persons)
    erp.hold(BERT)
    sync = ("--config", config, "sources", "sync")
    assert small_installation.run(*sync).exit_code == 0
    crm.hold(*persons[:10])
    lost = small_installation.run(*sync)
    assert lost.exit_code == 1
    assert "schalter sources sync crm --accept-loss" in one_line(lost)
    assert small_installation.run(*sync, "--accept-loss").exit_code == 2
    told = small_installation.run(*sync, "crm", "--accept-loss").stdout
    assert "0 new, 0 changed, 10 unchanged, 0 refused, 40 vanished" in told


def test_a_source_that_is_being_read_is_left_alone(
    small_installation: Installation, config: Path, crm: Crm, erp: Crm
) -> None:
    crm.hold(ANNA)
    erp.hold(BERT | {"login": "s.bert"})
    with claimed(small_installation.database, "source-crm"):
        result = small_installation.run("--config", config, "sources", "sync")
    assert (
        one_line(result) == "schalter: customer source crm: another process is reading it already"
    )
    known = logins(small_installation.database)
    assert "s.bert" in known
    assert known.get("anna", (None, ""))[0] is None


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
