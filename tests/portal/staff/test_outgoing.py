"""Outgoing mail: the list and its tabs, one mail, trying again and calling off, and who may."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from core.models import BouncingAddress, OutgoingMail, now
from core.words import OutgoingKind, OutgoingState
from tests.portal.staff.asking import last_event, page, rows, send, send_anyway, words
from tests.portal.staff.day import Day

FAILED, BOUNCED, WAITING = OutgoingState.FAILED, OutgoingState.BOUNCED, OutgoingState.WAITING
SECRET = OutgoingKind.PASSWORD_RESET


def mail_in(day: Day, state: OutgoingState) -> int:
    """Return the id of the first mail in a state."""
    with day.pages.database.read() as session:
        found = select(OutgoingMail.id).where(OutgoingMail.state == state)
        return session.scalars(found.order_by(OutgoingMail.id).limit(1)).one()


def state_of(day: Day, outgoing_id: int) -> OutgoingState:
    with day.pages.database.read() as session:
        return session.get_one(OutgoingMail, outgoing_id).state


def secret_mail(day: Day) -> int:
    """Put a mail with a link for a new password into the outbox; return its id."""
    with day.pages.database.write() as session:
        mail = OutgoingMail(kind=SECRET, recipient="x@y.example", recipient_key="x@y.example")
        session.add(mail)
        session.flush()
        return mail.id


def in_navigation(client: FlaskClient) -> str:
    source = page(client, "/staff/tickets")
    return source.partition('href="/staff/outgoing"')[2].partition("</a>")[0]


@pytest.mark.parametrize(
    ("query", "recipients"),
    [
        ("", ["carol@acme.example", "bert@muster.example", *["anna@muster.example"] * 2]),
        ("?state=failed", ["werkstatt@acme.example"]),
        ("?state=bounced", ["carol@acme.example"]),
        ("?state=sent", []),
        ("?state=failed&q=WERKSTATT", ["werkstatt@acme.example"]),
        ("?state=all&q=flackert", ["werkstatt@acme.example", "carol@acme.example"]),
        ("?state=all&q=%25", []),
        ("?state=nonsense&q=bert", ["bert@muster.example"]),
    ],
)
def test_the_list_shows_what_is_asked_for(day: Day, query: str, recipients: list[str]) -> None:
    assert rows(page(day.client("ada"), f"/staff/outgoing{query}")) == recipients


def test_the_tabs_and_the_navigation_count_what_is_to_do(day: Day) -> None:
    client = day.client("ada")
    text = words(page(client, "/staff/outgoing?state=failed"))
    assert "Waiting 4 Not sent 1 Came back Sent All" in text
    assert "550 5.1.1 <werkstatt@acme.example>: Recipient address rejected" in text
    assert "No mail server is set up for outgoing mail" in text
    assert "not sent" in in_navigation(client)
    dashboard = page(client, "/staff/")
    assert "1 Mail not sent" in words(dashboard)
    assert "4 Mail waiting to be sent oldest:" in words(dashboard)
    assert dashboard.count("No mail server is set up") == 1


def test_agents_see_the_mail_of_their_queues(day: Day) -> None:
    secret, failed = secret_mail(day), mail_in(day, FAILED)
    assert "x@y.example" in rows(page(day.client("ada"), "/staff/outgoing"))
    assert "x@y.example" not in rows(page(day.client("jonas"), "/staff/outgoing?state=all"))
    page(day.client("ada"), f"/staff/outgoing/{secret}")
    page(day.client("jonas"), f"/staff/outgoing/{secret}", 404)
    tina = day.client("tina")  # of another queue
    assert rows(page(tina, "/staff/outgoing?state=all")) == []
    assert "not sent" not in in_navigation(tina)
    for path in ("", "/raw"):
        page(tina, f"/staff/outgoing/{failed}{path}", 404)
    for action in ("retry", "cancel", "trust"):
        assert send_anyway(tina, f"/staff/outgoing/{failed}/{action}").status_code == 404


def test_who_may_only_read_does_nothing_with_a_mail(day: Day) -> None:
    with day.pages.database.read() as session:
        of_vertrieb = session.scalars(
            select(OutgoingMail.id).where(OutgoingMail.recipient == "bert@muster.example")
        ).one()
    client, url = day.client("rolf"), f"/staff/outgoing/{of_vertrieb}"
    source = page(client, url)
    assert 'method="post"' not in source.partition("<main")[2].partition("</main>")[0]
    for action in ("retry", "cancel", "trust"):
        assert send_anyway(client, f"{url}/{action}").status_code == 403, action
    assert state_of(day, of_vertrieb) is WAITING


def test_a_mail_is_tried_again_and_called_off(day: Day) -> None:
    failed = mail_in(day, FAILED)
    client, url = day.client("jonas"), f"/staff/outgoing/{failed}"
    text = words(page(client, url))
    assert "Answer of the mail server 550 5.1.1" in text
    assert "Send again" in text
    assert send(client, f"{url}/retry", url).status_code == 303
    assert "The mail will be tried at once." in words(page(client, url))
    assert state_of(day, failed) is WAITING
    with day.pages.database.read() as session:
        assert last_event(session).action == "retried"
    assert send(client, f"{url}/cancel", url).status_code == 303
    assert "The mail is cancelled" in words(page(client, url))
    assert state_of(day, failed) is OutgoingState.CANCELLED
    # Somebody else was faster.
    assert send_anyway(client, f"{url}/cancel").status_code == 409
    for action in ("retry", "cancel", "trust"):
        assert client.post(f"{url}/{action}").status_code == 400  # without a token
        page(client, f"{url}/{action}", 405)


def test_the_bytes_are_handed_out_but_no_secrets(day: Day) -> None:
    failed, late, secret = mail_in(day, FAILED), mail_in(day, WAITING), secret_mail(day)
    client = day.client("ada")
    answer = client.get(f"/staff/outgoing/{failed}/raw")
    assert answer.data.startswith(b"From: ")
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    for unsaved in (late, secret):
        page(client, f"/staff/outgoing/{unsaved}/raw", 404)
        assert "/raw" not in page(client, f"/staff/outgoing/{unsaved}")
    assert "This mail holds a secret link" in words(page(client, f"/staff/outgoing/{secret}"))


def test_staff_say_that_an_address_is_good(day: Day) -> None:
    bounced, key = mail_in(day, BOUNCED), "carol@acme.example"
    with day.pages.database.write() as session:
        session.merge(BouncingAddress(address_key=key, bounces=3, last_at=now()))
    client, url = day.client("jonas"), f"/staff/outgoing/{bounced}"
    text = words(page(client, url))
    assert "What came back failed 5.2.2 (mailbox full)" in text
    assert "Mail to this address came back 3 times." in text
    assert send(client, f"{url}/trust", url).status_code == 303
    assert "came back 3 times" not in words(page(client, url))
    with day.pages.database.read() as session:
        assert session.get(BouncingAddress, key) is None


@pytest.mark.parametrize(("login", "status"), [(None, 303), ("anna", 404)])
def test_customers_see_nothing_of_it(day: Day, login: str | None, status: int) -> None:
    failed, client = mail_in(day, FAILED), day.client(login)
    for path in ("", f"/{failed}", f"/{failed}/raw"):
        page(client, f"/staff/outgoing{path}", status)
