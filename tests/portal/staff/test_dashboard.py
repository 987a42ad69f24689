"""The dashboard: what is to do, for whom, and the first steps of a new installation."""

import re

import pytest
from sqlalchemy import delete, select

from core.models import QueueAddress
from portal.staff import dashboard
from tests.portal.staff.asking import page, words
from tests.portal.staff.day import Day
from tests.support.databases import Database
from tests.support.portal import RunningPortal, use


@pytest.mark.parametrize(
    ("login", "new", "open_", "waiting", "held"),
    [("ada", 3, 1, 1, 6), ("jonas", 3, 1, 1, 4), ("tina", 0, 0, 0, 1), ("rolf", 0, 1, 1, 0)],
)
def test_the_numbers_are_those_of_ones_queues(
    day: Day, login: str, new: int, open_: int, waiting: int, held: int
) -> None:
    source = page(day.client(login), "/staff/")
    text = words(source)
    assert f"{new} New tickets {open_} Open tickets {waiting} Waiting for customer" in text
    assert f"{held} Held mail" in text
    assert ("Held mail oldest:" in text) is (held > 0)
    assert ("Longest without an answer" in text) is (login != "tina")
    for query in ("state=new", "state=open", "state=waiting"):
        assert f'href="/staff/tickets?{query}"' in source


def test_the_last_mails_are_shown_with_what_became_of_them(day: Day) -> None:
    text = words(page(day.client("jonas"), "/staff/"))
    assert "Nachfrage zu meinem Angebot Bert Schröder <bert@muster.example> Held Vertrieb:" in text
    assert "Gefälscht technik@example.org Rejected Vertrieb: Own address from outside" in text
    assert "Rechnung 2026-1183" not in text  # of another queue


def test_health_is_for_admins(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    text = words(page(day.client("ada"), "/staff/"))
    assert "System Database answers" in text
    assert " GB free" in text
    assert "System" not in words(page(day.client("jonas"), "/staff/"))
    monkeypatch.setattr(dashboard, "LOW_DISK", 10**18)
    assert "Please make room" in words(page(day.client("ada"), "/staff/"))


def test_staff_start_here(day: Day) -> None:
    client = day.client("jonas")
    assert client.get("/staff/sign-in").headers["Location"] == "/staff/"
    navigation = page(client, "/staff/").partition("<nav")[2].partition("</nav>")[0]
    assert "/admin/" not in navigation
    assert (
        "/admin/" in page(day.client("ada"), "/staff/").partition("<nav")[2].partition("</nav>")[0]
    )


def test_a_new_installation_shows_the_first_steps_until_they_are_done(
    pages: RunningPortal,
) -> None:
    client = pages.client("ada")
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    assert words(page(client, "/staff/")).count("(done)") == 3
    assert "Send a test mail" in words(page(client, "/staff/"))
    with pages.database.write() as session:
        addresses = list(session.scalars(select(QueueAddress)))
        kept = addresses[0].address
        for address in addresses[1:]:
            session.delete(address)
    raw = f"From: a@b.example\r\nTo: {kept}\r\nSubject: Test\r\n\r\nTest\r\n".encode()
    pages.add_mail(raw, "a@b.example", kept)
    assert "First steps" not in words(page(client, "/staff/"))


def test_an_empty_installation_begins_with_the_first_step(
    sqlite_database: Database, pages: RunningPortal
) -> None:
    empty = RunningPortal("", sqlite_database, use(pages.app, sqlite_database))
    with sqlite_database.write() as session:
        session.execute(delete(QueueAddress))
    client = empty.client("ada")
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    text = words(page(client, "/staff/"))
    assert "Create a queue with a mail address" in text
    assert "support@example.org" in text
    assert "No mail has come in yet." in text
    agent = empty.client("jonas")
    assert "First steps" not in words(page(agent, "/staff/"))


@pytest.mark.parametrize(
    ("login", "path", "keys"),
    [
        (
            "ada",
            "/staff/",
            {"n": "In a ticket: internal note; in a list: new entry", "r": "Reply"},
        ),
        (
            "jonas",
            "/staff/",
            {"n": "In a ticket: internal note; in the list: new ticket", "r": "Reply"},
        ),
        ("anna", "/tickets", {"n": "New ticket", "r": "Reply"}),
    ],
)
def test_the_list_of_keys_names_what_there_is(
    day: Day, login: str, path: str, keys: dict[str, str]
) -> None:
    found = dict(re.findall(r"<kbd>(\w)</kbd></dt><dd>([^<]*)<", page(day.client(login), path)))
    assert {key: found[key] for key in ("n", "r") if key in found} == keys
