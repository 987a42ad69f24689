"""What staff write to a customer: who may, who gets it, what the mail says, what the ticket is."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, SchalterError
from core.intake import submission
from core.intake.pipeline import take_in
from core.mail.message import parse
from core.mail.tokens import TokenKind, read_token, token_in_message_id
from core.mail.uploads import Upload
from core.models import (
    Article,
    AuditEvent,
    CustomerUser,
    OutgoingMail,
    Queue,
    RawMail,
    Setting,
    Ticket,
    TicketMute,
)
from core.outgoing.installation import Installation
from core.tickets.lists import StaffFilter, StateFilter, staff_tickets
from core.tickets.notes import add_note
from core.tickets.reply import MAX_CC, NewerArticle, ReplyValues, addressee, reply
from core.tickets.view import (
    attachment_for_customer,
    attachment_for_staff,
    conversation,
    outgoing_of,
    raw_for_customer,
    raw_for_staff,
    ticket_for_staff,
)
from core.tickets.writing import MAX_WRITTEN
from core.words import Author, Flag, OutgoingKind, OutgoingState, TicketState, Validity
from tests.intake.mails import a_mail
from tests.tickets.statements import watched
from tests.tickets.world import SECRET, World, a_world

PDF = Upload("Angebot Größe 5.pdf", "application/pdf", b"%PDF-1.7 \x00\xff" * 50)
HTML = Upload("../x/seite.html", "text/html; charset=utf-8", b"<script>alert(1)</script>")


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def answer(
    session: Session,
    world: World,
    installation: Installation,
    login: str = "jonas",
    name: str = "anna-sales",
    **values: Any,
) -> Article:
    """Let a member of staff who has read everything answer a ticket."""
    staff, ticket = world.staff(session, login), world.ticket(session, name)
    newest = conversation(session, ticket, internal=True).newest
    asked = ReplyValues(**{"text": "Kommt morgen.", "seen_article": newest, **values})
    actor = audit.staff_actor(staff, "192.0.2.7")
    return reply(session, installation, actor, staff, ticket.public_id, asked)


def sent(session: Session, article: Article) -> list[OutgoingMail]:
    statement = select(OutgoingMail).where(OutgoingMail.article_id == article.id)
    return list(session.scalars(statement.order_by(OutgoingMail.id)))


def replies(session: Session) -> list[OutgoingMail]:
    statement = select(OutgoingMail).where(OutgoingMail.kind == OutgoingKind.REPLY)
    return list(session.scalars(statement))


def message_text(session: Session, article: Article) -> str:
    assert article.raw_id is not None
    return parse(session.get_one(RawMail, article.raw_id).content).text


def test_the_article_and_its_mail(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        article = answer(session, world, installation, cc=("Bert@Muster.example",))
        assert (article.author, article.visible, article.channel) == (Author.STAFF, True, None)
        assert (article.from_address, article.staff_id) == (
            "Vertrieb@example.org",
            world.firm.staff["jonas"],
        )
        assert article.sent_to == "Anna Test <anna@muster.example>"
        assert article.sent_cc == "Bert@muster.example"
        rows = sent(session, article)
        assert [row.recipient for row in rows] == ["anna@muster.example", "Bert@muster.example"]
        assert {(row.kind, row.state) for row in rows} == {
            (OutgoingKind.REPLY, OutgoingState.WAITING)
        }
        assert {row.raw_id for row in rows} == {article.raw_id}
        assert {row.language for row in rows} == {"de"}
        assert {row.customer_user_id for row in rows} == {world.firm.customer_users["anna"]}
        ticket = world.ticket(session, "anna-sales")
        assert {(row.queue_id, row.ticket_id) for row in rows} == {(ticket.queue_id, ticket.id)}

        message = parse(session.get_one(RawMail, article.raw_id).content)
        assert message.subject == f"[Ticket#{ticket.number}] Angebot"
        assert message.from_.address == "Vertrieb@example.org"
        assert message.to == ('"Anna Test" <anna@muster.example>',)
        assert message.cc == ("Bert@muster.example",)
        assert (message.in_reply_to, message.references) == (("<1@x>",), ("<1@x>",))
        assert "Kommt morgen." in message.text
        assert f"https://help.example/tickets/{ticket.public_id}" in message.text
        assert message.header_values("list-unsubscribe") == []  # the copy's reader has no say
        keys = installation.keys.ring.believed(article.created_at.date())
        token = token_in_message_id(keys, message.message_id)
        assert token is not None
        assert token.ticket_id == ticket.id
        local, _plus, tag = message.reply_to.partition("@")[0].partition("+")
        in_address = read_token(keys, tag)
        assert local == "Vertrieb"
        assert in_address is not None
        assert (in_address.kind, in_address.ticket_id) == (TokenKind.THREAD, ticket.id)


def test_what_becomes_of_the_ticket(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        before = world.ticket(session, "anna-sales")
        version, changed_at = before.version, before.changed_at
        article = answer(session, world, installation)
        ticket = world.ticket(session, "anna-sales")
        assert (ticket.state, ticket.waiting_since) == (TicketState.WAITING, None)
        assert (ticket.version, ticket.changed_at > changed_at) == (version + 1, True)
        assert ticket.owner_id == world.firm.staff["jonas"]
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.action, event.actor_name, event.peer) == ("replied", "jonas", "192.0.2.7")
        assert event.before == {"state": "new", "owner_id": None}
        assert event.after == {
            "article": article.id,
            "to": article.sent_to,
            "cc": "",
            "state": "waiting",
            "owner_id": "jonas",
        }
        assert answer(session, world, installation, "root").id > article.id
        assert world.ticket(session, "anna-sales").owner_id == world.firm.staff["jonas"]


def test_who_alone_gets_the_mail_can_mute_it(
    sqlite_database: Database, installation: Installation
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        article = answer(session, world, installation)
        message = parse(session.get_one(RawMail, article.raw_id).content)
    (link,) = message.header_values("list-unsubscribe")
    assert link.startswith("<https://help.example/mute/")


STATES: list[tuple[TicketState, TicketState | None, TicketState]] = [
    # before, asked for -> after
    (TicketState.NEW, TicketState.WAITING, TicketState.WAITING),
    (TicketState.NEW, TicketState.OPEN, TicketState.OPEN),
    (TicketState.NEW, None, TicketState.OPEN),
    (TicketState.WAITING, None, TicketState.WAITING),
    (TicketState.OPEN, TicketState.CLOSED, TicketState.CLOSED),
    (TicketState.CLOSED, None, TicketState.CLOSED),
    (TicketState.CLOSED, TicketState.WAITING, TicketState.WAITING),
]


@pytest.mark.parametrize(("before", "asked", "after"), STATES)
def test_the_state_after_sending(
    sqlite_database: Database,
    installation: Installation,
    before: TicketState,
    asked: TicketState | None,
    after: TicketState,
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        world.ticket(session, "anna-sales").state = before
        session.flush()
        answer(session, world, installation, state=asked)
        ticket = world.ticket(session, "anna-sales")
        assert (ticket.state, ticket.waiting_since) == (after, None)


def test_a_ticket_that_is_answered_cannot_be_new(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session, pytest.raises(Invalid) as caught:
        answer(session, world, installation, state=TicketState.NEW)
    assert caught.value.field == "state"


def test_nobody_answers_what_they_have_not_read(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        read = conversation(session, ticket, internal=True).newest
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        take_in(session, [submission.reply(anna, ticket, "Hat sich erledigt")])
        with pytest.raises(NewerArticle):
            answer(session, world, installation, seen_article=read)
        assert replies(session) == []
        assert answer(session, world, installation).visible


WHO: list[tuple[str, str, type[SchalterError] | None]] = [
    ("jonas", "anna-sales", None),
    ("root", "anna-support", None),
    ("tina", "anna-sales", Forbidden),  # reads only
    ("jonas", "anna-support", NotFound),
]


@pytest.mark.parametrize(("login", "name", "error"), WHO)
def test_who_may_answer(
    database: Database,
    world: World,
    installation: Installation,
    login: str,
    name: str,
    error: type[SchalterError] | None,
) -> None:
    with database.write() as session:
        if error is None:
            assert answer(session, world, installation, login, name).sent_to
            return
        with pytest.raises(error):
            answer(session, world, installation, login, name)


TOO_MUCH: list[tuple[str, dict[str, Any], str]] = [
    ("no text", {"text": " \r\n\0"}, "text"),
    ("a long text", {"text": "x" * (MAX_WRITTEN + 1)}, "text"),
    ("no address", {"cc": ("anna",)}, "cc"),
    ("an address with a name", {"cc": ("Anna <anna@muster.example>",)}, "cc"),
    ("two in one", {"cc": ("a@x.example, b@x.example",)}, "cc"),
    ("a further field", {"cc": ("a@x.example\r\nBcc: b@x.example",)}, "cc"),
    ("our own queue", {"cc": ("vertrieb@EXAMPLE.org",)}, "cc"),
    ("our own queue with a tag", {"cc": ("technik+x@example.org",)}, "cc"),
    ("too many copies", {"cc": tuple(f"a{n}@x.example" for n in range(MAX_CC + 1))}, "cc"),
    ("too many files", {"uploads": (PDF,) * 3}, "files"),
    ("too big files", {"uploads": (PDF._replace(content=b"x" * 1001),)}, "files"),
]


@pytest.mark.parametrize(("values", "field"), [row[1:] for row in TOO_MUCH])
def test_what_cannot_be_sent(
    sqlite_database: Database, installation: Installation, values: dict[str, Any], field: str
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        session.add_all(
            [Setting(key="upload_max_files", value=2), Setting(key="upload_max_bytes", value=1000)]
        )
        session.flush()
        articles = len(world.articles(session, "anna-sales"))
        with pytest.raises(Invalid) as caught:
            answer(session, world, installation, **values)
        assert caught.value.field == field
        session.expire_all()
        assert len(world.articles(session, "anna-sales")) == articles
        assert replies(session) == []


def test_a_copy_goes_out_once_and_not_to_who_gets_the_mail(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        copies = ("x@y.example", "X@Y.example", " ", "ANNA@muster.example")
        article = answer(session, world, installation, cc=copies)
        assert article.sent_cc == "x@y.example"
        assert len(sent(session, article)) == 2


@pytest.mark.parametrize("wanted", ["yes", "muted", "no notices"])
def test_files_can_be_downloaded(
    database: Database, world: World, installation: Installation, wanted: str
) -> None:
    """Also when no mail goes out; from the customer's side as from ours; never as a web page."""
    with database.write() as session:
        _set_wish(session, world, wanted)
        article = answer(session, world, installation, uploads=(PDF, HTML))
        assert bool(sent(session, article)) is (wanted == "yes")
    with database.read() as session:
        (_note, answered) = world.articles(session, "anna-sales")[-2:]
        assert [file.filename for file in answered.attachments] == [PDF.filename, "seite.html"]
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        public_id = world.tickets["anna-sales"]
        for attachment, upload in zip(answered.attachments, (PDF, HTML), strict=True):
            for found in (
                attachment_for_customer(session, access, public_id, attachment.id),
                attachment_for_staff(session, queues, public_id, attachment.id),
            ):
                assert found.content == upload.content
                assert found.served_as == "application/octet-stream"
            assert attachment.size == len(upload.content)
        assert raw_for_staff(session, queues, public_id, answered.id).content.count(b"base64") == 2
        with pytest.raises(NotFound):
            raw_for_customer(session, access, public_id, answered.id)
        carol = world.access(session, "carol")
        with pytest.raises(NotFound):
            attachment_for_customer(session, carol, public_id, answered.attachments[0].id)


