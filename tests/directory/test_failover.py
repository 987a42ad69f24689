"""Servers that are down or hang: the next one answers, and nobody waits longer than promised."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.directory import client
from core.directory.client import Directory, DirectoryAway
from tests.directory.directories import reading, server_that
from tests.support.processes import free_port
from tests.support.slapd import BASE, HOST, PEOPLE, Slapd, person, person_dn, run_slapd

PASSWORD = "Käsekuchen 2026"


@pytest.fixture(scope="module")
def second() -> Iterator[Slapd]:
    """A server that answers, with Anna."""
    with run_slapd({person_dn("anna"): person("anna", "a@firm.example", PASSWORD)}) as slapd:
        yield slapd


def seconds_of(directory: Directory) -> float:
    """Return how long it takes until an entry is read."""
    started = time.monotonic()
    assert directory.read(BASE, []) is not None
    return time.monotonic() - started


def test_one_that_is_down(slapd: Slapd, second: Slapd) -> None:
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        seconds_of(directory)
        slapd.stop()
        assert seconds_of(directory) < 1.0
        assert directory.bind_as(person_dn("anna"), PASSWORD)


def test_one_down_one_that_hangs_and_one_that_answers(slapd: Slapd, second: Slapd) -> None:
    servers = [f"{HOST}:{free_port()}", slapd.server, second.server]
    with reading(second, servers=servers, tls="none") as directory:
        slapd.pause()
        assert 0.5 < seconds_of(directory) < client.SECONDS
        assert seconds_of(directory) < 1.0  # it is known which of them are away
        started = time.monotonic()
        assert directory.bind_as(person_dn("anna"), PASSWORD)
        assert not directory.bind_as(person_dn("anna"), "wrong")
        assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("tls", ["starttls", "ldaps", "none"])
def test_one_that_hangs(slapd: Slapd, monkeypatch: pytest.MonkeyPatch, tls: str) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.7)
    server = slapd.ldaps_server if tls == "ldaps" else slapd.server
    with reading(slapd, tls=tls, servers=[server]) as fresh:
        slapd.pause()
        for question in (
            lambda: fresh.read(BASE, []),
            lambda: fresh.bind_as(person_dn("anna"), PASSWORD),
        ):
            started = time.monotonic()
            with pytest.raises(DirectoryAway, match=f"{server}: .*(time|timed out)"):
                question()
            assert 0.6 < time.monotonic() - started < 1.5
        slapd.resume()
        assert fresh.read(BASE, []) is not None


def test_one_that_hangs_after_it_has_answered(
    slapd: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.7)
    with reading(slapd) as directory:
        seconds_of(directory)
        slapd.pause()
        started = time.monotonic()
        with pytest.raises(DirectoryAway, match="no answer in time"):
            directory.read(BASE, [])
        assert 0.6 < time.monotonic() - started < 1.5
        slapd.resume()
        seconds_of(directory)


def test_one_that_drips(second: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each octet comes in time; the answer does not."""
    monkeypatch.setattr(client, "SECONDS", 0.7)
    with (
        server_that(lambda _packet: b"\x30", every=0.05) as (server, _received),
        reading(second, servers=[server], tls="none") as directory,
    ):
        started = time.monotonic()
        with pytest.raises(DirectoryAway, match="no answer in time"):
            directory.read(BASE, [])
        assert time.monotonic() - started < 1.5


def test_all_are_away(second: Slapd) -> None:
    down, nowhere = f"{HOST}:{free_port()}", "ldap.invalid"
    with reading(second, servers=[down, nowhere]) as directory:
        for _time in range(2):
            with pytest.raises(DirectoryAway) as error:
                directory.read(BASE, [])
            assert error.value.reason == (
                f"{down}: Connection refused; {nowhere}:389: its name is not known"
            )


