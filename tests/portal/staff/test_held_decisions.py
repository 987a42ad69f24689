"""Held mail: into a ticket, with the missing right, several at once, and taking back."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from core.models import Article, AuditEvent, Delivery, OutgoingMail, Queue, Ticket, now
from core.words import Evidence, HeldState, OutgoingKind
from tests.portal.staff.asking import hidden, page, rows, send, send_anyway, words
from tests.portal.staff.day import Day
from tests.support.portal import customer_user, post


def release(
    client: FlaskClient, day: Day, name: str, *, account: str = "", queue: str, **more: str
) -> TestResponse:
    """Send the form of a held mail."""
    with day.pages.database.read() as session:
        queue_id = session.scalars(select(Queue.id).where(Queue.name == queue)).one()
        account_id = customer_user(session, account).id if account else ""
    url = day.held_url(name)
    fields = {"customer_user": account_id, "queue": queue_id, **more}
    return send(client, f"{url}/release", url, **fields)


def several(client: FlaskClient, what: str, *ids: int, **fields: str) -> TestResponse:
    """Send the list with some of its mails ticked."""
    return post(client, f"/staff/held/several/{what}", {"mail": list(ids), **fields}, "/staff/held")


def states(day: Day, *names: str) -> list[HeldState | None]:
    with day.pages.database.read() as session:
        return [session.get_one(Delivery, day.held[name]).held for name in names]


def number_of(day: Day, name: str) -> str:
    with day.pages.database.read() as session:
        return str(day.pages.ticket(session, day.tickets[name]).number)


@pytest.mark.parametrize("prefix", ["", "#", " "])
def test_a_held_mail_is_added_to_a_ticket(day: Day, prefix: str) -> None:
    client, number = day.client("jonas"), number_of(day, "offer")
    answer = release(
        client, day, "number", account="anna", queue="Vertrieb", ticket=prefix + number
    )
    assert answer.status_code == 303
    text = words(page(client, answer.headers["Location"]))
    assert f"The mail is released: ticket {number}" in text
    with day.pages.database.read() as session:
        delivery = session.get_one(Delivery, day.held["number"])
        ticket = day.pages.ticket(session, day.tickets["offer"])
        assert delivery.ticket_id == ticket.id
        assert session.get_one(Article, delivery.article_id).visible
    assert "Maschine 7 steht" in page(client, day.url("offer"))


@pytest.mark.parametrize(
    ("account", "ticket", "problem"),
    [
        ("anna", "closed", "The ticket is not one of this sender's"),  # Carol's
        ("", "offer", "The ticket is not one of this sender's"),
        ("anna", "999", "There is no ticket with this number that you may work on."),
        ("anna", "12a", "Please enter the number of a ticket."),
        ("anna", "²", "Please enter the number of a ticket."),
        ("anna", "9" * 19, "Please enter the number of a ticket."),
    ],
)
def test_other_tickets_are_refused(day: Day, account: str, ticket: str, problem: str) -> None:
    entered = number_of(day, ticket) if ticket in day.tickets else ticket
    answer = release(
        day.client("jonas"), day, "number", account=account, queue="Vertrieb", ticket=entered
    )
    assert answer.status_code == 422
    assert problem in words(answer)
    assert f'value="{entered}"' in answer.get_data(as_text=True)
    assert states(day, "number") == [HeldState.WAITING]


def test_an_admin_gives_the_right_from_here(day: Day) -> None:
    client = day.client("ada")
    answer = release(client, day, "forbidden", queue="Rechnung")
    assert answer.status_code == 422
    assert "carol may then read and write in the queue Rechnung" in words(answer)
    what = hidden(answer.get_data(as_text=True), "give_what")
    answer = release(client, day, "forbidden", queue="Rechnung", give="y", give_what=what)
    assert answer.status_code == 303
    with day.pages.database.read() as session:
        carol = customer_user(session, "carol")
        assert "rechnung" in {row.group.name for row in carol.permissions}
        delivery = session.get_one(Delivery, day.held["forbidden"])
        assert session.get_one(Ticket, delivery.ticket_id).customer_user_id == carol.id
        actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
        assert "permissions-changed" in actions[-3:]


def test_only_the_right_that_was_shown_is_given(day: Day) -> None:
    """Another account was chosen after the question: it is asked anew."""
    client = day.client("ada")
    source = release(client, day, "forbidden", queue="Rechnung").get_data(as_text=True)
    what = hidden(source, "give_what")
    answer = release(
        client, day, "forbidden", account="anna", queue="Rechnung", give="y", give_what=what
    )
    assert answer.status_code == 422
    assert "anna may then read and write in the queue Rechnung" in words(answer)
    assert hidden(answer.get_data(as_text=True), "give_what") != what
    assert " checked" not in answer.get_data(as_text=True).partition('id="give"')[2][:60]
    assert states(day, "forbidden") == [HeldState.WAITING]


def test_an_agent_is_not_offered_to_give_rights(day: Day) -> None:
    client = day.client("tina")
    answer = release(client, day, "forbidden", queue="Rechnung")
    assert answer.status_code == 422
    assert 'name="give"' not in answer.get_data(as_text=True)
    with day.pages.database.read() as session:
        queue_id = session.scalars(select(Queue.id).where(Queue.name == "Rechnung")).one()
        what = f"{customer_user(session, 'carol').id}-{queue_id}"
    answer = release(client, day, "forbidden", queue="Rechnung", give="y", give_what=what)
    assert answer.status_code == 422
    assert "Only an admin can give permissions." in words(answer)
    with day.pages.database.read() as session:
        groups = {row.group.name for row in customer_user(session, "carol").permissions}
    assert "rechnung" not in groups


def test_a_discard_can_be_taken_back(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    answer = send(client, f"{url}/discard", f"{url}/discard", why="Werbung")
    next_page = page(client, answer.headers["Location"])
    assert "It can be taken back for half a minute." in words(next_page)
    answer = several(client, "undo", day.held["stranger"])
    assert answer.headers["Location"] == url
    assert "1 mail waits again." in words(page(client, url))
    assert states(day, "stranger") == [HeldState.WAITING]


def test_after_half_a_minute_nobody_is_offered_that(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    answer = send(client, f"{url}/discard", f"{url}/discard", why="Werbung")
    later = answer.headers["Location"]
    assert "Undo" not in words(page(day.client("ada"), later))  # it was not hers
    with day.pages.database.write() as session:
        session.get_one(Delivery, day.held["stranger"]).settled_at = now() - timedelta(seconds=31)
    assert "Undo" not in words(page(client, later))
    answer = several(client, "undo", day.held["stranger"])
    assert "for 30 seconds only" in words(page(client, answer.headers["Location"]))
    assert states(day, "stranger") == [HeldState.DISCARDED]
    page(client, "/staff/held?discarded=999999")
    page(client, "/staff/held?discarded=x")


def test_several_are_discarded_for_one_reason(day: Day) -> None:
    client = day.client("jonas")
    ids = [day.held["stranger"], day.held["conflict"]]
    answer = several(client, "discard", *ids)
    assert answer.status_code == 200
    assert "Discard several held mails?" in words(answer)
    assert "Reklamation Kundennummer K-2000" in words(answer)
    answer = several(client, "discard", *ids, why=" ")
    assert answer.status_code == 422
    assert states(day, "stranger", "conflict") == [HeldState.WAITING] * 2
    answer = several(client, "discard", *ids, day.held["forbidden"], why="Werbung")
    text = words(answer)
    assert "Discarded (2)" in text
    assert "Left as they were (1)" in text
    assert "There is no such held mail." in text
    assert "Rechnung 2026" not in text  # of a queue that he does not work
    assert states(day, "stranger", "conflict", "forbidden") == [
        HeldState.DISCARDED,
        HeldState.DISCARDED,
        HeldState.WAITING,
    ]
    undone = re.findall(r'name="mail" value="(\d+)"', answer.get_data(as_text=True))
    assert sorted(map(int, undone)) == sorted(ids)
    answer = several(client, "undo", *ids)
    assert answer.headers["Location"] == "/staff/held"
    assert "2 mails wait again." in words(page(client, "/staff/held"))


def test_several_are_released_where_the_account_is_clear(day: Day) -> None:
    client = day.client("ada")
    answer = several(
        client, "release", *(day.held[name] for name in ("invalid", "stranger", "postmaster"))
    )
    text = words(answer)
    assert "Released (1)" in text
    assert "Left as they were (2)" in text
    assert "No account has the address" in text
    assert "It was sent to no queue" in text
    assert states(day, "invalid", "stranger", "postmaster") == [
        HeldState.RELEASED,
        HeldState.WAITING,
        HeldState.WAITING,
    ]


@pytest.mark.parametrize("what", ["discard", "release", "undo"])
@pytest.mark.parametrize("login", ["tina", "rolf"])
def test_others_change_nothing(day: Day, what: str, login: str) -> None:
    client = day.client(login)
    ids = [day.held["stranger"], day.held["invalid"]]
    answer = send_anyway(client, f"/staff/held/several/{what}", mail=ids, why="x")
    assert "Anfrage: Lieferung" not in answer.get_data(as_text=True)
    assert states(day, "stranger", "invalid") == [HeldState.WAITING] * 2


@pytest.mark.parametrize("what", ["discard", "release"])
@pytest.mark.parametrize("ids", [[], ["x"], ["0"], [str(10**30)]])
def test_nothing_is_chosen(day: Day, what: str, ids: list[str]) -> None:
    client = day.client("ada")
    answer = send_anyway(client, f"/staff/held/several/{what}?reason=stranger", mail=ids)
    assert answer.headers["Location"] == "/staff/held?reason=stranger"
    assert "Please choose at least one mail." in words(page(client, answer.headers["Location"]))


def test_only_what_waits_can_be_chosen(day: Day) -> None:
    client = day.client("ada")
    assert page(client, "/staff/held").count('type="checkbox" name="mail"') == len(day.held)
    several(client, "release", day.held["invalid"])
    source = page(client, "/staff/held?state=released")
    assert rows(source)
    assert 'name="mail"' not in source


def make_verified(day: Day, name: str) -> None:
    with day.pages.database.write() as session:
        session.get_one(Delivery, day.held[name]).mail.evidence = Evidence.VERIFIED


def test_a_mail_is_refused_with_an_answer(day: Day) -> None:
    make_verified(day, "stranger")
    client, url = day.client("jonas"), day.held_url("stranger")
    assert f"{url}/refuse" in page(client, url)
    text = words(page(client, f"{url}/refuse"))
    assert "Your mail to vertrieb@example.org was not accepted" in text
    assert send(client, f"{url}/refuse", f"{url}/refuse", reason="weil").status_code == 422
    answer = send(client, f"{url}/refuse", f"{url}/refuse", reason="unknown", language="en")
    assert answer.status_code == 303
    assert "The mail is refused, and its sender will be told." in words(
        page(client, answer.headers["Location"])
    )
    with day.pages.database.read() as session:
        kind = OutgoingMail.kind == OutgoingKind.HELD_REFUSED
        mail = session.scalars(select(OutgoingMail).where(kind)).one()
        assert mail.recipient == "p.lindner@lindner-metallbau.example"
        reference = session.get_one(Delivery, day.held["stranger"]).mail.reference
    told = "refused, the sender was told: The address belongs to no customer"
    assert told in words(page(client, url))
    assert told in words(page(client, f"/staff/mails/{reference}"))
    assert "Held mail refused" in words(page(client, f"/staff/outgoing/{mail.id}"))


def test_who_is_not_verified_is_not_told(day: Day) -> None:
    client, url = day.client("jonas"), day.held_url("stranger")
    assert f"{url}/refuse" not in page(client, url)
    assert "The sender is not verified" in words(page(client, f"{url}/refuse"))
    answer = send_anyway(client, f"{url}/refuse", reason="unknown", language="de")
    assert answer.status_code == 422
    assert states(day, "stranger") == [HeldState.WAITING]


@pytest.mark.parametrize("login", ["tina", "rolf"])
def test_others_refuse_nothing(day: Day, login: str) -> None:
    make_verified(day, "stranger")
    client, url = day.client(login), day.held_url("stranger")
    page(client, f"{url}/refuse", 404)
    fields = {"reason": "unknown", "language": "de"}
    assert send_anyway(client, f"{url}/refuse", **fields).status_code == 404
    assert states(day, "stranger") == [HeldState.WAITING]
