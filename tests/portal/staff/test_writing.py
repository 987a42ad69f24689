"""Replies and notes: what goes where, what comes back with everything typed, and who may not."""

from collections.abc import Sequence
from io import BytesIO

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.models import (
    Article,
    BouncingAddress,
    OutgoingMail,
    ReplyTemplate,
    TicketMute,
    now,
)
from core.words import OutgoingKind, OutgoingState, TicketState, Validity
from portal.staff.copies import addresses_in
from tests.portal.staff.asking import hidden, last_event, page, send, words
from tests.portal.staff.day import Day, stored
from tests.support.portal import customer_user

TEXT = "Guten Tag,\n\ndas Ersatzteil ist unterwegs."


def outgoing(session: Session, day: Day, name: str) -> Sequence[OutgoingMail]:
    """Return the mails of replies in a ticket."""
    return session.scalars(
        select(OutgoingMail)
        .where(
            OutgoingMail.ticket_id == stored(day, session, name).id,
            OutgoingMail.kind == OutgoingKind.REPLY,
        )
        .order_by(OutgoingMail.id)
    ).all()


def seen(day: Day, name: str) -> int:
    with day.pages.database.read() as session:
        return max(article.id for article in stored(day, session, name).articles)


def test_a_reply_is_shown_mailed_and_recorded(day: Day) -> None:
    client, url = day.client("jonas"), day.url("offer")
    answer = send(
        client, f"{url}/reply", url, text=TEXT, state="waiting", seen_article=seen(day, "offer"),
        cc='"Lager, Muster" <lager@muster.example>; einkauf@muster.example',
        files=(BytesIO(b"%PDF-1.7 x"), "Lieferschein.pdf"),
    )  # fmt: skip
    assert answer.status_code == 303
    text = words(page(client, url))
    assert "The reply to Anna Müller <anna@muster.example> is on its way." in text
    assert "To Anna Müller <anna@muster.example> Copy to lager@muster.example, einkauf@" in text
    assert text.count("Waiting to be sent") >= 3
    assert "Lieferschein.pdf" in text
    with day.pages.database.read() as session:
        ticket = stored(day, session, "offer")
        assert ticket.state is TicketState.WAITING
        mails = outgoing(session, day, "offer")
        assert [mail.recipient for mail in mails] == [
            "anna@muster.example", "lager@muster.example", "einkauf@muster.example",
        ]  # fmt: skip
        assert last_event(session).action == "replied"
        raw = mails[0].raw
        assert raw is not None
        assert b"Jonas Weber\r\nBeispiel Support" in raw.content.replace(b"=\r\n", b"")
    customers = page(day.pages.client("anna"), f"/tickets/{day.tickets['offer']}")
    assert "das Ersatzteil ist unterwegs." in customers


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"text": ""}, "Message : Please fill this in."),
        ({"text": " \n"}, "Message : Please fill this in."),
        ({"cc": "lager@muster.example, kein-at"}, "Copy to (Cc) : A mail address has one @"),
        ({"cc": "technik@example.org"}, "is an address of our own queues"),
        ({"state": "new"}, "State after sending : Not a valid choice."),
        ({"state": "lost"}, "State after sending : Not a valid choice."),
    ],
)
def test_what_cannot_be_sent_comes_back_as_typed(
    day: Day, fields: dict[str, str], problem: str
) -> None:
    client, url = day.client("jonas"), day.url("offer")
    typed = {"text": TEXT, "cc": "chef@muster.example", "state": "closed", **fields}
    answer = send(client, f"{url}/reply", url, seen_article=seen(day, "offer"), **typed)
    assert answer.status_code == 422
    text, source = words(answer), answer.get_data(as_text=True)
    assert problem in text
    assert "Please choose your files again" in text
    assert f'value="{typed["cc"]}"' in source
    assert ">\r\nGuten Tag," in source or not fields.get("text", TEXT).strip()
    if "state" not in fields:
        assert '<option selected value="closed">' in source.partition('id="reply-state"')[2]
    with day.pages.database.read() as session:
        assert not outgoing(session, day, "offer")


def test_a_reply_that_was_overtaken_is_asked_about(day: Day) -> None:
    client, url, before = day.client("jonas"), day.url("offer"), seen(day, "offer")
    day.pages.add_answer(day.tickets["offer"], "Kommt morgen.", visible=False)
    fields = {"text": TEXT, "cc": "chef@muster.example", "state": "closed"}
    answer = send(client, f"{url}/reply", url, seen_article=before, **fields)
    assert answer.status_code == 409
    source, text = answer.get_data(as_text=True), words(answer)
    assert "While you were writing, a message has come: Jonas Weber, today" in text
    assert f'href="#message-{seen(day, "offer")}"' in source
    assert "das Ersatzteil ist unterwegs." in source.partition('id="reply-text"')[2]
    assert 'value="chef@muster.example"' in source
    with day.pages.database.read() as session:
        assert not outgoing(session, day, "offer")
        assert stored(day, session, "offer").state is TicketState.OPEN
    again = hidden(source, "seen_article")
    assert send(client, f"{url}/reply", url, seen_article=again, **fields).status_code == 303
    with day.pages.database.read() as session:
        assert len(outgoing(session, day, "offer")) == 2