@pytest.mark.parametrize("wish", ["muted", "no notices"])
def test_a_customer_who_wants_no_mail_reads_it_in_the_portal(
    database: Database, world: World, installation: Installation, wish: str
) -> None:
    with database.write() as session:
        _set_wish(session, world, wish)
        to = addressee(session, world.ticket(session, "anna-sales"))
        assert (to.muted, to.no_notices) == (wish == "muted", wish == "no notices")
        article = answer(session, world, installation)
        assert (article.visible, article.sent_to, article.raw_id) == (True, "", None)
        assert sent(session, article) == []
        with pytest.raises(Invalid) as caught:
            answer(session, world, installation, cc=("x@y.example",))
        assert caught.value.field == "cc"
        assert addressee(session, world.ticket(session, "anna-support")).muted is False


def _set_wish(session: Session, world: World, wish: str) -> None:
    anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
    if wish == "muted":
        ticket = world.ticket(session, "anna-sales")
        session.add(TicketMute(customer_user_id=anna.id, ticket_id=ticket.id))
    anna.notices = wish != "no notices"
    session.flush()


STRANGERS: list[tuple[str, Flag | None, bool]] = [
    # requester, flag -> whether they can be answered
    ("fritz@else.example", Flag.STRANGER, True),
    ("fritz@else.example", Flag.SENDER_NOT_VERIFIED, True),  # a person decides, not a machine
    ("", None, False),
    ("kein-at", None, False),
    ("a@b@c", None, False),
    ("vertrieb@example.org", None, False),  # a loop
    ("Technik+K-1000@example.org", None, False),
]


