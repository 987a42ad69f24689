"""A directory as a source of the whole product: read by command, sign-in, mail, groups."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.accounts.signing_in import SignInFailed, sign_in
from core.config import load_config
from core.db import Database
from core.models import CustomerUser, CustomerUserGroup, Group, Ticket
from core.sources.asking.live import open_live_sources
from core.words import AccountKind, Validity
from tests.cli.conftest import Installation, an_installation, one_line
from tests.intake.firm import a_firm
from tests.sources.firm import PASSWORD
from tests.support.readme import example
from tests.support.slapd import (
    PEOPLE,
    Entries,
    Slapd,
    group,
    group_dn,
    person,
    person_dn,
    run_slapd,
)

SARA, TIMO = person_dn("sara"), person_dn("timo")
ENTRIES: Entries = {
    SARA: {
        **person("sara", "sara@muster.example", PASSWORD, first="Sara", last="Sommer"),
        "customerNumber": "K-1000",
        "proxyAddresses": ["SMTP:sara@muster.example", "smtp:s.sommer@muster.example"],
    },
    TIMO: {
        **person("timo", "timo@neu.example", PASSWORD, first="Timo", last="Tann"),
        "customerNumber": "K-3000",
    },
    group_dn("techs"): group(SARA),
    group_dn("sellers"): group(SARA, TIMO),
}
SECTION = """
[[customer_sources]]
name = "firm"
kind = "ldap"
servers = ["{slapd.server}"]
ca_file = "{slapd.ca_file}"
bind_dn = "{slapd.bind_dn}"
password_file = "{slapd.password_file}"
base = "{base}"
filter = "(objectClass=inetOrgPerson)"

[customer_sources.attributes]
customer_number = "customerNumber"
more_addresses = ["proxyAddresses"]

[customer_sources.groups."{techs}"]
technik = "rw"

[customer_sources.groups."{sellers}"]
vertrieb = "ro"
technik = "ro"
"""


@pytest.fixture
def directory() -> Iterator[Slapd]:
    """The firm's directory, with Sara and Timo."""
    with run_slapd(ENTRIES) as slapd:
        yield slapd


@pytest.fixture
def schalter(sqlite_database: Database, tmp_path: Path, directory: Slapd) -> Installation:
    """An installation with the directory as its only source; it has not been read yet."""
    a_firm(sqlite_database, sender_policy="open")
    made = an_installation(tmp_path, sqlite_database)
    names = {"techs": group_dn("techs"), "sellers": group_dn("sellers"), "base": PEOPLE}
    file = made.file("schalter.toml", SECTION.format(slapd=directory, **names))
    return Installation(made.folder, made.database, {**made.env, "SCHALTER_CONFIG": str(file)})


def account(schalter: Installation, login: str) -> CustomerUser:
    """Return an account by its login."""
    with schalter.database.read() as session:
        found = session.scalars(select(CustomerUser).where(CustomerUser.login == login)).one()
        assert found.customer.number  # both are loaded now
        assert found.addresses is not None
        return found


def groups(schalter: Installation, login: str) -> dict[str, str]:
    """Return the permissions of an account by the name of their group."""
    with schalter.database.read() as session:
        rows = session.execute(
            select(Group.name, CustomerUserGroup.permission)
            .join(Group, Group.id == CustomerUserGroup.group_id)
            .join(CustomerUser, CustomerUser.id == CustomerUserGroup.customer_user_id)
            .where(CustomerUser.login == login)
        )
        return {name: permission.value for name, permission in rows}


def sync(schalter: Installation) -> str:
    """Read the source by command, and return what that says."""
    result = schalter.run("sources", "sync")
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def signs_in(schalter: Installation, login: str, password: str) -> bool:
    """Whether somebody may sign in."""
    config = load_config(schalter.env["SCHALTER_CONFIG"])
    with open_live_sources(config) as sources:
        try:
            sign_in(
                schalter.database, AccountKind.CUSTOMER, login, password,
                peer="192.0.2.1", agent="", sources=sources,
            )  # fmt: skip
        except SignInFailed:
            return False
    return True


def test_a_directory_is_read_by_command(schalter: Installation, directory: Slapd) -> None:
    told = "firm: {} new, {} changed, {} unchanged, 0 refused, {} vanished, 0 conflicts"
    assert sync(schalter) == told.format(2, 0, 0, 0)
    sara = account(schalter, "sara")
    assert (sara.source, sara.customer.number, sara.first_name) == ("firm", "K-1000", "Sara")
    assert groups(schalter, "sara") == {"technik": "rw", "vertrieb": "ro"}
    assert groups(schalter, "timo") == {"technik": "ro", "vertrieb": "ro"}
    assert sync(schalter) == told.format(0, 0, 2, 0)

    directory.modify(SARA, {"telephoneNumber": "0228 7", "sn": "Winter"})
    directory.leave(group_dn("techs"), SARA)
    directory.rename(TIMO, "uid=timothy")
    assert sync(schalter).startswith("firm: 0 new, 2 changed")
    assert account(schalter, "sara").last_name == "Winter"
    assert groups(schalter, "sara") == {"technik": "ro", "vertrieb": "ro"}
    assert account(schalter, "timothy").customer.number == "K-3000"

    directory.delete(person_dn("timothy"))
    assert sync(schalter) == told.format(0, 0, 1, 1)
    assert account(schalter, "timothy").valid is Validity.INVALID


