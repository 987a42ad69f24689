"""Merging tickets and splitting messages off: asked first, then done, and what is refused."""

import pytest
from sqlalchemy import select

from core.models import Article, Ticket, ticket_number
from core.words import TicketState
from tests.portal.staff.asking import hidden, page, send, send_anyway, words
from tests.portal.staff.day import Day, stored


def number(day: Day, name: str) -> int:
    with day.pages.database.read() as session:
        return stored(day, session, name).number


def second_message(day: Day) -> int:
    """Let Anna write again in her ticket; return the message."""
    with day.pages.database.write() as session:
        ticket = stored(day, session, "offer")
        first = ticket.articles[0]
        article = Article(
            ticket_id=ticket.id,
            author=first.author,
            customer_user_id=first.customer_user_id,
            from_address="anna@muster.example",
            from_name="Anna Müller",
            subject="Etwas anderes: die Rechnung",
            text="Die Rechnung fehlt noch.",
            visible=True,
            created_at=first.created_at,
        )
        session.add(article)
        session.flush()
        return article.id


def test_a_ticket_is_merged_after_a_question(day: Day) -> None:
    client, url, target = day.client("ada"), day.url("long"), number(day, "offer")
    source = page(client, f"{url}/merge?number={target}")
    text = words(source)
    assert f"Ticket {number(day, 'long')} · Technik" in text
    assert f"Ticket {target} · Vertrieb Anna Müller, Muster GmbH Open 2 messages, 1" in text
    fields = {name: hidden(source, name) for name in ("number", "version")}
    answer = send(client, f"{url}/merge", url, **fields)
    assert answer.status_code == 303
    assert answer.headers["Location"] == day.url("offer")
    assert "Merged: everything now stands in this ticket." in words(page(client, day.url("offer")))
    with day.pages.database.read() as session:
        merged = stored(day, session, "long")
        assert (merged.state, merged.articles) == (TicketState.CLOSED, [])
    # Its address and its number lead to the other one.
    moved = client.get(url)
    assert (moved.status_code, moved.headers["Location"]) == (303, day.url("offer"))
    told = f"Ticket {number(day, 'long')} was merged into this one."
    assert told in words(page(client, day.url("offer")))
    by_number = client.get(f"/staff/tickets/number/{number(day, 'long')}")
    assert by_number.headers["Location"] == day.url("offer")
    found = page(client, f"/staff/tickets?state=all&q={number(day, 'long')}")
    assert day.url("offer") in found
    assert send_anyway(client, f"{url}/note", text="zu spät").status_code == 403


@pytest.mark.parametrize(
    ("into", "status", "problem"),
    [
        ("offer", 422, "There is no other ticket with this number."),  # itself
        ("999999", 422, "There is no other ticket with this number."),
        ("x", 422, "Not a valid integer value."),
        ("", 422, "Please fill this in."),
        ("closed", 422, "The tickets are from different customers."),
    ],
)
def test_what_cannot_be_merged_is_said_beside_the_number(
    day: Day, into: str, status: int, problem: str
) -> None:
    client, url = day.client("ada"), day.url("offer")
    wanted = number(day, into) if into in day.tickets else into
    answer = client.get(f"{url}/merge?number={wanted}")
    assert answer.status_code == status
    assert problem in words(answer)
    asked = send(client, f"{url}/merge", url, number=wanted, version=2)
    assert asked.status_code in (404, 422)
    with day.pages.database.read() as session:
        assert stored(day, session, "offer").merged_into_id is None


def test_a_merge_that_was_overtaken_says_so(day: Day) -> None:
    client, url, target = day.client("ada"), day.url("long"), number(day, "offer")
    answer = send(client, f"{url}/merge", url, number=target, version=99)
    assert answer.status_code == 422
    assert "Somebody else has changed this in the meantime." in words(answer)
    with day.pages.database.read() as session:
        assert stored(day, session, "long").merged_into_id is None


def test_a_message_gets_a_ticket_of_its_own_after_a_question(day: Day) -> None:
    article = second_message(day)
    client, url = day.client("jonas"), f"{day.url('offer')}/messages/{article}/split"
    assert f"{day.url('offer')}/messages/{article}/split" in page(client, day.url("offer"))
    text = words(page(client, url))
    assert "Die Rechnung fehlt noch." in text
    assert "a new ticket in the queue Vertrieb" in text
    answer = send(client, url)
    assert answer.status_code == 303
    with day.pages.database.read() as session:
        new = session.get_one(Ticket, session.get_one(Article, article).ticket_id)
        assert answer.headers["Location"] == f"/staff/tickets/{new.public_id}"
        assert new.subject == "Etwas anderes: die Rechnung"
        new_number = ticket_number(new.id)
    assert "The message now has this ticket of its own." in words(
        page(client, answer.headers["Location"])
    )
    old = words(page(client, day.url("offer")))
    assert "Die Rechnung fehlt noch." not in old
    assert f"{new_number} Etwas anderes" in old  # tied to it


def test_what_cannot_be_split_is_refused(day: Day) -> None:
    with day.pages.database.read() as session:
        only = stored(day, session, "long").articles[0].id
        note = session.scalars(select(Article.id).where(~Article.visible)).first()
    client = day.client("jonas")
    assert "/split" not in page(client, day.url("long"))  # its only message
    for path, message in ((day.url("long"), only), (day.url("offer"), note)):
        answer = send_anyway(client, f"{path}/messages/{message}/split")
        assert answer.status_code == 422, path
    page(client, f"{day.url('offer')}/messages/{only}/split", 404)  # of another ticket
    assert send_anyway(client, f"{day.url('offer')}/messages/{only}/split").status_code == 404


def test_who_may_only_read_neither_merges_nor_splits(day: Day) -> None:
    article, client = second_message(day), day.client("rolf")
    for path in ("/merge?number=100003", f"/messages/{article}/split"):
        page(client, f"{day.url('offer')}{path}", 403)
    split = send_anyway(client, f"{day.url('offer')}/messages/{article}/split")
    merge = send_anyway(client, f"{day.url('offer')}/merge", number=100003, version=2)
    assert (split.status_code, merge.status_code) == (403, 403)
    with day.pages.database.read() as session:
        assert stored(day, session, "offer").merged_into_id is None
        assert session.get_one(Article, article).ticket_id == stored(day, session, "offer").id