@pytest.mark.parametrize(("requester", "flag", "can_be"), STRANGERS)
def test_a_ticket_without_account(
    sqlite_database: Database,
    installation: Installation,
    requester: str,
    flag: Flag | None,
    can_be: bool,
) -> None:
    world = a_world(sqlite_database)
    with sqlite_database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        ticket.customer_user_id = ticket.customer_id = None
        ticket.requester, ticket.flag = requester, flag
        session.flush()
        session.expire(ticket)
        to = addressee(session, ticket)
        assert (to.mailbox is not None, bool(to.problem)) == (can_be, not can_be)
        if not can_be:
            with pytest.raises(Forbidden):
                answer(session, world, installation)
            return
        article = answer(session, world, installation)
        (row,) = sent(session, article)
        assert (row.recipient, row.customer_user_id) == (requester, None)
        message = parse(session.get_one(RawMail, article.raw_id or 0).content)
        assert message.header_values("list-unsubscribe") == []
        assert "https://" not in message.text


def test_an_invalid_account_gets_no_answer(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        anna.valid = Validity.INVALID
        session.flush()
        with pytest.raises(Forbidden):
            answer(session, world, installation)


def test_a_merged_ticket_is_not_answered(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        target = world.ticket(session, "bert-sales")
        world.ticket(session, "anna-sales").merged_into_id = target.id
        session.flush()
        with pytest.raises(Forbidden, match=str(target.number)):
            answer(session, world, installation)


def test_what_stands_around_the_text(
    database: Database, world: World, installation: Installation
) -> None:
    """The signature, and the page for who may open it, in the language of who gets the mail."""
    with database.write() as session:
        queue = session.get_one(Queue, world.firm.queues["Vertrieb"])
        queue.signature = "{staff_name}\n{organisation} {queue} {unbekannt}"
        jonas = world.staff(session, "jonas")
        jonas.first_name, jonas.last_name = "Jonas", "{subject}"  # filled once, not twice
        session.flush()
        session.expire_all()
        text = message_text(session, answer(session, world, installation, text="Hallo {subject}"))
        assert text.startswith("Hallo {subject}\n\nDieses Ticket im Portal: https://help.example/")
        assert text.rstrip().endswith("-- \nJonas {subject}\nSchalter Vertrieb {unbekannt}")
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        anna.language = "en"
        session.flush()
        article = answer(session, world, installation)
        assert "This ticket in the portal: https://" in message_text(session, article)
        assert sent(session, article)[0].language == "en"
        ticket = world.ticket(session, "anna-sales")
        ticket.queue_id = world.firm.queues["Rechnung"]  # closed to Anna
        session.flush()
        article = answer(session, world, installation, "root")
        assert "https://" not in message_text(session, article)


def test_threads_hold_in_mail_programs(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        anna = session.get_one(CustomerUser, world.firm.customer_users["anna"])
        first = sent(session, answer(session, world, installation))[0]
        take_in(session, [submission.reply(anna, ticket, "Aus dem Portal")])
        again = answer(session, world, installation)
        assert again.raw_id is not None
        message = parse(session.get_one(RawMail, again.raw_id).content)
        assert message.in_reply_to == ("<1@x>",)
        assert message.references == ("<1@x>", first.message_id)  # nobody has the portal's id
        second = sent(session, again)[0]
        take_in(session, [a_mail(message_id="<9@x>", subject="Neu")])
        newest = session.scalars(select(Article).order_by(Article.id.desc())).first()
        assert newest is not None
        session.execute(update(Article).where(Article.id == newest.id).values(ticket_id=ticket.id))
        third = answer(session, world, installation)
        message = parse(session.get_one(RawMail, third.raw_id or 0).content)
        assert message.in_reply_to == ("<9@x>",)
        expected = ("<1@x>", first.message_id, second.message_id, "<9@x>")
        assert sorted(message.references) == sorted(expected)


def test_internal_mails_are_not_named_in_the_thread(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        article = world.articles(session, "anna-sales")[0]
        article.visible = False
        session.flush()
        answered = answer(session, world, installation)
        message = parse(session.get_one(RawMail, answered.raw_id or 0).content)
        assert (message.in_reply_to, message.references) == ((), ())


def test_an_answer_can_be_found(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        answer(session, world, installation, text="Quittenmarmelade ist aus")
    with database.read() as session:
        wanted = StaffFilter(state=StateFilter.ALL, query="quittenmarmelade")
        found = staff_tickets(session, world.queues(session, "jonas"), wanted)
        assert [t.public_id for t in found.page.items] == [world.tickets["anna-sales"]]


def test_a_note_with_files_is_for_staff_only(database: Database, world: World) -> None:
    with database.write() as session:
        jonas, public_id = world.staff(session, "jonas"), world.tickets["anna-sales"]
        actor = audit.staff_actor(jonas)
        note = add_note(session, actor, jonas, public_id, f"{SECRET} im Anhang", [PDF])
        (attachment,) = note.attachments
        queues, access = world.queues(session, "tina"), world.access(session, "anna")
        found = attachment_for_staff(session, queues, public_id, attachment.id)
        assert found.content == PDF.content
        with pytest.raises(NotFound):
            attachment_for_customer(session, access, public_id, attachment.id)
        assert replies(session) == []


def test_what_went_out_comes_with_one_query(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        written = [
            answer(session, world, installation, cc=("x@y.example",)).id for _number in range(3)
        ]
    with database.read() as session:
        ticket = ticket_for_staff(
            session, world.queues(session, "jonas"), world.tickets["anna-sales"]
        )
        with watched(database) as statements:
            found = outgoing_of(session, ticket)
        assert len(statements) == 1
        shown = {id_: [mail.recipient for mail in found[id_]] for id_ in written}
        assert shown == {id_: ["anna@muster.example", "x@y.example"] for id_ in written}


def test_the_number_of_statements_does_not_grow(
    database: Database, world: World, installation: Installation
) -> None:
    """Neither with the answers that are there already, nor with copies and files."""
    counts = []
    for values in ({}, {}, {"cc": ("a@x.example", "b@x.example"), "uploads": (PDF, PDF, PDF)}):
        with database.write() as session, watched(database) as statements:
            answer(session, world, installation, **values)
        counts.append(len(statements))
    assert counts[1] <= counts[0]
    assert counts[2] <= counts[0] + 1, "files are stored with one statement"


def test_two_answers_at_once_name_one_conversation(
    database: Database, world: World, installation: Installation
) -> None:
    """The second of two who read the same is told: the first one's answer is news to them."""
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        read = conversation(session, ticket, internal=True).newest
        values = ReplyValues(text="Ja", seen_article=read)
        root = world.staff(session, "root")
        actor = audit.staff_actor(root)
        reply(session, installation, actor, root, ticket.public_id, values)
        other = replace(values, text="Nein")
        with pytest.raises(NewerArticle):
            reply(session, installation, actor, root, ticket.public_id, other)
        assert session.get_one(Ticket, ticket.id).state is TicketState.WAITING
