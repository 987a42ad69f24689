"""Servers that are down or hang: the next one answers, and nobody waits longer than promised.

A server that hangs does so until the test ends, so that whatever comes back at all was not waiting
for it any more.
"""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from core.directory import client
from core.directory.client import Directory, DirectoryAway
from tests.directory.directories import PATIENCE, Connections, reading, server_that
from tests.support.processes import free_port
from tests.support.slapd import BASE, HOST, PEOPLE, Slapd, person, person_dn, run_slapd

PASSWORD = "Käsekuchen 2026"
# Seconds for an answer where the half of them is lost to one that hangs, and the other half must
# do for one that answers, on a busy machine.
HALF_FOR_ONE_THAT_HANGS = 6.0


@pytest.fixture(scope="module")
def second() -> Iterator[Slapd]:
    """A server that answers, with Anna."""
    with run_slapd({person_dn("anna"): person("anna", "a@firm.example", PASSWORD)}) as slapd:
        yield slapd


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Wait 0.7 seconds for answers, until this is undone."""
    with monkeypatch.context() as hurried:
        hurried.setattr(client, "SECONDS", 0.7)
        yield hurried


def is_answered(directory: Directory) -> bool:
    """Whether an entry can be read."""
    return directory.read(BASE, []) is not None


def test_one_that_is_down(slapd: Slapd, second: Slapd) -> None:
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        assert is_answered(directory)
        slapd.stop()
        assert is_answered(directory)
        assert directory.bind_as(person_dn("anna"), PASSWORD)


def test_one_down_one_that_hangs_and_one_that_answers(
    slapd: Slapd, second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", HALF_FOR_ONE_THAT_HANGS)
    servers = [f"{HOST}:{free_port()}", slapd.server, second.server]
    taken = Connections(slapd)
    with reading(second, servers=servers, tls="none") as directory:
        slapd.pause()
        assert is_answered(directory)
        assert is_answered(directory)
        assert directory.bind_as(person_dn("anna"), PASSWORD)
        assert not directory.bind_as(person_dn("anna"), "wrong")
    slapd.resume()
    assert taken.count() == 1  # then it was known to be away


@pytest.mark.parametrize("tls", ["starttls", "ldaps", "none"])
def test_one_that_hangs(slapd: Slapd, hurried: pytest.MonkeyPatch, tls: str) -> None:
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
            assert time.monotonic() - started >= client.SECONDS
        slapd.resume()
        hurried.undo()
        assert is_answered(fresh)


def test_one_that_hangs_after_it_has_answered(
    slapd: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(slapd) as directory:
        assert is_answered(directory)
        slapd.pause()
        with monkeypatch.context() as hurried:
            hurried.setattr(client, "SECONDS", 0.7)
            with pytest.raises(DirectoryAway, match="no answer in time"):
                directory.read(BASE, [])
        slapd.resume()
        assert is_answered(directory)


@pytest.mark.usefixtures("hurried")
def test_one_that_drips(second: Slapd) -> None:
    """Each octet comes in time; the answer does not."""
    with (
        server_that(lambda _packet: b"\x30", every=0.05) as (server, _received),
        reading(second, servers=[server], tls="none") as directory,
        pytest.raises(DirectoryAway, match="no answer in time"),
    ):
        directory.read(BASE, [])


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
    monkeypatch.setattr(client, "SECONDS", HALF_FOR_ONE_THAT_HANGS)
    monkeypatch.setattr(client, "AWAY_SECONDS", 0.0)
    name_server = threading.Event()
    by_the_system = socket.getaddrinfo

    def getaddrinfo(host: str, *details: Any, **keys: Any) -> Any:
        if host == "localhost":
            name_server.wait()
        return by_the_system(host, *details, **keys)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hanging = f"localhost:{second.port}"
    with reading(second, servers=[hanging, second.server], tls="none") as directory:
        for _time in range(2):
            assert is_answered(directory)
        threads = [each.name for each in threading.enumerate()]
        assert threads.count("look-up of localhost") == 1
    with reading(second, servers=[hanging]) as directory:
        monkeypatch.setattr(client, "SECONDS", 0.5)
        with pytest.raises(DirectoryAway, match=f"{hanging}: the look-up of its name takes too"):
            directory.read(BASE, [])
        name_server.set()
        monkeypatch.setattr(client, "SECONDS", PATIENCE)
        assert is_answered(directory)


def test_one_that_was_away_is_asked_first_again(
    slapd: Slapd, second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its pause, which here ends when the clock is put forward."""
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        slapd.stop()
        assert is_answered(directory)
        slapd.start()
        assert is_answered(directory)
        assert "BIND" not in slapd.log.rpartition("slapd starting")[2]
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + client.AWAY_SECONDS)
        monkeypatch.setattr(client, "time", later)
        assert is_answered(directory)
        assert "BIND" in slapd.log.rpartition("slapd starting")[2]


def test_an_answer_that_says_something_is_no_reason_to_ask_the_next(
    slapd: Slapd, second: Slapd
) -> None:
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        taken = Connections(second)
        with pytest.raises(DirectoryAway, match="noSuchObject"):
            list(directory.search("(uid=*)", [], base="ou=no,dc=firm,dc=example"))
        with pytest.raises(DirectoryAway, match="invalidDNSyntax"):
            directory.read("no name", [])
        assert directory.read(person_dn("anna"), []) is None  # whom the second one knows
        assert not directory.bind_as(person_dn("anna"), PASSWORD)
        assert taken.count() == 0


def test_many_at_once_while_one_hangs(
    slapd: Slapd, second: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hanging server costs its share of the time once, not once for each who waits."""
    monkeypatch.setattr(client, "SECONDS", HALF_FOR_ONE_THAT_HANGS)
    taken = Connections(slapd)
    with reading(second, servers=[slapd.server, second.server], tls="none") as directory:
        slapd.pause()
        with ThreadPoolExecutor(16) as threads:
            assert all(threads.map(lambda _time: is_answered(directory), range(64)))
    slapd.resume()
    assert taken.count() <= client.CONNECTIONS


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
    taken = Connections(second)
    with reading(slapd) as directory:
        assert list(directory.search("(uid=anna)", [])) == []
        with pytest.raises(DirectoryAway, match="referral"):
            list(directory.search("(uid=*)", [], base=f"ou=elsewhere,{BASE}"))
        assert not directory.bind_as(f"uid=anna,ou=elsewhere,{BASE}", PASSWORD)
    assert taken.count() == 0


def test_aliases_lead_nowhere(slapd: Slapd) -> None:
    """Who may write one entry could bring others in with it."""
    slapd.add({f"uid=anna,{BASE}": person("anna", "a@firm.example")})
    alias = {"objectClass": ["alias", "extensibleObject"], "aliasedObjectName": f"uid=anna,{BASE}"}
    slapd.add({person_dn("alias"): {**alias, "uid": "alias"}})
    with reading(slapd, base=PEOPLE) as directory:
        assert list(directory.search("(uid=anna)", [])) == []