def test_a_name_whose_look_up_takes_too_long(
    second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps one thread, however often it is asked, and ends some time."""
    monkeypatch.setattr(client, "SECONDS", 1.2)
    monkeypatch.setattr(client, "AWAY_SECONDS", 0.0)
    name_server = threading.Event()
    by_the_system = socket.getaddrinfo

    def getaddrinfo(host: str, *details: Any, **keys: Any) -> Any:
        if host == "localhost":
            name_server.wait()
        return by_the_system(host, *details, **keys)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hanging = f"localhost:{second.port}"
    with reading(second, servers=[hanging, second.server]) as directory:
        for _time in range(3):
            assert 0.5 < seconds_of(directory) < 1.2
        threads = [each.name for each in threading.enumerate()]
        assert threads.count("look-up of localhost") == 1
    with reading(second, servers=[hanging]) as directory:
        with pytest.raises(DirectoryAway, match=f"{hanging}: the look-up of its name takes too"):
            directory.read(BASE, [])
        name_server.set()
        seconds_of(directory)


def test_one_that_was_away_is_asked_first_again(
    slapd: Slapd, second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "AWAY_SECONDS", 0.2)
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        slapd.stop()
        seconds_of(directory)
        slapd.start()
        seconds_of(directory)
        assert "BIND" not in slapd.log.rpartition("slapd starting")[2]
        time.sleep(0.2)  # until the server that failed is asked first again
        seconds_of(directory)
        assert "BIND" in slapd.log.rpartition("slapd starting")[2]


def test_an_answer_that_says_something_is_no_reason_to_ask_the_next(
    slapd: Slapd, second: Slapd
) -> None:
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        before = second.log.count(" ACCEPT ")
        with pytest.raises(DirectoryAway, match="noSuchObject"):
            list(directory.search("(uid=*)", [], base="ou=no,dc=firm,dc=example"))
        with pytest.raises(DirectoryAway, match="invalidDNSyntax"):
            directory.read("no name", [])
        assert directory.read(person_dn("anna"), []) is None  # whom the second one knows
        assert not directory.bind_as(person_dn("anna"), PASSWORD)
        assert second.log.count(" ACCEPT ") == before


def test_many_at_once_while_one_hangs(slapd: Slapd, second: Slapd) -> None:
    """A hanging server costs its share of the time once, not once for each who waits."""
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        slapd.pause()
        started = time.monotonic()
        with ThreadPoolExecutor(16) as threads:
            found = threads.map(lambda _time: directory.read(BASE, []) is not None, range(64))
            assert all(found)
        assert time.monotonic() - started < 2 * client.SECONDS


def test_one_that_dies_between_two_pages(slapd: Slapd) -> None:
    people = {person_dn(f"p{each}"): person(f"p{each}", "p@firm.example") for each in range(600)}
    slapd.add(people)
    with reading(slapd) as directory:
        search = directory.search("(uid=p*)", [])
        for _each in range(500):
            next(search)
        slapd.kill()
        with pytest.raises(DirectoryAway, match=slapd.server):
            next(search)


def test_referrals_are_not_followed(slapd: Slapd, second: Slapd) -> None:
    elsewhere = f"ldap://{second.server}/{BASE}"
    slapd.add(
        {
            f"ou=elsewhere,{BASE}": {
                "objectClass": ["referral", "extensibleObject"],
                "ou": "elsewhere",
                "ref": elsewhere,
            }
        }
    )
    before = second.log.count(" ACCEPT ")
    with reading(slapd) as directory:
        assert list(directory.search("(uid=anna)", [])) == []
        with pytest.raises(DirectoryAway, match="referral"):
            list(directory.search("(uid=*)", [], base=f"ou=elsewhere,{BASE}"))
        assert not directory.bind_as(f"uid=anna,ou=elsewhere,{BASE}", PASSWORD)
    assert second.log.count(" ACCEPT ") == before


def test_aliases_lead_nowhere(slapd: Slapd) -> None:
    """Who may write one entry could bring others in with it."""
    slapd.add({f"uid=anna,{BASE}": person("anna", "a@firm.example")})
    alias = {"objectClass": ["alias", "extensibleObject"], "aliasedObjectName": f"uid=anna,{BASE}"}
    slapd.add({person_dn("alias"): {**alias, "uid": "alias"}})
    with reading(slapd, base=PEOPLE) as directory:
        assert list(directory.search("(uid=anna)", [])) == []