def test_a_template_is_filled_and_put_below_what_is_written(day: Day) -> None:
    with day.pages.database.read() as session:
        template = session.scalars(select(ReplyTemplate.id)).one()
    client, url = day.client("jonas"), day.url("offer")
    fields = {"cc": "chef@muster.example", "seen_article": seen(day, "offer"), "insert": "1"}
    for written in ("", "Guten Morgen!"):
        answer = send(client, f"{url}/reply", url, text=written, template=template, **fields)
        assert answer.status_code == 200
        source = answer.get_data(as_text=True)
        inserted = source.partition('id="reply-text"')[2].partition("</textarea>")[0]
        assert inserted.rpartition(">\r\n")[2].splitlines() == [
            *([written, ""] if written else []),
            "Guten Tag Anna Müller,", "", "welche Nummer steht auf dem Typenschild?", "",
            "Jonas Weber",
        ]  # fmt: skip
        assert 'value="chef@muster.example"' in source
    nothing = send(client, f"{url}/reply", url, text="bleibt", template=4711, **fields)
    assert "bleibt</textarea>" in nothing.get_data(as_text=True)
    with day.pages.database.read() as session:
        assert not outgoing(session, day, "offer")


def test_the_page_says_when_no_mail_goes_out(day: Day) -> None:
    client, url = day.client("jonas"), day.url("offer")
    assert "No mail server is set up for outgoing mail" in words(page(client, url))
    with day.pages.database.write() as session:
        session.add(
            BouncingAddress(
                address_key="anna@muster.example", bounces=3, last_at=now(), last_text="full"
            )
        )
    bounced = words(page(client, url))
    assert "Mail to this address keeps coming back (3 times): full" in bounced
    with day.pages.database.write() as session:
        ticket = stored(day, session, "offer")
        assert ticket.customer_user_id is not None
        session.add(TicketMute(customer_user_id=ticket.customer_user_id, ticket_id=ticket.id))
    muted = page(client, url)
    assert "The customer has muted this ticket" in words(muted)
    assert 'name="cc"' not in muted
    answer = send(
        client, f"{url}/reply", url, text=TEXT, state="waiting", seen_article=seen(day, "offer")
    )
    assert answer.status_code == 303
    assert "no mail was sent" in words(page(client, url))
    with day.pages.database.write() as session:
        assert not outgoing(session, day, "offer")
        customer_user(session, "anna").notices = False
    assert "The customer wants no mail" in words(page(client, day.url("long")))


def test_nobody_answers_an_invalid_account(day: Day) -> None:
    with day.pages.database.write() as session:
        customer_user(session, "anna").valid = Validity.INVALID
    client, url = day.client("jonas"), day.url("offer")
    source = page(client, url)
    assert "The account is invalid: nobody can be answered." in words(source)
    assert "Send to the customer" not in source
    fields = {"text": TEXT, "state": "waiting", "seen_article": seen(day, "offer")}
    answer = send(client, f"{url}/reply", url, **fields)
    assert answer.status_code == 422
    with day.pages.database.read() as session:
        assert not outgoing(session, day, "offer")


def test_a_note_has_files_and_its_form_comes_back_open(day: Day) -> None:
    client, url = day.client("jonas"), day.url("offer")
    refused = send(client, f"{url}/note", url, text=" ").get_data(as_text=True)
    assert 'id="write-note" autocomplete="off" checked' in refused
    assert 'id="write-reply" autocomplete="off" checked' in page(client, url)
    files = (BytesIO(b"Protokoll"), "Telefonat.txt")
    assert send(client, f"{url}/note", url, text="Siehe Datei", files=files).status_code == 303
    with day.pages.database.read() as session:
        note = stored(day, session, "offer").articles[-1]
        (file,) = note.attachments
        assert (note.visible, note.text, file.filename) == (False, "Siehe Datei", "Telefonat.txt")
        file_id = file.id
    assert client.get(f"{url}/attachments/{file_id}").data == b"Protokoll"
    anna = day.pages.client("anna")
    page(anna, f"/tickets/{day.tickets['offer']}/attachments/{file_id}", 404)


def test_what_no_person_wrote_is_folded_and_told_in_words(day: Day) -> None:
    source = page(day.client("jonas"), day.url("closed"))
    report = source.partition("Undelivered Mail Returned to Sender")[0].rpartition("<article")[2]
    assert "is-folded" in report
    assert "Delivery report" in report
    assert "<details" in report
    text = words(source)
    assert "Came back carol@acme.example failed 5.2.2 (mailbox full)" in text
    assert "Not sent werkstatt@acme.example 550 5.1.1" in text


def test_one_writes_at_the_end_of_a_conversation_only(day: Day) -> None:
    source = page(day.client("jonas"), f"{day.url('offer')}?before={seen(day, 'offer')}")
    assert "Send to the customer" not in source
    assert "To the newest messages, to write" in source


@pytest.mark.parametrize(
    ("typed", "addresses"),
    [
        ("", ()),
        ("a@x.de, b@x.de;c@x.de\nd@x.de", ("a@x.de", "b@x.de", "c@x.de", "d@x.de")),
        ('"Müller, Anna" <a@x.de>, Bert <b@x.de>', ("a@x.de", "b@x.de")),
        ("a@x.de <b@x.de", ("a@x.de <b@x.de",)),  # left for core to refuse
        ('"offen, a@x.de', ('"offen', "a@x.de")),
    ],
)
def test_copies_are_read_as_people_type_them(typed: str, addresses: tuple[str, ...]) -> None:
    assert addresses_in(typed) == addresses


def test_a_mail_that_waits_is_no_reason_to_write_twice(day: Day) -> None:
    """The same form sent twice is noticed: the first reply is newer than what was seen."""
    client, url = day.client("jonas"), day.url("offer")
    fields = {"text": TEXT, "state": "waiting", "seen_article": seen(day, "offer")}
    assert send(client, f"{url}/reply", url, **fields).status_code == 303
    assert send(client, f"{url}/reply", url, **fields).status_code == 409
    with day.pages.database.read() as session:
        (mail,) = outgoing(session, day, "offer")
        assert mail.state is OutgoingState.WAITING
        written = select(func.count()).select_from(Article).where(Article.text == TEXT)
        assert session.scalars(written).one() == 1
