"""The list of tickets of staff: whose tickets it shows, its filters and its pages."""

import pytest

from core.models import Staff
from core.tickets import lists
from core.words import TicketState
from portal.staff import tickets
from tests.portal.staff.asking import page, rows, words
from tests.portal.staff.day import Day
from tests.support.portal import staff

OFFER, DELIVERY = "Angebot für 50 Ersatzfilter", "Liefertermin für Auftrag 4711"
MEASURED, GUEST, CLOSED = "Messwerte von heute", "Wo finde ich das Handbuch?", "Display flackert"
LONG = "Nach dem Update"


def shown(day: Day, login: str, query: str = "") -> set[str]:
    """Return which tickets a list shows, long subjects by their beginning."""
    found = rows(page(day.client(login), f"/staff/tickets{query}"))
    return {LONG if subject.startswith(LONG) else subject for subject in found}


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("ada", {OFFER, DELIVERY, MEASURED, GUEST, LONG, CLOSED}),
        ("jonas", {OFFER, DELIVERY, MEASURED, GUEST, LONG, CLOSED}),
        ("rolf", {OFFER, DELIVERY}),  # reads one queue
        ("tina", set()),  # works another queue
    ],
)
def test_staff_see_the_tickets_of_their_queues(day: Day, login: str, expected: set[str]) -> None:
    assert shown(day, login, "?state=all") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {OFFER, DELIVERY, MEASURED, GUEST, LONG}),
        ("?state=new", {MEASURED, GUEST, LONG}),
        ("?state=open", {OFFER}),
        ("?state=waiting", {DELIVERY}),
        ("?state=closed", {CLOSED}),
        ("?state=new&flag=stranger", {GUEST}),
        ("?flag=sender-not-verified", {MEASURED}),
        ("?owner=nobody", {MEASURED, GUEST, LONG}),
        ("?owner=me", {OFFER, DELIVERY}),
        ("?owner=2", set()),  # the admin
        ("?queue=1", {OFFER, DELIVERY}),
        ("?customer=2&state=all", {MEASURED, CLOSED}),
        ("?customer_user=2", {DELIVERY}),
        ("?q=ersatzfilter", {OFFER}),
        ("?q=Lager", {OFFER}),  # stands in an internal note
        ("?q=100003", {DELIVERY}),
        ("?q=gibtesnicht", set()),
        ("?state=nix&owner=x&queue=zzz&flag=%00", {OFFER, DELIVERY, MEASURED, GUEST, LONG}),
    ],
)  # fmt: skip
def test_filters_stand_in_the_address(day: Day, query: str, expected: set[str]) -> None:
    assert shown(day, "jonas", query) == expected


def test_tabs_count_what_is_not_closed(day: Day) -> None:
    text = words(page(day.client("jonas"), "/staff/tickets"))
    assert "Not closed 5 New 3 Open 1 Waiting 1 Closed All" in text
    text = words(page(day.client("jonas"), "/staff/tickets?owner=me&state=closed"))
    assert "Not closed 2 New 0 Open 1 Waiting 1 Closed All" in text
    text = words(page(day.client("rolf"), "/staff/tickets"))
    assert "Not closed 2 New 0 Open 1 Waiting 1 Closed All" in text


def test_pages_hold_every_ticket_once(day: Day) -> None:
    with day.pages.database.write() as session:
        staff(session, "jonas").tickets_per_page = 5
    for number in range(8):
        day.pages.add_ticket("carol", "Technik", f"Anliegen {number}")
    client, path, found = day.client("jonas"), "/staff/tickets?queue=2", list[str]()
    while path:
        source = page(client, path)
        found += rows(source)
        _before, there, rest = source.partition('rel="next" href="')
        path = rest.partition('"')[0].replace("&amp;", "&") if there else ""
        assert not path or "queue=2" in path
    assert [subject for subject in found if subject.startswith("Anliegen")] == [
        f"Anliegen {number}" for number in reversed(range(8))
    ]
    assert len(found) == len(set(found)) == 11


@pytest.mark.parametrize("query", ["%", "_", "';--", "\\", "a" * 500, "%00", "*", '"', "(", "%ff"])
def test_no_address_is_an_error(day: Day, query: str) -> None:
    client = day.client("ada")
    for path in ("tickets", "held", "mails"):
        names = ("q", "page", "reason", "sender", "account", "since")
        page(client, f"/staff/{path}?" + "&".join(f"{name}={query}" for name in names))


def test_empty_lists_say_why(day: Day) -> None:
    assert "No ticket fits." in words(page(day.client("jonas"), "/staff/tickets?q=gibtesnicht"))
    assert "everything is settled" in words(page(day.client("tina"), "/staff/tickets"))
    with day.pages.database.write() as session:
        session.get_one(Staff, staff(session, "tina").id).permissions = []
    assert "works no queue yet" in words(page(day.client("tina"), "/staff/tickets"))
    assert "works no queue yet" in words(page(day.client("tina"), "/staff/"))


def test_a_number_leads_to_its_ticket(day: Day) -> None:
    answer = day.client("rolf").get("/staff/tickets/number/100001")
    assert answer.status_code == 302
    assert answer.headers["Location"] == day.url("offer")
    for login, number in (
        ("rolf", 100002),
        ("tina", 100001),
        ("ada", 999_999),
        ("ada", 1),
        ("ada", 10**30),
    ):
        page(day.client(login), f"/staff/tickets/number/{number}", 404)


def test_closed_tickets_say_so(day: Day) -> None:
    day.pages.set_state(day.tickets["offer"], TicketState.CLOSED)
    assert OFFER not in shown(day, "jonas")


def test_what_is_too_much_to_count_says_so(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_COUNTED", 2)
    monkeypatch.setattr(tickets, "MAX_COUNTED", 2)
    text = words(page(day.client("jonas"), "/staff/tickets"))
    assert "Not closed (2+) New (2+) Open 1 Waiting 1 Closed All" in text
