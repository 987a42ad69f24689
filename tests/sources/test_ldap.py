"""An LDAP directory as a customer source: what its entries say, and how they are found."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from core.config import LdapSourceSection
from core.sources.secrets import HIDDEN
from core.sources.source import By, SourceAway
from core.words import Permission
from tests.sources.firm import (
    ANNA,
    BERT,
    GROUPS,
    LEADERS,
    MAP,
    PASSWORD,
    PEOPLE,
    SUPPORT,
    source_of,
)
from tests.support.slapd import Slapd, group_dn, person, person_dn, run_slapd

RW, RO = Permission.RW, Permission.RO
BY_GUID = MAP | {"key": "objectGUID"}
ANNAS_GUID = "03020100-0504-0706-0809-0a0b0c0d0e0f"
CARLAS_GUID = "5c2a2928-2928-5c2a-2829-2a5c28292a5c"
MANY_ADDRESSES = MAP | {"more_addresses": ["proxyAddresses", "description"]}


@pytest.fixture(scope="module")
def firm() -> Iterator[Slapd]:
    """The firm's directory; nobody changes it."""
    with run_slapd({**PEOPLE, **GROUPS}) as slapd:
        yield slapd


def logins(slapd: Slapd, by: By, *values: str, limit: int = 10, **keys: Any) -> set[str]:
    """Return the logins of the records that a source finds."""
    with source_of(slapd, **keys) as source:
        return {record.login for record in source.find(by, values, limit)}


def test_a_record_has_what_the_entry_says(firm: Slapd) -> None:
    with source_of(firm) as source:
        (anna,) = source.find(By.LOGIN, ["anna"], 10)
    assert len(anna.key) == 36
    assert (anna.login, anna.customer_number, anna.email) == ("anna", "K-1000", "anna@firm.example")
    assert anna.more_addresses == ("a.muster@firm.example",)
    assert (anna.first_name, anna.last_name, anna.phone) == ("Anna", "Muster", "0228 1")
    assert (anna.city, anna.valid, anna.groups) == ("", True, None)


def test_all_records(firm: Slapd) -> None:
    with source_of(firm) as source:
        assert source.count() == 3
        assert {record.login for record in source.all_records()} == {"anna", "bert", "carla"}
        assert source.managed_groups == frozenset()


def test_the_filter_leaves_others_out(firm: Slapd) -> None:
    only: dict[str, Any] = {"filter": "(&(objectClass=inetOrgPerson)(!(uid=bert)))"}
    with source_of(firm, **only) as source:
        assert source.count() == 2
        assert {record.login for record in source.all_records()} == {"anna", "carla"}
        assert {found.record.login for found in source.samples(10)} == {"anna", "carla"}
    for by, value in [(By.LOGIN, "bert"), (By.ADDRESS, "bert@firm.example")]:
        assert logins(firm, by, value, **only) == set()
    assert logins(firm, By.NUMBER, "K-1000", **only) == {"anna"}


# By what is looked up, for which values, and who is found.
FOUND: list[tuple[By, list[str], set[str]]] = [
    (By.LOGIN, ["anna"], {"anna"}),
    (By.LOGIN, ["ANNA", "bert", "nobody"], {"anna", "bert"}),
    (By.ADDRESS, ["anna@firm.example"], {"anna"}),
    (By.ADDRESS, ["A.Muster@FIRM.example", "bert@firm.example"], {"anna", "bert"}),
    (By.ADDRESS, ["a.muster@firm.exampl"], set()),
    (By.NUMBER, ["K-1000"], {"anna", "bert"}),
    (By.NUMBER, ["k-1000", "K-2000"], {"anna", "bert", "carla"}),
    (By.LOGIN, [], set()),
    (By.LOGIN, [""], set()),
    (By.LOGIN, ["*"], set()),
    (By.LOGIN, ["*)(uid=*"], set()),
    (By.LOGIN, ["anna)(cn=*"], set()),
    (By.LOGIN, ["a*"], set()),
    (By.LOGIN, ["\\2a"], set()),
    (By.LOGIN, ["anna\0"], set()),
    (By.LOGIN, ["Ä\ud800"], set()),
    (By.ADDRESS, ["*"], set()),
    (By.NUMBER, ["*"], set()),
    (By.KEY, ["*", "no key"], set()),
]


