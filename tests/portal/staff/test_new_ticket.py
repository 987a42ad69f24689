"""A ticket that staff open for a customer user: for whom, where, by mail or not."""

from io import BytesIO

import pytest
from sqlalchemy import func, select

from core.models import OutgoingMail, Ticket
from core.words import OutgoingKind, TicketState, Validity
from tests.portal.staff.asking import last_event, page, send, send_anyway, words
from tests.portal.staff.day import Day
from tests.portal.staff.test_ticket import ids
from tests.support.portal import customer_user

NEW = "/staff/tickets/new"
FIELDS = {"subject": "Ihr Anruf von heute", "text": "Guten Tag, wie besprochen."}


def counts(day: Day) -> tuple[int, int]:
    """Return how many tickets there are, and how many mails of replies."""
    replies = select(func.count()).where(OutgoingMail.kind == OutgoingKind.REPLY)
    with day.pages.database.read() as session:
        tickets = session.scalars(select(func.count()).select_from(Ticket)).one()
        return tickets, session.scalars(replies).one()


def test_an_account_is_searched_and_a_ticket_opened(day: Day) -> None:
    known = ids(day)
    client, url = day.client("jonas"), f"{NEW}?customer_user={known['anna']}"
    assert f'href="{NEW}"' in page(client, "/staff/tickets")
    found = page(client, f"{NEW}?q=muster")
    assert url in found
    assert "may not write to this queue" not in found
    form = page(client, url)
    offered = form.partition('name="queue_id"')[2].partition("</select>")[0]
    assert ("Technik" in offered, "Vertrieb" in offered) == (True, True)
    assert "Rechnung" not in offered
    answer = send(
        client, url, url, **FIELDS, queue_id=known["Technik"], send="y", cc="chef@muster.example",
        files=(BytesIO(b"%PDF x"), "Angebot.pdf"),
    )  # fmt: skip
    assert answer.status_code == 303
    text = words(page(client, answer.headers["Location"]))
    assert "The ticket is open. It has the number" in text
    assert "To Anna Müller <anna@muster.example> Copy to chef@muster.example" in text
    assert "Angebot.pdf" in text
    with day.pages.database.read() as session:
        ticket = session.scalars(select(Ticket).where(Ticket.subject == FIELDS["subject"])).one()
        assert ticket.customer_user_id == known["anna"]
        assert (ticket.state, ticket.queue.name) == (TicketState.WAITING, "Technik")
        assert last_event(session).action == "created"
        public_id = ticket.public_id
    page(day.pages.client("anna"), f"/tickets/{public_id}")


def test_without_mail_nothing_is_sent(day: Day) -> None:
    known, (tickets, mails) = ids(day), counts(day)
    client, url = day.client("jonas"), f"{NEW}?customer_user={known['anna']}"
    answer = send(client, url, url, **FIELDS, queue_id=known["Technik"])
    assert answer.status_code == 303
    assert counts(day) == (tickets + 1, mails)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"subject": ""}, "Subject : Please fill this in."),
        ({"subject": "x" * 400}, "Subject : At most 300 characters."),
        ({"text": " "}, "Message : Please fill this in."),
        ({"queue_id": "Rechnung"}, "Queue : Not a valid choice."),
        ({"queue_id": ""}, "Queue :"),
        ({"cc": "kein-at"}, "Copy to (Cc) : A mail address has one @"),
    ],
)
def test_what_cannot_be_comes_back_as_typed(day: Day, fields: dict[str, str], problem: str) -> None:
    known, before = ids(day), counts(day)
    values = {"queue_id": "Technik", "send": "y", **FIELDS, **fields}
    values["queue_id"] = str(known.get(values["queue_id"], ""))
    client, url = day.client("jonas"), f"{NEW}?customer_user={known['anna']}"
    answer = send(client, url, url, **values)
    assert answer.status_code == 422
    assert problem in words(answer)
    source = answer.get_data(as_text=True)
    assert values["subject"] in source
    assert values["text"] in source
    assert counts(day) == before


def test_only_queues_that_both_may_use_are_offered(day: Day) -> None:
    known, before = ids(day), counts(day)
    client, nora = day.client("jonas"), f"{NEW}?customer_user={known['nora']}"
    assert "There is no queue that you work and this account may write to." in words(
        page(client, nora)
    )
    bert = f"{NEW}?customer_user={known['bert']}"  # reads Technik only
    assert "Technik" not in page(client, bert).partition('name="queue_id"')[2].partition("</sel")[0]
    for url, queue in ((nora, "Technik"), (bert, "Technik")):
        answer = send_anyway(client, url, **FIELDS, queue_id=known[queue])
        assert answer.status_code == 422, url
    page(client, f"{NEW}?customer_user=4711", 404)
    assert send_anyway(client, f"{NEW}?customer_user=4711", **FIELDS).status_code == 404
    assert send_anyway(client, NEW, **FIELDS).status_code == 404
    assert counts(day) == before


def test_an_invalid_account_gets_no_ticket(day: Day) -> None:
    known, before = ids(day), counts(day)
    with day.pages.database.write() as session:
        customer_user(session, "anna").valid = Validity.INVALID
    client, url = day.client("jonas"), f"{NEW}?customer_user={known['anna']}"
    found = page(client, f"{NEW}?q=anna")
    assert "Account invalid" in words(found)
    assert url not in found
    answer = send_anyway(client, url, **FIELDS, queue_id=known["Technik"])
    assert answer.status_code == 422
    assert counts(day) == before


def test_who_works_no_queue_opens_no_ticket(day: Day) -> None:
    known, before = ids(day), counts(day)
    client, url = day.client("rolf"), f"{NEW}?customer_user={known['anna']}"
    assert "There is no queue that you work" in words(page(client, url))
    fields = {**FIELDS, "queue_id": known["Vertrieb"]}
    assert send_anyway(client, url, **fields).status_code == 422
    assert day.client("jonas").post(url, data=fields).status_code == 400  # without a token
    page(day.client("anna"), NEW, 404)
    assert counts(day) == before
