"""Searching, reading and binding, in a real directory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from core.directory import client, connection
from core.directory.client import Directory, DirectoryAway, Scope, escape
from core.errors import ConfigError
from core.i18n import set_language
from tests.directory.directories import Connections, reading, section_of, server_that
from tests.support.slapd import BASE, PEOPLE, Entries, Slapd, person, person_dn, run_slapd

PASSWORD = "Käsekuchen 2026"
GUID = bytes(range(16))
PEOPLE_OF_FIRM: Entries = {
    person_dn("anna"): {
        **person("anna", ["anna@firm.example", "a@firm.example"], PASSWORD),
        "objectGUID": GUID,
        "audio": b"\xff\xfe",
    },
    person_dn("bert"): person("bert", "bert@firm.example"),
}
MANY = {person_dn(f"p{number}"): person(f"p{number}", "p@firm.example") for number in range(3_000)}


@pytest.fixture(scope="module")
def firm() -> Iterator[Slapd]:
    """A directory with Anna, who has a password, and Bert, who has none; nobody changes it."""
    with run_slapd(PEOPLE_OF_FIRM) as slapd:
        yield slapd


@pytest.fixture(scope="module")
def crowd() -> Iterator[Slapd]:
    """A directory with 3,000 people, which gives 500 entries at most unless they are paged."""
    with run_slapd(MANY, size_limit=500) as slapd:
        yield slapd


def uids(directory: Directory, wanted: str, limit: int | None = None) -> list[str]:
    """Return the uid of each entry that a filter matches."""
    return [entry.first("uid") for entry in directory.search(wanted, ["uid"], limit=limit)]


def test_an_entry_with_its_attributes(firm: Slapd) -> None:
    with reading(firm) as directory:
        (anna,) = directory.search("(uid=anna)", ["mail", "OBJECTGUID", "audio", "entryUUID"])
    assert anna.dn == person_dn("anna")
    assert anna.all("MAIL") == ("anna@firm.example", "a@firm.example")
    assert anna.first("objectguid") == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert anna.first("audio") == "\ufffd\ufffd"
    assert len(anna.first("entryUUID")) == 36
    assert (anna.first("sn"), anna.all("sn"), "sn" in anna.attributes) == ("", (), False)


def test_all_entries_are_paged(crowd: Slapd) -> None:
    with reading(crowd) as directory:
        found = uids(directory, "(uid=p*)")
    assert len(found) == len(set(found)) == 3_000


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 1_200, 2_999, 3_000, 3_001])
def test_a_limit(crowd: Slapd, limit: int) -> None:
    with reading(crowd) as directory:
        assert len(uids(directory, "(uid=p*)", limit)) == min(limit, 3_000)
        assert uids(directory, "(uid=p7)", 5) == ["p7"]  # nothing is in the way of the next


def test_an_answer_that_the_server_cuts_short_is_none() -> None:
    some = dict(islice(MANY.items(), 50))
    with (
        run_slapd(some, size_limit=20) as slapd,
        reading(slapd) as directory,
        pytest.raises(DirectoryAway, match="size limit ends the answer after 20 entries"),
    ):
        uids(directory, "(uid=p*)", 30)


@pytest.mark.parametrize("value", ["*)(uid=*", "*", "anna)(mail=*", "a*", "\0", "anna\\", "("])
def test_a_value_cannot_widen_a_filter(firm: Slapd, value: str) -> None:
    with reading(firm) as directory:
        assert uids(directory, f"(&(objectClass=person)(uid={escape(value)}))") == []


def test_reading_one_entry(firm: Slapd) -> None:
    with reading(firm) as directory:
        anna = directory.read(person_dn("anna"), ["sn"])
        assert anna is not None
        assert dict(anna.attributes) == {"sn": ("anna",)}
        assert directory.read(person_dn("nobody"), ["sn"]) is None
        assert directory.read(BASE, []) is not None
        with pytest.raises(DirectoryAway, match="invalidDNSyntax"):
            directory.read("no name", [])


def test_base_and_scope(firm: Slapd) -> None:
    with reading(firm) as directory:
        below = directory.search("(objectClass=*)", [], base=PEOPLE, scope=Scope.LEVEL)
        assert {entry.dn for entry in below} == set(PEOPLE_OF_FIRM)
        with pytest.raises(DirectoryAway, match="noSuchObject"):
            list(directory.search("(uid=*)", [], base="ou=elsewhere,dc=firm,dc=example"))


# Who binds with what, and whether that is right. The soft hyphen is what SASLprep makes nothing of.
BINDS = [
    ("anna", PASSWORD, True),
    ("anna", "wrong", False),
    ("anna", "", False),
    ("anna", "\xad", False),
    ("anna", "\ud800", False),
    ("bert", PASSWORD, False),
    ("nobody", PASSWORD, False),
]


@pytest.mark.parametrize(("uid", "password", "is_right"), BINDS)
def test_a_bind_with_a_password(firm: Slapd, uid: str, password: str, is_right: bool) -> None:
    with reading(firm) as directory:
        assert directory.bind_as(person_dn(uid), password) is is_right


def test_an_empty_password_or_name_is_not_even_sent(firm: Slapd) -> None:
    taken = Connections(firm)
    with reading(firm) as directory:
        assert not directory.bind_as(person_dn("anna"), "")
        assert not directory.bind_as("", PASSWORD)
    assert taken.count() == 0


def test_a_bind_leaves_the_other_connections_alone(firm: Slapd) -> None:
    with reading(firm) as directory:
        assert directory.bind_as(person_dn("anna"), PASSWORD)
        assert uids(directory, "(uid=bert)") == ["bert"]  # which Anna may not read
        assert not directory.bind_as(person_dn("anna"), "wrong")
        assert uids(directory, "(uid=bert)") == ["bert"]


def test_anonymously() -> None:
    with (
        run_slapd(PEOPLE_OF_FIRM, anonymous=True) as slapd,
        reading(slapd, bind_dn="", password_file="") as directory,
    ):
        assert uids(directory, "(uid=anna)") == ["anna"]


def test_a_wrong_password_of_the_reader(firm: Slapd) -> None:
    directory = Directory(section_of(firm), "wrong", "firm")
    with pytest.raises(DirectoryAway, match=f"bind as {firm.bind_dn} fails: invalidCredentials"):
        uids(directory, "(uid=anna)")
    directory.close()


def test_one_connection_serves_many_searches(firm: Slapd) -> None:
    taken = Connections(firm)
    with reading(firm) as directory:
        for _time in range(5):
            assert uids(directory, "(uid=anna)") == ["anna"]
            assert directory.read(person_dn("anna"), []) is not None
    assert taken.count() == 1


def test_threads_share_a_few_connections(firm: Slapd) -> None:
    taken = Connections(firm)
    with reading(firm) as directory, ThreadPoolExecutor(20) as threads:
        found = threads.map(lambda _time: uids(directory, "(uid=anna)"), range(200))
        assert list(found) == [["anna"]] * 200
    assert taken.count() <= client.CONNECTIONS


def test_who_finds_no_connection_waits_no_longer_than_for_an_answer(
    crowd: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(crowd) as directory:
        searches = [directory.search("(uid=p*)", []) for _each in range(client.CONNECTIONS)]
        for search in searches:
            next(search)
        with monkeypatch.context() as hurried:
            hurried.setattr(client, "SECONDS", 0.5)
            with pytest.raises(DirectoryAway, match="all connections to it are in use"):
                uids(directory, "(uid=p1)", 1)
        del search
        searches.pop()
        assert uids(directory, "(uid=p1)", 1) == ["p1"]


def test_a_dead_connection_is_replaced(slapd: Slapd) -> None:
    slapd.add({person_dn("anna"): PEOPLE_OF_FIRM[person_dn("anna")]})
    with reading(slapd) as directory:
        assert uids(directory, "(uid=anna)") == ["anna"]
        slapd.stop()
        slapd.start()
        assert uids(directory, "(uid=anna)") == ["anna"]


def test_a_connection_with_pages_left_is_not_used_again(crowd: Slapd) -> None:
    """Servers keep what is needed for the rest as long as it lives, and not for many searches."""
    taken = Connections(crowd)
    with reading(crowd) as directory:
        assert len(uids(directory, "(uid=p*)", 600)) == 600
        assert len(uids(directory, "(uid=p*)", 600)) == 600
        assert taken.count() == 2
        assert len(uids(directory, "(uid=p*)")) == 3_000
        assert len(uids(directory, "(uid=p*)")) == 3_000
        assert taken.count() == 3


def test_an_old_connection_is_not_trusted(firm: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IDLE_SECONDS", 0.0)
    taken = Connections(firm)
    with reading(firm) as directory:
        for _time in range(3):
            assert uids(directory, "(uid=anna)") == ["anna"]
    assert taken.count() == 3


@pytest.mark.parametrize(
    "wrong", ["(uid=a)(uid=b)", "(uid=a))((uid=b)", "(uid=a))(|(uid=b)", "()", "(uid)"]
)
def test_a_filter_that_is_none(firm: Slapd, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"firm: filter .* is not a filter"):
        Directory(section_of(firm, filter=wrong), None, "firm")


NO_ANSWER = "no answer in time"
# What a server may answer that is none, and what is told.
BROKEN = {
    "nothing": (b"", NO_ANSWER),
    "other protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", NO_ANSWER),
    "no message": (bytes.fromhex("3003020101"), "its answer is malformed"),
    "no end": (bytes.fromhex("30847fffffff"), NO_ANSWER),
    "nobody's message": (bytes.fromhex("300c02017f61070a010004000400"), "invalid messageId"),
    "farewell": (
        bytes.fromhex("3024020100781f0a013404000400") + b"\x8a\x161.3.6.1.4.1.1466.20036",
        "session terminated by server",
    ),
}


@pytest.mark.parametrize(("answer", "told"), BROKEN.values(), ids=BROKEN)
def test_a_server_that_is_none(
    firm: Slapd, answer: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told == NO_ANSWER:
        monkeypatch.setattr(client, "SECONDS", 0.3)
    with (
        server_that(lambda _packet: answer) as (server, _received),
        reading(firm, servers=[server], tls="none") as directory,
        pytest.raises(DirectoryAway, match=told),
    ):
        directory.read(BASE, [])


def test_an_answer_that_is_too_long(crowd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MOST_OCTETS", 10_000)
    with reading(crowd) as directory:
        assert len(uids(directory, "(uid=p1)")) == 1
        with pytest.raises(DirectoryAway, match="its answer is too long"):
            uids(directory, "(uid=p*)")


def test_reasons_are_told_in_the_language_of_who_asks(firm: Slapd) -> None:
    set_language("de")
    told = "ldap.invalid:389: der Name ist nicht bekannt"
    with (
        reading(firm, servers=["ldap.invalid"]) as directory,
        pytest.raises(DirectoryAway, match=told),
    ):
        directory.read(BASE, [])