@pytest.mark.parametrize(("by", "values", "found"), FOUND)
def test_who_is_found(firm: Slapd, by: By, values: list[str], found: set[str]) -> None:
    assert logins(firm, by, *values) == found


def test_at_most_so_many_are_found(firm: Slapd) -> None:
    assert len(logins(firm, By.NUMBER, "K-1000", limit=1)) == 1
    assert len(logins(firm, By.LOGIN, "anna", "bert", "carla", limit=2)) == 2


def test_more_values_than_stand_in_one_filter(firm: Slapd) -> None:
    many = [f"nobody{number}" for number in range(450)]
    values = ["anna", *many[:300], "ANNA", "bert", *many[300:], "carla"]
    with source_of(firm) as source:
        found = source.find(By.LOGIN, values, 10)
    assert sorted(record.login for record in found) == ["anna", "bert", "carla"]


@pytest.mark.parametrize("attributes", [MAP, BY_GUID], ids=["entryUUID", "objectGUID"])
def test_everybody_is_found_by_their_key(firm: Slapd, attributes: Mapping[str, Any]) -> None:
    with source_of(firm, attributes=attributes) as source:
        records = list(source.all_records())
        assert len({record.key for record in records}) == 3
        for record in records:
            assert source.find(By.KEY, [record.key], 10) == [record]
        assert len(source.find(By.KEY, [record.key for record in records], 10)) == 3


def test_a_guid_is_its_usual_text(firm: Slapd) -> None:
    """Carla's consists of the characters that mean something in a filter."""
    with source_of(firm, attributes=BY_GUID) as source:
        keys = {record.login: record.key for record in source.all_records()}
    assert (keys["anna"], keys["carla"]) == (ANNAS_GUID, CARLAS_GUID)
    assert logins(firm, By.KEY, ANNAS_GUID.upper(), attributes=BY_GUID) == {"anna"}
    assert logins(firm, By.KEY, "anna", "", "{}", attributes=BY_GUID) == set()


def test_addresses_of_many_attributes(firm: Slapd) -> None:
    """Those of Active Directory have a scheme; only mail's count, and none twice."""
    with source_of(firm, attributes=MANY_ADDRESSES) as source:
        (anna,) = source.find(By.LOGIN, ["anna"], 10)
    assert anna.email == "anna@firm.example"
    assert anna.more_addresses == ("a.muster@firm.example", "am@firm.example")
    for address in [anna.email, *anna.more_addresses, "AM@firm.EXAMPLE"]:
        assert logins(firm, By.ADDRESS, address, attributes=MANY_ADDRESSES) == {"anna"}
    for other in ["c=de;s=muster", "X400:c=de;s=muster", "smtp:am@firm.example", "sip:anna"]:
        assert logins(firm, By.ADDRESS, other, attributes=MANY_ADDRESSES) == set()


def test_proxy_addresses_alone(firm: Slapd) -> None:
    with source_of(firm, attributes=MAP | {"email": "proxyAddresses"}) as source:
        (anna,) = source.find(By.ADDRESS, ["am@firm.example"], 10)
    assert (anna.email, anna.more_addresses) == ("Anna@firm.example", ("am@firm.example",))


def test_one_number_for_all(firm: Slapd) -> None:
    one: dict[str, Any] = {"attributes": {}, "customer_number": "K-77"}
    with source_of(firm, **one) as source:
        assert {record.customer_number for record in source.all_records()} == {"K-77"}
    assert logins(firm, By.NUMBER, "k-77", "K-1", **one) == {"anna", "bert", "carla"}
    assert logins(firm, By.NUMBER, "K-1000", **one) == set()


