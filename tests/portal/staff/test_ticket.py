"""A ticket as staff work it: what it shows, each change with its audit event, and who may not."""

import re
from contextlib import nullcontext

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from core.accounts.staff import staff_queue_ids
from core.errors import NotFound
from core.models import (
    Article,
    Attachment,
    AuditEvent,
    CustomerUser,
    OutgoingMail,
    Queue,
    Staff,
    Ticket,
    TicketLink,
)
from core.organisation import load_organisation
from core.tickets.origin import delivery_of_article
from core.words import Flag, Priority, TicketState, Validity
from tests.portal.staff.asking import hidden, last_event, page, send, send_anyway, words
from tests.portal.staff.day import NOTE, Day, stored
from tests.support.portal import customer_user, staff


def ids(day: Day) -> dict[str, int]:
    """Return the ids of queues and people by name."""
    with day.pages.database.read() as session:
        queues = {queue.name: queue.id for queue in session.scalars(select(Queue))}
        people = {each.login: each.id for each in session.scalars(select(Staff))}
        accounts = {each.login: each.id for each in session.scalars(select(CustomerUser))}
        return {**queues, **people, **accounts}


def change(
    client: FlaskClient, url: str, source: str | None = None, /, **fields: object
) -> TestResponse:
    """Send the form of a ticket with other values in some fields."""
    source = source if source is not None else page(client, url)
    form = source.partition('id="change-heading"')[2]  # a reply has a state, too
    known = {name: hidden(form, name) for name in ("version", "read")}
    for name in ("queue_id", "state", "priority", "owner_id"):
        select_ = form.partition(f'name="{name}"')[2].partition("</select>")[0]
        found = re.search(r'<option selected value="([^"]*)"', select_)
        assert found, name
        known[name] = found[1]
    return send(client, f"{url}/change", url, **{**known, **fields})


def first_article(session: Session, day: Day, name: str) -> int:
    return stored(day, session, name).articles[0].id


def test_a_ticket_shows_notes_flags_and_people(day: Day) -> None:
    source = page(day.client("jonas"), day.url("offer"))
    text = words(source)
    note = source.partition(NOTE)[0].rpartition("<article")[2]
    assert "is-internal" in note
    assert "internal: the customer does not see it" in note
    assert "Anna Müller (anna) All tickets of this person" in text
    assert "Muster GmbH K-1000" in text
    assert "/admin/" not in source.partition("<main")[2]  # agents have no admin pages
    assert "/admin/customer-users/" in page(day.client("ada"), day.url("offer"))
    guest = words(page(day.client("jonas"), day.url("guest")))
    assert guest.count("Unknown sender") >= 2  # at the ticket and at its message
    assert "max@neumann.example" in guest
    assert "Sender not verified" in words(page(day.client("jonas"), day.url("measured")))


@pytest.mark.parametrize(
    ("field", "value", "event"),
    [
        ("state", "closed", ({"state": "open"}, {"state": "closed"})),
        ("priority", "urgent", ({"priority": "high"}, {"priority": "urgent"})),
        ("owner_id", "ada", ({"owner_id": "jonas"}, {"owner_id": "ada"})),
        ("owner_id", 0, ({"owner_id": "jonas"}, {"owner_id": None})),
        ("queue_id", "Technik", ({"queue_id": "Vertrieb"}, {"queue_id": "Technik"})),
    ],
)
def test_a_change_is_saved_and_recorded(
    day: Day, field: str, value: str | int, event: tuple[dict[str, str], dict[str, str | None]]
) -> None:
    client, wanted = day.client("jonas"), ids(day).get(str(value), value)
    answer = change(client, day.url("offer"), **{field: wanted})
    assert answer.status_code == 303
    assert answer.headers["Location"] == day.url("offer")
    with day.pages.database.read() as session:
        assert getattr(stored(day, session, "offer"), field) == (wanted or None)
        found = last_event(session)
        assert (found.actor_name, found.action, found.object_kind) == ("jonas", "changed", "ticket")
        assert (found.before, found.after) == event
    text = words(page(client, day.url("offer")))
    assert "Saved." in text
    assert "History changed jonas, today" in text


