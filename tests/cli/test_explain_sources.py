"""``explain`` where customer sources are asked: it tells what ``deliver`` then does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from core.models import CustomerUser, Mail
from tests.cli.conftest import Installation
from tests.intake.firm import a_firm
from tests.sources.crm import ANNA, Crm
from tests.support.slapd import Slapd, person, person_dn, run_slapd

MAIL = (
    b"From: Nina <nina@muster.example>\nTo: vertrieb@example.org\nSubject: Frage\n"
    b"Message-ID: <1@muster.example>\n\nBitte rufen Sie an.\n"
)
ENVELOPE = ("--mail-from", "nina@muster.example", "--rcpt", "vertrieb@example.org")
COLUMNS = '{ key = "id", login = "login", customer_number = "Kunden#", email = "mail" }'
NINA = {
    person_dn("nina"): {
        **person("nina", "nina@muster.example", first="Nina", last="Neu"),
        "customerNumber": "K-1000",
    }
}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a source that answers have time to, on machines that are busy."""
    monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 20.0)
    monkeypatch.setattr("core.sources.asking.live.SECONDS", 30.0)


@pytest.fixture
def firm(small_installation: Installation) -> Installation:
    """An installation whose database has never heard of Nina."""
    a_firm(small_installation.database, sender_policy="open")
    return small_installation


def configured(firm: Installation, section: str) -> Mapping[str, str]:
    """Configure a customer source; return what the environment has to say for it."""
    file = firm.file("schalter.toml", f"[[customer_sources]]\n{section}")
    return {"SCHALTER_CONFIG": str(file)}


def sql(crm: Crm, when_away: str = "hold") -> str:
    return (
        f'name = "crm"\nkind = "sql"\nurl = "{crm.url}"\ntable = "Kunden Benutzer"\n'
        f'columns = {COLUMNS}\nwhen_away = "{when_away}"\n'
    )


def ldap(slapd: Slapd, when_away: str = "hold") -> str:
    return (
        f'name = "firm"\nkind = "ldap"\nservers = ["{slapd.server}"]\nca_file = "{slapd.ca_file}"\n'
        f'bind_dn = "{slapd.bind_dn}"\npassword_file = "{slapd.password_file}"\n'
        f'base = "{slapd.base}"\nfilter = "(objectClass=inetOrgPerson)"\n'
        f'attributes = {{ customer_number = "customerNumber" }}\nwhen_away = "{when_away}"\n'
    )


def explained(firm: Installation, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON of ``explain`` about Nina's mail, of which nothing must be recorded."""
    result = firm.run("explain", "-", *ENVELOPE, "--json", stdin=MAIL, **env)
    assert result.exit_code == 0, result.output
    assert mails(firm) == 0
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def mails(firm: Installation) -> int:
    with firm.database.read() as session:
        return session.scalar(select(func.count(Mail.id))) or 0


def fate(told: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return decision, reason and code of the reply."""
    (part,) = told["recipients"]
    return part["decision"], part["reason"], part["reply"][:3]


def step(told: Mapping[str, Any], rule: str) -> str:
    """Return what the step of a rule answers; "" without one."""
    return next((each["answer"] for each in told["steps"] if each["rule"] == rule), "")


def test_somebody_whom_only_a_database_knows(firm: Installation, crm: Crm) -> None:
    crm.hold(ANNA | {"login": "nina", "mail": "nina@muster.example"})
    env = configured(firm, sql(crm))
    told = explained(firm, env)
    assert fate(told) == ("open-ticket", "allowed", "250")
    assert told["recipients"][0]["customer_user"] == "nina"
    assert step(told, "sources") == "answered"
    with firm.database.read() as session:  # the copy is there, as after any look-up
        nina = session.scalars(select(CustomerUser).where(CustomerUser.login == "nina")).one()
        assert nina.source == "crm"
    delivered = firm.run("deliver", *ENVELOPE, stdin=MAIL, **env)
    assert "open-ticket 100001 (allowed)" in delivered.stdout


@pytest.mark.parametrize(
    ("when_away", "expected", "status"),
    [("hold", ("hold", "source-away", "250"), 0), ("defer", ("defer", "source-away", "451"), 75)],
)
def test_a_database_that_is_away(
    firm: Installation,
    crm: Crm,
    tmp_path: Path,
    when_away: str,
    expected: tuple[str, str, str],
    status: int,
) -> None:
    crm.hold(ANNA | {"login": "nina", "mail": "nina@muster.example"})
    env = configured(firm, sql(crm, when_away))
    (tmp_path / "crm.db").rename(tmp_path / "gone.db")
    told = explained(firm, env)
    assert fate(told) == expected
    assert step(told, "sources") == "away"
    assert step(told, "source_away") == expected[0]
    text = firm.run("explain", "-", *ENVELOPE, stdin=MAIL, **env)
    assert text.exit_code == 0
    assert f"vertrieb@example.org: {expected[0]} (source-away)" in text.stdout
    assert f"reply             {expected[2]} " in text.stdout
    assert "did not answer: crm." in text.stdout
    assert firm.run("deliver", *ENVELOPE, stdin=MAIL, **env).exit_code == status


@pytest.mark.parametrize("when_away", ["hold", "defer"])
def test_somebody_whom_only_a_directory_knows(firm: Installation, when_away: str) -> None:
    with run_slapd(NINA) as slapd:
        env = configured(firm, ldap(slapd, when_away))
        slapd.stop()
        assert fate(explained(firm, env))[:2] == (when_away, "source-away")
        slapd.start()
        told = explained(firm, env)
        assert fate(told) == ("open-ticket", "allowed", "250")
        assert step(told, "sources") == "answered"
        slapd.stop()  # from now on the copy counts
        told = explained(firm, env)
        assert fate(told) == ("open-ticket", "allowed", "250")
        assert step(told, "sources") == "away"


def test_help_says_what_becomes_of_copies(firm: Installation) -> None:
    told = " ".join(firm.run("explain", "--help").stdout.split())
    assert "Nothing of the mail is recorded." in told
    assert "brings the copies of their accounts up to date" in told