@pytest.mark.parametrize(
    ("keys", "valid"),
    [
        ({}, {"anna"}),
        ({"valid_values": ["YES", "1"]}, {"anna", "carla"}),
        ({"attributes": MAP}, {"anna", "bert", "carla"}),
        ({"attributes": MAP | {"valid": "description"}}, set()),
    ],
)
def test_who_is_valid(firm: Slapd, keys: Mapping[str, Any], valid: set[str]) -> None:
    with source_of(firm, **{"attributes": MAP | {"valid": "validity"}, **keys}) as source:
        assert {record.login for record in source.all_records() if record.valid} == valid


def test_people_look_at_the_whole_entry(firm: Slapd) -> None:
    with source_of(firm) as source:
        (found,) = source.look_at(By.ADDRESS, "a.muster@firm.example", 5)
        assert source.look_at(By.LOGIN, "*", 5) == []
        assert len(source.samples(2)) == 2
    assert found.record.login == "anna"
    raw = found.raw
    assert raw["uid"] == ("anna",)
    assert raw["mail"] == ("anna@firm.example", "a.muster@firm.example")
    assert raw["validity"] == ("1",)  # which the configuration does not name
    assert raw["entryUUID"] == (found.record.key,)
    assert len(raw["jpegPhoto"][0]) == 201  # and no 2,000
    assert raw["objectGUID"] == (ANNAS_GUID,)


def test_nobody_looks_at_passwords() -> None:
    """What the account that reads may see by mistake is hidden here."""
    with run_slapd({person_dn("eve"): person("eve", "eve@firm.example", PASSWORD)}) as slapd:
        as_root = {"bind_dn": "cn=root,dc=firm,dc=example"}
        slapd.password = "may do everything"
        with source_of(slapd, **as_root) as source:
            (found,) = source.samples(1)
    assert found.raw["userPassword"] == (HIDDEN,)
    assert PASSWORD not in str(found)


# Who signs in with what, and whether that is right.
PASSWORDS = [
    ("anna", PASSWORD, True),
    ("anna", "wrong", False),
    ("anna", "", False),
    ("bert", PASSWORD, False),  # is not valid
    ("carla", "", False),  # has none
    ("carla", PASSWORD, False),
]


@pytest.mark.parametrize("key", ["entryUUID", "objectGUID"])
@pytest.mark.parametrize(("login", "password", "is_right"), PASSWORDS)
def test_a_password(firm: Slapd, key: str, login: str, password: str, is_right: bool) -> None:
    with source_of(firm, attributes=MAP | {"valid": "validity", "key": key}) as source:
        (record,) = source.find(By.LOGIN, [login], 2)
        assert source.check_password(record.key, password) is is_right


@pytest.mark.parametrize("key", ["", "*", "anna", "5b2a2928-2928-5c2a-2829-2a5c28292a5c"])
def test_a_password_of_nobody(firm: Slapd, key: str) -> None:
    with source_of(firm) as source:
        assert not source.check_password(key, PASSWORD)


def test_a_key_that_two_have_lets_nobody_in(firm: Slapd) -> None:
    with source_of(firm, attributes=MAP | {"key": "customerNumber"}) as source:
        assert not source.check_password("K-1000", PASSWORD)


GIVEN = {SUPPORT: {"queue": RO, "plain": RW}, LEADERS.upper(): {"queue": RW, "board": RO}}


def with_groups(slapd: Slapd, **keys: Any) -> dict[str, Any]:
    """Return the permissions of each record by its login."""
    with source_of(slapd, groups=GIVEN, **keys) as source:
        assert source.managed_groups == {"queue", "plain", "board"}
        found = source.find(By.NUMBER, ["K-1000", "K-2000"], 10)
        records = {record.login: record.groups for record in source.all_records()}
        assert {record.login: record.groups for record in found} == records
        assert {each.record.login: each.record.groups for each in source.samples(9)} == records
    return records


EXPECTED = {
    "anna": {"queue": RW, "plain": RW, "board": RO},  # the stronger wins
    "bert": {"queue": RO, "plain": RW},
    "carla": {},
}


