"""Held mail: who sees it, what it shows, release and discard with their audit events."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from core.models import (
    Article,
    AuditEvent,
    CustomerUserAddress,
    CustomerUserGroup,
    Delivery,
    Queue,
    StaffGroup,
    Ticket,
)
from core.words import HeldState, Permission
from tests.portal.staff.asking import last_event, page, rows, send, send_anyway, words
from tests.portal.staff.day import HELD, Day
from tests.support.portal import customer_user, staff

NAMES = {subject: name for name, (subject, *_rest) in HELD.items()}


def shown(day: Day, login: str, query: str = "") -> list[str]:
    """Return the names of the held mails that a list shows, in its order."""
    return [NAMES[subject] for subject in rows(page(day.client(login), f"/staff/held{query}"))]


def release(
    client: FlaskClient, day: Day, name: str, *, account: str = "", queue: str, **more: str
) -> TestResponse:
    """Send the form of a held mail."""
    with day.pages.database.read() as session:
        queue_id = session.scalars(select(Queue.id).where(Queue.name == queue)).one_or_none()
        account_id = customer_user(session, account).id if account else ""
    url = day.held_url(name)
    fields = {"customer_user": account_id, "queue": queue_id or queue, **more}
    return send(client, f"{url}/release", url, **fields)


def held_state(day: Day, name: str) -> HeldState | None:
    with day.pages.database.read() as session:
        return session.get_one(Delivery, day.held[name]).held


def counts(day: Day) -> list[int]:
    """Return how much there is of what a release may make."""
    with day.pages.database.read() as session:
        return [
            session.scalars(select(func.count()).select_from(model)).one()
            for model in (Ticket, Article, CustomerUserAddress)
        ]


@pytest.mark.parametrize(("login", "count"), [("ada", "6"), ("jonas", "4"), ("rolf", "")])
def test_the_navigation_says_how_much_waits_and_since_when(
    day: Day, login: str, count: str
) -> None:
    text = page(day.client(login), "/staff/tickets")
    entry = text.partition('href="/staff/held"')[2].partition("</a>")[0]
    assert (f'nav-count nav-count-warn">{count}<' in entry) is bool(count)
    assert ("oldest" in entry) is bool(count)


def test_other_mail_of_the_list_is_beside_a_mail(day: Day) -> None:
    def beside(query: str = "") -> list[str]:
        text = page(day.client("jonas"), day.held_url("number") + query)
        return re.findall(r'held-beside-subject">([^<]*)<', text)

    assert [NAMES[subject] for subject in beside()] == ["stranger", "number", "conflict", "invalid"]
    assert [NAMES[subject] for subject in beside("?reason=stranger")] == ["stranger"]
    assert beside("?state=discarded") == []


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("ada", ["stranger", "forbidden", "number", "conflict", "postmaster", "invalid"]),
        ("jonas", ["stranger", "number", "conflict", "invalid"]),
        ("tina", ["forbidden"]),
        ("rolf", []),  # reads the queue, does not work it
    ],
)
def test_the_oldest_comes_first_for_those_who_work_the_queue(
    day: Day, login: str, expected: list[str]
) -> None:
    assert shown(day, login) == expected
    for name in HELD:
        page(day.client(login), day.held_url(name), 200 if name in expected else 404)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?reason=stranger", ["stranger"]),
        ("?reason=nix", []),
        ("?queue=3", ["forbidden"]),
        ("?q=lindner", ["stranger"]),
        ("?q=Maschine 7", ["number"]),
        ("?state=released", []),
        ("?state=discarded", []),
    ],
)
def test_filters_stand_in_the_address(day: Day, query: str, expected: list[str]) -> None:
    assert shown(day, "ada", query) == expected


def test_the_reasons_that_there_are_can_be_chosen(day: Day) -> None:
    source = page(day.client("tina"), "/staff/held")
    choices = source.partition('id="filter-reason"')[2].partition("</select>")[0]
    assert re.findall(r"<option[^>]*>([^<]+)<", choices) == [
        "All reasons",
        "Queue not permitted (1)",
    ]
    assert "No held mail fits." in words(page(day.client("tina"), "/staff/held?reason=stranger"))


def test_the_page_says_who_it_may_be_from_and_why_it_is_held(day: Day) -> None:
    text = words(page(day.client("jonas"), day.held_url("conflict")))
    assert "Kunden# contradicts the address" in text
    assert "(K-2000) and the sender's account contradict each other." in text
    assert "From Anna Müller <anna@muster.example> Replies to" in text
    assert "Envelope sender anna@muster.example" in text
    assert "Handed over by 192.0.2.7" in text
    assert "Account Contradiction" in text
    assert "Names the Kunden# K-2000" in text
    assert "Anna Müller (anna) Muster GmbH · K-1000 has the address of the sender" in text
    assert "Carol Smith (carol) Acme Ltd · K-2000 has the Kunden#" in text
    assert "Message-ID: <" in text


def test_the_body_is_safe(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    source = page(client, url)
    assert "tracker.example" not in source
    assert "1 remote image was not loaded." in words(source)
    body = client.get(f"{url}/frame")
    assert "tracker.example" not in body.get_data(as_text=True)
    assert "sandbox" in body.headers["Content-Security-Policy"]
    raw = client.get(f"{url}/raw")
    assert raw.data.startswith(b"From: Petra Lindner")
    assert raw.headers["Content-Disposition"].startswith("attachment;")
    assert "too complex" in words(page(client, f"{day.held_url('conflict')}/original"))
    page(client, f"{day.held_url('conflict')}/frame", 404)
    page(client, f"{url}/files/99", 404)


def test_files_can_be_saved(day: Day) -> None:
    raw = (
        b"From: x@unknown.example\r\nTo: vertrieb@example.org\r\nSubject: Datei\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nanbei\r\n--b\r\n"
        b"Content-Type: text/html\r\nContent-Disposition: attachment; filename=a.html\r\n\r\n"
        b"<script>alert(1)</script>\r\n--b--\r\n"
    )
    day.pages.add_mail(raw, "x@unknown.example", "vertrieb@example.org")
    client = day.client("jonas")
    url = f"/staff/held/{max(day.held.values()) + 1}"
    path = re.search(r'href="([^"]*/files/\d+)"', page(client, url))
    assert path
    answer = client.get(path[1])
    assert answer.data == b"<script>alert(1)</script>"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=a.html")
    assert answer.content_type == "application/octet-stream"
    page(day.client("tina"), path[1], 404)


def test_a_look_is_noted_down_once(day: Day) -> None:
    """Threat A3: who has read held mail can be told."""
    client, url = day.client("jonas"), day.held_url("stranger")
    page(client, url)
    page(client, f"{url}?account=an")  # a search on the page
    page(client, "/staff/held")
    with day.pages.database.read() as session:
        found = session.scalars(
            select(AuditEvent).where(AuditEvent.object_kind == "held-mail")
        ).all()
    assert [(event.actor_name, event.action, event.object_id) for event in found] == [
        ("jonas", "read", day.held["stranger"])
    ]


def test_a_release_files_the_mail_and_shows_the_next_one(day: Day) -> None:
    client = day.client("jonas")
    answer = release(client, day, "number", account="anna", queue="Vertrieb")
    assert answer.status_code == 303
    assert answer.headers["Location"] == day.held_url("conflict")
    with day.pages.database.read() as session:
        ticket = session.scalars(select(Ticket).order_by(Ticket.id.desc()).limit(1)).one()
        assert (ticket.customer_user_id, ticket.subject) == (
            customer_user(session, "anna").id, HELD["number"][0],
        )  # fmt: skip
        event = last_event(session)
        assert (event.actor_name, event.action, event.object_kind) == (
            "jonas",
            "released",
            "held-mail",
        )
        assert event.after == {"held": "released", "ticket": ticket.number}
    text = words(page(client, answer.headers["Location"]))
    assert f"The mail is released: ticket {ticket.number}" in text
    assert shown(day, "jonas", "?state=released") == ["number"]
    settled = page(client, day.held_url("number"))
    told = r"Released by Jonas Weber, \d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d"
    assert re.search(told, words(settled))
    assert f"/staff/tickets/number/{ticket.number}" in settled
    assert "/release" not in settled


def test_the_address_can_be_remembered(day: Day) -> None:
    client = day.client("jonas")
    release(client, day, "number", account="anna", queue="Vertrieb", remember="y")
    with day.pages.database.read() as session:
        addresses = {row.address for row in customer_user(session, "anna").addresses}
    assert addresses == {"anna@muster.example", "schicht2@muster-werk.example"}


@pytest.mark.parametrize(
    ("name", "account", "queue", "more", "problem"),
    [
        ("stranger", "nora", "Vertrieb", {}, "The account may not write to Vertrieb: give it"),
        ("forbidden", "", "Rechnung", {}, "The account may not write to Rechnung: give it"),
        ("number", "", "Vertrieb", {"remember": "y"}, "Choose the account that gets the address."),
        ("stranger", "", "999", {}, "Not a valid choice."),
        ("stranger", "", "x", {}, "Invalid Choice"),
    ],
)  # fmt: skip
def test_what_the_rules_forbid_is_said_at_the_form(
    day: Day, name: str, account: str, queue: str, more: dict[str, str], problem: str
) -> None:
    with day.pages.database.read() as session:
        before = [
            session.scalars(select(func.count()).select_from(m)).one() for m in (Ticket, Article)
        ]
    answer = release(day.client("ada"), day, name, account=account, queue=queue, **more)
    assert answer.status_code == 422
    assert problem in words(answer)
    assert held_state(day, name) is HeldState.WAITING
    with day.pages.database.read() as session:
        after = [
            session.scalars(select(func.count()).select_from(m)).one() for m in (Ticket, Article)
        ]
        assert session.scalars(select(func.count()).select_from(CustomerUserAddress)).one() == 4
    assert after == before


def test_the_right_that_was_missing_makes_the_release_work(day: Day) -> None:
    with day.pages.database.write() as session:
        queue = session.scalars(select(Queue).where(Queue.name == "Rechnung")).one()
        carol = customer_user(session, "carol")
        carol.permissions.append(
            CustomerUserGroup(group_id=queue.group_id, permission=Permission.RW)
        )
    answer = release(day.client("tina"), day, "forbidden", account="carol", queue="Rechnung")
    assert answer.headers["Location"] == "/staff/held"  # nothing else is Tina's
    assert "Nothing is held. That is how it should be." in words(
        page(day.client("tina"), "/staff/held")
    )


def test_staff_release_to_queues_that_they_work_only(day: Day) -> None:
    with day.pages.database.write() as session:
        queue = session.scalars(select(Queue).where(Queue.name == "Rechnung")).one()
        jonas = staff(session, "jonas")
        jonas.permissions.append(StaffGroup(group_id=queue.group_id, permission=Permission.RO))
    source = page(day.client("jonas"), day.held_url("stranger"))
    offered = source.partition('name="queue"')[2].partition("</select>")[0]
    assert re.findall(r">([A-Z]\w+)</option>", offered) == ["Technik", "Vertrieb"]
    answer = release(day.client("jonas"), day, "stranger", queue="Rechnung")
    assert answer.status_code == 422
    assert held_state(day, "stranger") is HeldState.WAITING


def test_a_filter_goes_along_to_the_next_one(day: Day) -> None:
    client, url = day.client("ada"), day.held_url("conflict")
    action = re.search(r'action="([^"]*/release[^"]*)"', page(client, f"{url}?queue=1&q=K-2000"))
    assert action
    assert "queue=1" in action[1]
    assert "q=K-2000" in action[1]
    answer = send(client, f"{url}/discard?queue=1", url, why="Werbung")
    assert (
        answer.headers["Location"]
        == f"{day.held_url('invalid')}?queue=1&discarded={day.held['conflict']}"
    )
    answer = send(client, f"{day.held_url('invalid')}/discard?queue=1", url, why="Werbung")
    assert answer.headers["Location"] == (
        f"{day.held_url('stranger')}?queue=1&discarded={day.held['invalid']}"  # from the beginning
    )


def test_another_account_can_be_searched_for(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    assert "Bert Schröder (bert)" not in words(page(client, url))
    assert "Bert Schröder (bert) Muster GmbH · K-1000" in words(
        page(client, f"{url}?account=schroeder")
    )
    assert "No further account fits." in words(page(client, f"{url}?account=gibtesnicht"))
    text = words(page(client, f"{url}?account=nora"))
    assert "Nora Jones (nora) Acme Ltd · K-2000 may not write to this queue" in text
    conflict = page(client, f"{day.held_url('conflict')}?account=anna")
    assert conflict.count("(anna)") == 1  # is a candidate already


def test_a_discard_needs_a_reason(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    for why in ("", "   "):
        answer = send(client, f"{url}/discard", f"{url}/discard", why=why)
        assert answer.status_code == 422
        assert "Please" in words(answer)
    assert held_state(day, "stranger") is HeldState.WAITING
    answer = send(client, f"{url}/discard", f"{url}/discard", why="Werbung")
    assert answer.status_code == 303
    with day.pages.database.read() as session:
        event = last_event(session)
        assert (event.actor_name, event.action) == ("jonas", "discarded")
        assert event.after == {"held": "discarded", "why": "Werbung"}
    assert shown(day, "jonas", "?state=discarded") == ["stranger"]
    assert "Discarded by Jonas Weber" in words(page(client, url))
    assert ": Werbung" in words(page(client, url))


def test_who_comes_too_late_is_told(day: Day) -> None:
    url = day.held_url("stranger")
    send(day.client("ada"), f"{url}/discard", f"{url}/discard", why="Werbung")
    client = day.client("jonas")
    for answer in (
        lambda: send_anyway(client, f"{url}/release", queue=1, customer_user=1),
        lambda: send_anyway(client, f"{url}/discard", why="auch"),
    ):
        assert answer().headers["Location"] == url
        assert "Somebody else has already dealt with this mail." in words(page(client, url))
    with day.pages.database.read() as session:
        assert session.get_one(Delivery, day.held["stranger"]).settled_why == "Werbung"


@pytest.mark.parametrize("login", ["tina", "rolf"])
def test_others_get_the_same_404_for_everything(day: Day, login: str) -> None:
    client, url = day.client(login), day.held_url("stranger")
    missing = words(page(client, "/staff/held/999999", 404))
    for path in ("", "/raw", "/original", "/frame", "/files/1", "/discard"):
        assert words(page(client, f"{url}{path}", 404)) == missing
    for path, fields in (
        ("/release", {"queue": 1, "customer_user": 1}),
        ("/discard", {"why": "x"}),
    ):
        assert send_anyway(client, f"{url}{path}", **fields).status_code in (404, 422)
    assert held_state(day, "stranger") is HeldState.WAITING


def test_what_belongs_to_no_queue_is_the_admins(day: Day) -> None:
    text = words(page(day.client("ada"), day.held_url("postmaster")))
    assert "for postmaster@example.org" in text
    answer = send(day.client("ada"), f"{day.held_url('postmaster')}/discard",
                  f"{day.held_url('postmaster')}/discard", why="erledigt")  # fmt: skip
    assert answer.status_code == 303
    with day.pages.database.read() as session:
        assert (
            session.get_one(Delivery, day.held["postmaster"]).settled_by_id
            == staff(session, "ada").id
        )