def test_the_commands_tell_how_it_is(schalter: Installation, directory: Slapd) -> None:
    sync(schalter)
    (listed,) = schalter.json("sources", "list")["sources"]
    assert (listed["name"], listed["records"], listed["error"]) == ("firm", 2, None)
    (line,) = [each for each in schalter.run("check").stdout.splitlines() if "source firm" in each]
    assert " ok " in line

    directory.stop()
    result = schalter.run("sources", "sync")
    assert result.exit_code == 1
    away = f"customer source firm: {directory.server}: Connection refused"
    assert away in one_line(result)
    assert account(schalter, "timo").valid is Validity.VALID
    (line,) = [each for each in schalter.run("check").stdout.splitlines() if "source firm" in each]
    assert "Connection refused" in line


def test_people_sign_in_with_their_password_there(schalter: Installation, directory: Slapd) -> None:
    sync(schalter)
    assert signs_in(schalter, "sara", PASSWORD)
    assert signs_in(schalter, "s.sommer@muster.example", PASSWORD)
    for password in ("", "wrong", "*", "\xad"):
        assert not signs_in(schalter, "sara", password)
    assert not signs_in(schalter, "*", PASSWORD)

    directory.modify(SARA, {"userPassword": "another one"})
    assert signs_in(schalter, "sara", "another one")
    directory.rename(SARA, "uid=susi")  # their key is the same
    assert signs_in(schalter, "susi", "another one")
    assert not signs_in(schalter, "sara", "another one")
    directory.stop()
    assert not signs_in(schalter, "sara", "another one")


@pytest.mark.parametrize("address", ["sara@muster.example", "S.Sommer@muster.example"])
def test_mail_is_theirs_by_each_of_their_addresses(schalter: Installation, address: str) -> None:
    sync(schalter)
    mail = (
        f"From: Sara <{address}>\nTo: technik@example.org\nSubject: Frage\n"
        "Message-ID: <1@muster.example>\n\nBitte rufen Sie an.\n"
    )
    result = schalter.run(
        "deliver", "--mail-from", address, "--rcpt", "technik@example.org", stdin=mail.encode()
    )
    assert result.exit_code == 0, result.output
    with schalter.database.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.customer_user_id == account(schalter, "sara").id


def test_what_is_wrong_in_the_section_is_told_before_anything_is_done(
    schalter: Installation, tmp_path: Path
) -> None:
    text = Path(schalter.env["SCHALTER_CONFIG"]).read_text(encoding="utf-8")
    for old, new, told in [
        ("(objectClass=inetOrgPerson)", "(objectClass=x)(uid=*)", "is not a filter of LDAP"),
        ('kind = "ldap"', 'kind = "ldap"\ntls = "none"\n', None),
        ('customer_number = "customerNumber"', "", "set either customer_number or"),
        ("cert.pem", "nowhere.pem", "ca_file"),
        ("reader-password", "nowhere", "password_file"),
        ('technik = "rw"', 'technik = "all"', "customer_sources.0.groups."),
    ]:
        wrong = tmp_path / "wrong.toml"
        wrong.write_text(text.replace(old, new), encoding="utf-8")
        result = schalter.run("--config", wrong, "sources", "sync")
        if told is None:
            assert result.exit_code == 0, result.output
        else:
            assert result.exit_code != 0
            assert told in one_line(result)


def as_in_active_directory(uid: str, number: int, control: int) -> Entries:
    """Return somebody with the attributes that Active Directory gives; 2 in control: disabled."""
    return {
        person_dn(uid): {
            **person(uid, f"{uid}@firm.example", PASSWORD, first=uid, last="Muster"),
            "sAMAccountName": uid.upper(),
            "objectGUID": bytes([number]) * 16,
            "proxyAddresses": [f"smtp:{uid}2@firm.example", f"SMTP:{uid}@firm.example", "X400:c=x"],
            "userAccountControl": str(control),
            "customerNumber": f"K-{number}",
            "o": "Firm GmbH",
        }
    }


def test_the_example_for_active_directory(schalter: Installation, directory: Slapd) -> None:
    directory.delete(SARA, TIMO)
    for number, (uid, control) in enumerate([("enno", 512), ("elsa", 66_048), ("erik", 514)], 1):
        directory.add(as_in_active_directory(uid, number, control))
    directory.add({group_dn("Support"): group(person_dn("enno"))})
    text = example("#### Active Directory", "toml")  # but for where the directory is
    for old, new in [
        ('"dc1.ad.firm.example", "dc2.ad.firm.example"', f'"{directory.server}"'),
        ("/etc/schalter/firm-ca.pem", directory.ca_file),
        ("CN=svc-schalter,OU=Service,DC=ad,DC=firm,DC=example", directory.bind_dn),
        ("/etc/schalter/ad.password", directory.password_file),
        ("OU=Customers,DC=ad,DC=firm,DC=example", PEOPLE),
        ("DC=ad,", ""),
        ("objectClass=user", "objectClass=person"),
        ("extensionAttribute1", "customerNumber"),
        ('"company"', '"o"'),
    ]:
        assert old in text
        text = text.replace(old, new)
    file = schalter.file("ad.toml", text)
    result = schalter.run("--config", file, "sources", "sync")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "ad: 2 new, 0 changed, 0 unchanged, 0 refused"
    )  # erik: disabled
    enno = account(schalter, "ENNO")
    assert (enno.source_key, enno.customer.number) == (
        "01010101-0101-0101-0101-010101010101",
        "K-1",
    )
    assert enno.email == "enno@firm.example"
    assert [each.address for each in enno.addresses if each.address != enno.email] == [
        "enno2@firm.example"
    ]
    assert (groups(schalter, "ENNO"), groups(schalter, "ELSA")) == ({"technik": "rw"}, {})

    directory.modify(person_dn("elsa"), {"userAccountControl": "66050"})
    result = schalter.run("--config", file, "sources", "sync")
    assert result.stdout.strip().endswith("1 vanished, 0 conflicts")
    assert account(schalter, "ELSA").valid is Validity.INVALID
