"""``schalter sources renames`` and ``schalter sources match``."""

from dataclasses import replace

import pytest

from tests.cli.conftest import Installation
from tests.sources.crm import account, logins
from tests.sources.records import ANNA as RECORD
from tests.sources.records import BERT, read

ANNA = replace(RECORD, login="s.anna", email="s.anna@muster.example", customer_number="K-77")
HANNA = replace(ANNA, key="h", login="s.hanna")
OTHER = replace(BERT, login="s.bert", email="s.bert@muster.example", customer_number="K-77")


@pytest.fixture
def renamed(small_installation: Installation) -> Installation:
    """An installation where Anna is gone and Hanna, the same person, is new."""
    read(small_installation.database, ANNA, OTHER)
    read(small_installation.database, HANNA, OTHER)
    return small_installation


def test_who_may_be_whom_is_listed(renamed: Installation) -> None:
    lines = renamed.run("sources", "renames").stdout.splitlines()
    assert lines[0].split() == ["SOURCE", "GONE", "MAY", "BE", "BECAUSE", "OF"]
    assert lines[1].split(maxsplit=3) == ["ad", "s.anna", "s.hanna", "main-address, name, number"]
    (gone,) = renamed.json("sources", "renames")["accounts"]
    assert (gone["login"], gone["wanted_by"]) == ("s.anna", [])
    assert [each["login"] for each in gone["candidates"]] == ["s.hanna"]


def test_two_become_one(renamed: Installation) -> None:
    before = account(renamed.database, "s.anna").id
    result = renamed.run("sources", "match", "s.anna", "S.Hanna", stdin=b"y\n")
    assert result.exit_code == 0, result.output
    assert "takes over 0 tickets and 0 mails. This cannot be undone." in result.stderr
    assert result.stdout.splitlines()[-1] == "s.anna is s.hanna now."
    assert account(renamed.database, "s.hanna").id == before
    assert "No account that is gone" in renamed.run("sources", "renames").stdout


def test_nothing_happens_without_a_yes(renamed: Installation) -> None:
    before = logins(renamed.database)
    for answer in (b"n\n", b""):
        assert renamed.run("sources", "match", "s.anna", "s.hanna", stdin=answer).exit_code == 1
    assert logins(renamed.database) == before
    told = renamed.json("sources", "match", "s.anna", "s.hanna", "--yes")
    assert (told["login"], told["tickets"]) == ("s.hanna", 0)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("s.hanna", "s.bert", '"s.hanna" is not gone from a source.'),
        ("s.anna", "s.anna", '"s.anna" is not in a source.'),
        ("s.anna", "nobody", 'no account with the login "nobody"'),
    ],
)
def test_what_cannot_be_matched(renamed: Installation, old: str, new: str, why: str) -> None:
    result = renamed.run("sources", "match", old, new, "--yes")
    assert result.exit_code == 1
    assert why in result.stderr


def test_a_login_that_is_wanted_and_a_customer_that_is_left(
    small_installation: Installation,
) -> None:
    database = small_installation.database
    other = replace(ANNA, key="5", first_name="Olga", email="olga@muster.example")
    read(database, ANNA, OTHER)
    read(database, other, replace(OTHER, customer_number="K-78", customer_name="Other"))
    lines = small_installation.run("sources", "renames").stdout.splitlines()
    assert lines == [
        "No account that is gone has a successor.",
        "The record 5 wants the login s.anna.",
        "K-77 has no accounts left: 1 to K-78.",
    ]