def test_nobody_saves_over_somebody_else_unseen(day: Day) -> None:
    jonas, ada = day.client("jonas"), day.client("ada")
    seen = page(jonas, day.url("offer"))
    change(ada, day.url("offer"), state="waiting", priority="urgent", owner_id=0)
    answer = change(jonas, day.url("offer"), seen, priority="low")
    assert answer.status_code == 409
    text = words(answer)
    assert "Somebody else has changed this in the meantime" in text
    assert "Priority is now: Urgent. You have chosen: Low." in text
    assert "State is now: Waiting for customer." in text
    assert "Owner is now: nobody." in text
    with day.pages.database.read() as session:
        assert stored(day, session, "offer").priority is Priority.URGENT
    # Sent again it is meant; what Jonas had left alone stays as Ada has set it.
    again = change(jonas, day.url("offer"), answer.get_data(as_text=True))
    assert again.status_code == 303
    with day.pages.database.read() as session:
        ticket = stored(day, session, "offer")
        assert (ticket.state, ticket.priority, ticket.owner_id) == (
            TicketState.WAITING, Priority.LOW, None,
        )  # fmt: skip


def test_a_move_that_hides_the_ticket_is_asked_about(day: Day) -> None:
    ada, target = day.client("ada"), ids(day)["Rechnung"]
    answer = change(ada, day.url("offer"), queue_id=target, state="waiting", owner_id=0)
    assert answer.status_code == 200
    assert "In the queue Rechnung the customer does not see the ticket any more." in words(answer)
    with day.pages.database.read() as session:
        ticket = stored(day, session, "offer")
        assert (ticket.queue.name, ticket.state) == ("Vertrieb", TicketState.OPEN)
    source = answer.get_data(as_text=True)
    names = ("queue_id", "state", "priority", "owner_id", "version", "read", "confirmed")
    fields = {name: hidden(source, name) for name in names}
    # Another queue than the one that was asked about is asked about again.
    other = send(
        ada, f"{day.url('offer')}/change", day.url("offer"), **{**fields, "confirmed": "1"}
    )
    assert other.status_code == 200
    done = send(ada, f"{day.url('offer')}/change", day.url("offer"), **fields)
    assert done.status_code == 303
    with day.pages.database.read() as session:
        ticket = stored(day, session, "offer")
        assert (ticket.queue.name, ticket.state) == ("Rechnung", TicketState.WAITING)
    assert "Anna Müller does not see this ticket" in words(page(ada, day.url("offer")))
    page(day.pages.client("anna"), f"/tickets/{day.tickets['offer']}", 404)


def test_a_move_that_hides_nothing_is_not_asked_about(day: Day) -> None:
    client = day.client("jonas")
    assert change(client, day.url("guest"), queue_id=ids(day)["Vertrieb"]).status_code == 303


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"owner_id": "tina"}, "Tina Haas does not work the queue Vertrieb"),
        ({"owner_id": 4711}, "Not a valid choice."),
        ({"queue_id": "Rechnung"}, "Not a valid choice."),  # Jonas does not work it
        ({"state": "lost"}, "Not a valid choice."),
    ],
)
def test_what_cannot_be_is_said_at_the_field(
    day: Day, fields: dict[str, str | int], problem: str
) -> None:
    known = ids(day)
    values = {name: known.get(str(value), value) for name, value in fields.items()}
    answer = change(day.client("jonas"), day.url("offer"), priority="urgent", **values)
    assert answer.status_code == 422
    assert problem in words(answer)
    assert '<option selected value="urgent"' in answer.get_data(as_text=True)  # as it was chosen
    with day.pages.database.read() as session:
        assert stored(day, session, "offer").priority is Priority.HIGH


