"""The pages of a customer's own mails: who sees which, and making a ticket of one."""

import pytest
from sqlalchemy import select, update

from core.models import Delivery, Mail, Queue, Ticket
from core.words import Evidence
from tests.support.portal import RunningPortal, post, token_of

FORBIDDEN = b"""\
From: Anna <anna@muster.example>
To: rechnung@example.org
Subject: Mahnung <b>2</b>
Message-ID: <m1@muster.example>

Geheimer Inhalt
"""


def hold(pages: RunningPortal, evidence: Evidence = Evidence.VERIFIED) -> int:
    """Let Anna write to a queue that she may not use; return the id of what is held."""
    assert pages.add_mail(FORBIDDEN, "anna@muster.example", "rechnung@example.org") is None
    with pages.database.write() as session:
        session.execute(update(Mail).values(evidence=evidence))
        return session.scalars(select(Delivery.id).order_by(Delivery.id.desc()).limit(1)).one()


def queue_id(pages: RunningPortal, name: str) -> int:
    with pages.database.read() as session:
        return session.scalars(select(Queue.id).where(Queue.name == name)).one()


def text_of(pages: RunningPortal, path: str, login: str = "anna") -> str:
    answer = pages.client(login).get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_a_held_mail_becomes_a_ticket(pages_everywhere: RunningPortal) -> None:
    pages = pages_everywhere
    held = hold(pages)
    listed = text_of(pages, "/mails")
    assert "Mahnung &lt;b&gt;2&lt;/b&gt;" in listed
    assert "Ihr Konto darf an diese Adresse nicht schreiben." in listed
    page = text_of(pages, f"/mails/{held}")
    assert "Technik" in page
    assert "Rechnung" not in page  # the queue; the address is the one that Anna wrote to
    assert "Geheimer Inhalt" not in page
    client = pages.client("anna")
    answer = post(client, f"/mails/{held}", {"queue": queue_id(pages, "Technik")})
    assert answer.status_code == 303
    with pages.database.read() as session:
        ticket = session.scalars(select(Ticket)).one()
    assert answer.location == f"/tickets/{ticket.public_id}"
    assert "Geheimer Inhalt" in text_of(pages, answer.location)
    assert f"/tickets/{ticket.public_id}" in text_of(pages, "/mails")
    token = token_of(client, "/tickets/new")  # the page has no form any more
    again = {"csrf_token": token, "queue": queue_id(pages, "Technik")}
    assert client.post(f"/mails/{held}", data=again).status_code == 409


def test_what_nothing_proves_tells_no_words_of_its_writer(pages: RunningPortal) -> None:
    held = hold(pages, Evidence.NEUTRAL)
    for path in ("/mails", f"/mails/{held}"):
        page = text_of(pages, path)
        assert "Mahnung" not in page
        assert "vielleicht nicht von Ihnen" in page
    page = text_of(pages, f"/mails/{held}")
    assert "Ein Ticket daraus machen" not in page
    assert 'href="/tickets/new"' in page


def test_a_refused_mail_leads_to_a_form_with_its_subject(pages: RunningPortal) -> None:
    held = hold(pages)
    with pages.database.write() as session:
        session.execute(update(Mail).values(raw_id=None))
    page = text_of(pages, f"/mails/{held}")
    assert "Ein Ticket daraus machen" not in page
    link = "/tickets/new?subject=Mahnung+%3Cb%3E2%3C/b%3E"
    assert link in page
    assert 'value="Mahnung &lt;b&gt;2&lt;/b&gt;"' in text_of(pages, link)


@pytest.mark.parametrize("login", ["bert", "carol", "nora", "jonas", "ada"])
def test_mails_of_others_do_not_exist(pages: RunningPortal, login: str) -> None:
    held = hold(pages)
    client = pages.client(login)
    assert client.get(f"/mails/{held}").status_code == 404
    token = token_of(client, "/tickets/new" if login in ("bert", "carol") else _with_form(login))
    data = {"csrf_token": token, "queue": queue_id(pages, "Technik")}
    assert client.post(f"/mails/{held}", data=data).status_code == 404
    if login not in ("jonas", "ada"):
        assert "Mahnung" not in text_of(pages, "/mails", login)


def _with_form(login: str) -> str:
    return "/account/preferences" if login == "nora" else "/staff/account/preferences"


@pytest.mark.parametrize(("queue", "status"), [("Rechnung", 422), (999999, 422), ("x", 422)])
def test_only_queues_that_are_offered_are_taken(
    pages: RunningPortal, queue: str | int, status: int
) -> None:
    held = hold(pages)
    asked = queue_id(pages, queue) if queue == "Rechnung" else queue
    answer = post(pages.client("anna"), f"/mails/{held}", {"queue": asked})
    assert answer.status_code == status
    with pages.database.read() as session:
        assert session.scalars(select(Ticket)).all() == []


def test_a_forged_request_files_nothing(pages: RunningPortal) -> None:
    held = hold(pages)
    data = {"queue": queue_id(pages, "Technik")}
    assert pages.client("anna").post(f"/mails/{held}", data=data).status_code == 400
    assert pages.client().get("/mails").status_code == 303
    with pages.database.read() as session:
        assert session.scalars(select(Ticket)).all() == []


@pytest.mark.parametrize("path", ["/mails?page=broken", "/mails/0", f"/mails/{2**70}"])
def test_addresses_that_lead_nowhere(pages: RunningPortal, path: str) -> None:
    assert pages.client("anna").get(path).status_code == (200 if "?" in path else 404)