def test_groups_by_the_attribute_of_people(firm: Slapd) -> None:
    assert with_groups(firm) == EXPECTED


def test_groups_by_their_members(firm: Slapd) -> None:
    assert with_groups(firm, member_of="") == EXPECTED


@pytest.fixture
def other_groups() -> Iterator[Slapd]:
    """Groups of other classes: one by unique members, and one by names."""
    unique = {"objectClass": "groupOfUniqueNames", "uniqueMember": [ANNA.upper(), BERT]}
    posix = {"objectClass": "posixGroup", "gidNumber": "7", "memberUid": ["anna", "x"]}
    with run_slapd({**PEOPLE, SUPPORT: unique, LEADERS: posix}, member_of=False) as slapd:
        yield slapd


def test_groups_of_other_classes(other_groups: Slapd) -> None:
    assert with_groups(other_groups, member_of="") == EXPECTED


def test_groups_are_read_once_for_a_pass_and_not_for_nobody(firm: Slapd) -> None:
    def reads() -> int:
        return firm.log.count(f'SRCH base="{SUPPORT}"')

    before = reads()
    with source_of(firm, groups=GIVEN, member_of="") as source:
        assert source.find(By.ADDRESS, ["stranger@elsewhere.example"], 5) == []
        assert reads() == before
        assert len(list(source.all_records())) == 3
        assert reads() == before + 1


def test_a_group_that_is_gone_takes_nobody_s_permissions(firm: Slapd) -> None:
    gone = {group_dn("gone"): {"queue": RW}}
    told = r"firm: the group cn=gone.* is not there"
    with (
        source_of(firm, groups=gone, member_of="") as source,
        pytest.raises(SourceAway, match=told),
    ):
        list(source.all_records())


def test_whatever_is_asked_of_one_that_is_away(slapd: Slapd) -> None:
    with source_of(slapd) as source:
        slapd.stop()
        for question in (
            source.count,
            lambda: list(source.all_records()),
            lambda: source.find(By.LOGIN, ["anna"], 1),
            lambda: source.look_at(By.LOGIN, "anna", 1),
            lambda: source.samples(1),
            lambda: source.check_password("anna", PASSWORD),
        ):
            with pytest.raises(SourceAway, match=rf"customer source firm: {slapd.server}: "):
                question()


def test_one_that_dies_while_all_is_read() -> None:
    many = {person_dn(f"p{each}"): person(f"p{each}", "p@firm.example") for each in range(1_200)}
    with run_slapd(many) as slapd, source_of(slapd) as source:
        records = source.all_records()
        for _each in range(600):
            next(records)
        slapd.kill()
        with pytest.raises(SourceAway):
            list(records)
        slapd.start()
        assert source.count() == 1_200


def test_another_base_than_there_is(firm: Slapd) -> None:
    wrong = source_of(firm, base="dc=elsewhere,dc=firm,dc=example")
    with wrong as source, pytest.raises(SourceAway, match="noSuchObject"):
        source.count()


@pytest.mark.parametrize(
    "wrong", [{}, {"customer_number": "K-1", "attributes": {"customer_number": "nr"}}]
)
def test_a_section_has_one_kind_of_number(wrong: dict[str, Any]) -> None:
    keys: Any = {"name": "firm", "kind": "ldap", "servers": ["ldap.example"], "base": "dc=firm"}
    with pytest.raises(ValueError, match="set either customer_number or attributes"):
        LdapSourceSection(**keys, **wrong)


@pytest.mark.parametrize(
    ("field", "name"),
    [("login", "uid)(x"), ("phone", "telephone number"), ("more_addresses", ["mail", "a=b"])],
)
def test_the_name_of_an_attribute_is_no_part_of_a_filter(field: str, name: str | list[str]) -> None:
    keys: Any = {"name": "firm", "kind": "ldap", "servers": ["ldap.example"], "base": "dc=firm"}
    with pytest.raises(ValueError, match=rf"attributes.{field}: .* is no name of an attribute"):
        LdapSourceSection(**keys, customer_number="K-1", attributes={field: name})