def test_a_note_is_for_staff(day: Day) -> None:
    client = day.client("jonas")
    answer = send(
        client, f"{day.url('long')}/note", day.url("long"), text="Bitte <b>Log</b> prüfen"
    )
    assert answer.status_code == 303
    assert "Bitte &lt;b&gt;Log&lt;/b&gt; prüfen" in page(client, day.url("long"))
    with day.pages.database.read() as session:
        event = last_event(session)
        assert (event.actor_name, event.action, event.object_kind) == ("jonas", "noted", "ticket")
        note = stored(day, session, "long").articles[-1]
        assert not note.visible
        assert note.staff_id == staff(session, "jonas").id
        note_id = note.id
    assert "Log" not in page(day.pages.client("anna"), f"/tickets/{day.tickets['long']}")
    for path in ("raw", "why"):
        page(client, f"{day.url('long')}/messages/{note_id}/{path}", 404)


@pytest.mark.parametrize("text", ["", "  \n", "\0", "x" * 70_000])
def test_an_impossible_note_is_kept_in_the_form(day: Day, text: str) -> None:
    answer = send(day.client("jonas"), f"{day.url('long')}/note", day.url("long"), text=text)
    assert answer.status_code == 422
    assert len(text) < 100 or text in answer.get_data(as_text=True)
    with day.pages.database.read() as session:
        assert len(stored(day, session, "long").articles) == 1


def test_tickets_are_linked_and_untied(day: Day) -> None:
    client, url = day.client("jonas"), day.url("offer")
    assert send(client, f"{url}/link", url, number=100003).status_code == 303
    assert "100003 Liefertermin für Auftrag 4711 Vertrieb, Waiting" in words(page(client, url))
    assert "100001 Angebot" in words(page(client, day.url("delivery")))
    with day.pages.database.read() as session:
        assert last_event(session).action == "linked"
    assert send(client, f"{url}/unlink", url, number=100003).status_code == 303
    with day.pages.database.read() as session:
        assert last_event(session).action == "unlinked"
        assert session.scalars(select(func.count()).select_from(TicketLink)).one() == 0
    for number in ("100001", "999999", "x", "", "9" * 40):
        answer = send(client, f"{url}/link", url, number=number)
        assert answer.status_code == 422, number
    page(client, f"{url}/unlink", 405)
    assert send(client, f"{url}/unlink", url, number="x").status_code == 404


def test_a_stranger_gets_an_account(day: Day) -> None:
    client, url = day.client("jonas"), day.url("guest")
    found = words(page(client, f"{url}/assign?q=smith"))
    assert "Carol Smith (carol) Acme Ltd · K-2000" in found
    version = hidden(page(client, f"{url}/assign?q=smith"), "version")
    carol = ids(day)["carol"]
    answer = send(
        client, f"{url}/assign", f"{url}/assign?q=smith", customer_user=carol, version=version
    )
    assert answer.status_code == 303
    with day.pages.database.read() as session:
        ticket = stored(day, session, "guest")
        assert (ticket.customer_user_id, ticket.flag) == (carol, None)
        event = last_event(session)
        assert (event.action, event.before, event.after) == (
            "assigned", {"customer_user": None}, {"customer_user": "carol"},
        )  # fmt: skip
    assert "The ticket is now from Carol Smith." in words(page(client, url))
    page(day.pages.client("carol"), f"/tickets/{day.tickets['guest']}")


@pytest.mark.parametrize(
    ("login", "version", "problem"),
    [
        ("nora", None, "The account may not write to Technik"),
        ("anna", "99", "Somebody else has changed this"),
        ("nobody", None, "This account does not exist or is invalid."),
        ("", None, "Please choose one."),
    ],
)
def test_an_account_that_cannot_be_chosen_is_refused(
    day: Day, login: str, version: str | None, problem: str
) -> None:
    client, url = day.client("jonas"), day.url("guest")
    form_at = f"{url}/assign?q=example"
    account = ids(day).get(login, 4711 if login else "")
    version = version or hidden(page(client, form_at), "version")
    answer = send(
        client, f"{url}/assign?q=example", form_at, customer_user=account, version=version
    )
    assert answer.status_code == 422
    assert problem in words(answer)
    with day.pages.database.read() as session:
        assert stored(day, session, "guest").customer_user_id is None


def test_an_invalid_account_is_shown_as_such(day: Day) -> None:
    with day.pages.database.write() as session:
        customer_user(session, "carol").valid = Validity.INVALID
    client = day.client("jonas")
    assert "Account invalid" in words(page(client, f"{day.url('guest')}/assign?q=carol"))
    assert "Carol Smith does not see this ticket" in words(page(client, day.url("measured")))


def test_the_mail_behind_a_message_explains_it(day: Day) -> None:
    with day.pages.database.read() as session:
        article = first_article(session, day, "measured")
        mail = session.get_one(Article, article).mail
        assert mail is not None
        assert mail.raw is not None
        raw = mail.raw.content
    client, url = day.client("jonas"), f"{day.url('measured')}/messages/{article}"
    text = words(page(client, f"{url}/why"))
    assert "technik@example.org is an address of the queue Technik." in text
    assert "The address belongs to carol (Kunden# K-2000)." in text
    answer = client.get(f"{url}/raw")
    assert answer.data == raw
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.content_type == "application/octet-stream"
    # Moved to a queue whose agents do not read the mail log of the old one.
    target = ids(day)["Rechnung"]
    change(day.client("ada"), day.url("measured"), queue_id=target, confirmed=target)
    tina = words(page(day.client("tina"), f"{url}/why"))
    assert "technik@example.org is an address of the queue Technik." in tina
    assert "/staff/mails/" not in page(day.client("tina"), f"{url}/why").partition("<main")[2]


def test_the_reasons_of_a_message_are_as_secret_as_the_ticket(day: Day) -> None:
    with day.pages.database.read() as session:
        article = first_article(session, day, "measured")
        organisation = load_organisation(session)
        for login, name, is_there in (
            ("jonas", "measured", True),
            ("tina", "measured", False),
            ("jonas", "offer", False),
        ):
            queues = staff_queue_ids(session, organisation, staff(session, login))
            with nullcontext() if is_there else pytest.raises(NotFound):
                delivery_of_article(session, queues, day.tickets[name], article)


def test_the_original_loads_images_only_once_asked(day: Day) -> None:
    with day.pages.database.read() as session:
        article = first_article(session, day, "measured")
        plain = first_article(session, day, "guest")
    client, url = day.client("jonas"), f"{day.url('measured')}/messages/{article}"
    body = client.get(f"{url}/frame")
    assert "tracker.example" not in body.get_data(as_text=True)
    assert "img-src data:;" in body.headers["Content-Security-Policy"]
    loaded = client.get(f"{url}/frame?images=1")
    assert "tracker.example" in loaded.get_data(as_text=True)
    assert "img-src data: https:;" in loaded.headers["Content-Security-Policy"]
    for answer in (body, loaded):
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "<script" not in answer.get_data(as_text=True)
        assert "onclick" not in answer.get_data(as_text=True)
    assert "/frame?images=1" in page(client, f"{url}?images=1")
    assert "/frame?images=1" not in page(client, url)
    source = page(client, day.url("measured"))
    assert "<b>Messwerte</b>" in source
    assert "tracker.example" not in source
    assert "too complex" in words(page(client, f"{day.url('guest')}/messages/{plain}"))
    page(client, f"{day.url('guest')}/messages/{plain}/frame", 404)


def test_files_are_saved_and_never_run(day: Day) -> None:
    with day.pages.database.read() as session:
        attachment = session.scalars(select(Attachment.id)).first()
    answer = day.client("rolf").get(f"{day.url('offer')}/attachments/{attachment}")
    assert answer.data.startswith(b"%PDF")
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.content_type == "application/octet-stream"
    page(day.client("jonas"), f"{day.url('long')}/attachments/{attachment}", 404)  # not this ticket


PATHS = ("", "/history", "/assign", "/messages/{article}", "/messages/{article}/why",
         "/messages/{article}/raw", "/messages/{article}/frame", "/attachments/{file}",
         "/pictures/{file}", "/merge?number=100003", "/messages/{article}/split")  # fmt: skip
FORMS = {
    "/change": {"queue_id": 1, "state": "closed", "priority": "low", "owner_id": 0, "version": 2},
    "/note": {"text": "ich war hier"},
    "/reply": {"text": "ich war hier", "state": "closed", "seen_article": 99, "cc": "x@y.example"},
    "/merge": {"number": 100003, "version": 2},
    "/link": {"number": 100003},
    "/unlink": {"number": 100003},
    "/assign": {"customer_user": 1, "version": 2},
}


def state_of(day: Day) -> tuple[object, ...]:
    with day.pages.database.read() as session:
        tickets = session.execute(
            select(Ticket.id, Ticket.version, Ticket.state, Ticket.customer_user_id)
        ).all()
        counts = [
            session.scalars(select(func.count()).select_from(model)).one()
            for model in (Article, OutgoingMail, TicketLink, AuditEvent)
        ]
        return (*map(tuple, tickets), *counts)


def test_another_groups_agent_gets_the_same_404_for_everything(day: Day) -> None:
    """Threat W1: Tina asks for everything of a ticket in a queue that she does not work."""
    with day.pages.database.read() as session:
        article = first_article(session, day, "offer")
        file = session.scalars(select(Attachment.id)).first()
    client, before = day.client("tina"), state_of(day)
    missing = page(client, "/staff/tickets/zzzzzzzzzzzzzzzzzzzzzzzzzz", 404)
    for path in PATHS:
        path = path.format(article=article, file=file)
        answer = client.get(f"{day.url('offer')}{path}")
        assert answer.status_code == 404, path
        assert words(answer) == words(missing)
    for path, fields in FORMS.items():
        assert send_anyway(client, f"{day.url('offer')}{path}", **fields).status_code == 404, path
    assert state_of(day) == before


def test_who_may_only_read_changes_nothing(day: Day) -> None:
    client, before = day.client("rolf"), state_of(day)
    source = page(client, day.url("offer"))
    assert "You may read this ticket, but not change it." in words(source)
    assert 'method="post"' not in source.partition("<main")[2].partition("</main>")[0]
    page(client, f"{day.url('offer')}/assign", 403)
    for path, fields in FORMS.items():
        answer = send_anyway(client, f"{day.url('offer')}{path}", **fields)
        assert answer.status_code in (403, 422), path
    assert state_of(day) == before


@pytest.mark.parametrize("login", [None, "anna"])
def test_nobody_else_comes_in(day: Day, login: str | None) -> None:
    client = day.client(login)
    expected = 303 if login is None else 404
    for path in ("/staff/", "/staff/tickets", "/staff/held", "/staff/mails", day.url("offer"),
                 day.held_url("stranger")):  # fmt: skip
        assert client.get(path).status_code == expected, path


def test_markup_in_what_strangers_write_stays_text(day: Day) -> None:
    """Threat A2: what others can write appears on the pages of admins."""
    evil = '"><script>alert(1)</script>'
    raw = (
        f"From: {evil} <x@neumann.example>\r\nReply-To: {evil} <y@x.example>\r\n"
        f"Subject: {evil}\r\nMessage-ID: <{evil}@x>\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        f"{evil}\r\n--b\r\nContent-Type: text/html; name=x\r\n"
        f"Content-Disposition: attachment; filename={evil}\r\n\r\nx\r\n--b--\r\n"
    ).encode()
    for queue in ("technik", "vertrieb"):
        day.pages.add_mail(
            raw.replace(b"@x>", f"{queue}@x>".encode()), "<i>@x.example", f"{queue}@example.org"
        )
    client = day.client("ada")
    sources = [
        page(client, path) for path in ("/staff/", "/staff/tickets", "/staff/held", "/staff/mails")
    ]
    links = {link for source in sources for link in re.findall(r'row-link" href="([^"]+)"', source)}
    assert len(links) > 10
    sources += [page(client, link) for link in links]
    assert any("alert(1)" in source for source in sources)
    assert not any("<script>alert" in source or "<i>@x" in source for source in sources)


def test_a_sender_that_was_not_verified_is_marked(day: Day) -> None:
    with day.pages.database.read() as session:
        assert stored(day, session, "measured").flag is Flag.SENDER_NOT_VERIFIED
