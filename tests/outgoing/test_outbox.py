"""The outbox: a message is stored once, with a row for each recipient, or not at all."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.db import Database
from core.i18n import set_language
from core.mail.message import parse
from core.mail.tokens import Token, TokenKind, make_token, read_token, token_in_message_id
from core.mail.uploads import Upload
from core.models import OutgoingMail, RawMail, Ticket, now
from core.organisation import load_organisation
from core.outgoing.compose import Mailbox
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import (
    Posted,
    Posting,
    bounce_address,
    letter_of,
    post,
    recipients_shown,
)
from core.secret_key import Keys, ensure_secret_key, rotate_secret_key
from core.words import OutgoingKind, OutgoingState, TicketState
from tests.intake.firm import a_firm

ANNA = Mailbox("anna@muster.example", "Anna Muster")
BERT = Mailbox("bert@muster.example", "Müller, Bert")
CAROL = Mailbox("carol@bücher.example")
POSTING = Posting(
    kind=OutgoingKind.REPLY,
    sender=Mailbox("technik@example.org", "Beispiel Technik"),
    to=(ANNA,),
    subject="[Ticket#100001] Drucker",
    text="Guten Tag\n",
)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation with a key of its own."""
    path = str(tmp_path / "secret.key")
    ensure_secret_key(path)
    return Installation(Keys(path), "https://hilfe.example.org/support", "mx.example.org")


def a_ticket(database: Database) -> int:
    """Store a ticket and return its id."""
    firm = a_firm(database)
    with database.write() as session:
        ticket = Ticket(
            public_id="0" * 22,
            queue_id=firm.queues["Technik"],
            subject="Drucker",
            state=TicketState.OPEN,
            requester=ANNA.address,
            created_at=now(),
            changed_at=now(),
        )
        session.add(ticket)
        session.flush()  # the id is what the caller wants
        return ticket.id


def posted(
    database: Database, installation: Installation, posting: Posting = POSTING
) -> tuple[Posted, Sequence[OutgoingMail], bytes]:
    """Post a message; return what post says, the rows and the bytes that are stored."""
    with database.write() as session:
        told = post(session, installation, posting)
    with database.read() as session:
        rows = session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)).all()
        return told, rows, session.get_one(RawMail, told.raw_id).content


def token_of(address: str, installation: Installation) -> Token | None:
    """Return the token in the sub-address of an address."""
    text = address.partition("@")[0].partition("+")[2]
    return read_token([installation.keys.ring.current], text)


def test_a_message_is_stored_once_with_a_row_for_each_recipient(
    database: Database, installation: Installation
) -> None:
    ticket_id = a_ticket(database)
    posting = replace(POSTING, to=(ANNA, BERT), cc=(CAROL,), ticket_id=ticket_id)
    before = now()
    told, rows, raw = posted(database, installation, posting)
    assert told.outgoing_ids == tuple(row.id for row in rows)
    assert [row.recipient for row in rows] == [
        *("anna@muster.example", "bert@muster.example", "carol@xn--bcher-kva.example")
    ]
    assert [row.recipient_key for row in rows] == [row.recipient for row in rows]
    for row in rows:
        assert (row.raw_id, row.message_id) == (told.raw_id, told.message_id)
        assert (row.state, row.kind, row.attempts) == (OutgoingState.WAITING, OutgoingKind.REPLY, 0)
        assert (row.ticket_id, row.subject) == (ticket_id, posting.subject)
        assert before <= row.created_at == row.next_try_at <= now()
        assert (row.settled_at, row.leased_until, row.reply, row.bounce) == (None, None, "", "")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(RawMail)) == 1
    message = parse(raw)
    assert message.to == (
        '"Anna Muster" <anna@muster.example>, Müller, Bert <bert@muster.example>',
    )
    assert message.cc == ("carol@xn--bcher-kva.example",)
    assert (message.subject, message.message_id) == (posting.subject, told.message_id)
    assert not message.is_automatic


def test_tokens_name_the_ticket_and_the_mail(
    database: Database, installation: Installation
) -> None:
    ticket_id = a_ticket(database)
    told, rows, raw = posted(
        database, installation, replace(POSTING, to=(ANNA, BERT), ticket_id=ticket_id)
    )
    key = installation.keys.ring.current
    thread = Token(TokenKind.THREAD, ticket_id, told.outgoing_ids[0])
    assert token_in_message_id([key], told.message_id) == thread
    assert told.message_id == f"<{make_token(key, thread)}@example.org>"
    reply_to = parse(raw).reply_to
    assert reply_to == f"technik+{make_token(key, thread)}@example.org"
    assert [token_of(row.mail_from, installation) for row in rows] == [
        Token(TokenKind.BOUNCE, ticket_id, row.id) for row in rows
    ]
    assert {row.mail_from.partition("+")[0] for row in rows} == {"technik"}
    assert {row.mail_from.partition("@")[2] for row in rows} == {"example.org"}


def test_a_message_without_a_ticket_has_no_reply_address(
    sqlite_database: Database, installation: Installation
) -> None:
    told, rows, raw = posted(sqlite_database, installation)
    assert parse(raw).reply_to == ""
    assert token_of(rows[0].mail_from, installation) == Token(
        TokenKind.BOUNCE, 0, told.outgoing_ids[0]
    )


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("technik@example.org", True),
        ("x" * 30 + "@example.org", True),
        ("x" * 31 + "@example.org", False),
        ("x" * 64 + "@example.org", False),
        ("ü" * 15 + "@example.org", True),  # octets count
        ("ü" * 16 + "@example.org", False),
        ("technik@" + ".".join(["x" * 49] * 4) + ".example.org", True),
        ("technik@" + ".".join(["x" * 50] * 4) + ".yy.example.org", False),
        ("technik@bücher.example", True),
    ],
)
def test_an_address_with_a_token_is_never_too_long(
    sqlite_database: Database, installation: Installation, address: str, fits: bool
) -> None:
    ticket_id = a_ticket(sqlite_database)
    posting = replace(POSTING, sender=Mailbox(address), ticket_id=ticket_id)
    told, rows, raw = posted(sqlite_database, installation, posting)
    for found in (rows[0].mail_from, parse(raw).reply_to):
        local, _at, domain = found.rpartition("@")
        assert len(local.encode()) <= 64
        assert len(found) <= 254
        assert domain.isascii()
        assert (token_of(found, installation) is not None) is fits
        assert local.partition("+")[0] == address.partition("@")[0]
    # The Message-ID carries the token in any case.
    key = installation.keys.ring.current
    assert token_in_message_id([key], told.message_id) is not None


def test_automatic_mail_has_the_null_reverse_path(
    sqlite_database: Database, installation: Installation
) -> None:
    posting = replace(POSTING, kind=OutgoingKind.RECEIVED, automatic="auto-replied")
    _told, rows, raw = posted(sqlite_database, installation, posting)
    assert rows[0].mail_from == ""
    assert parse(raw).header_values("Auto-Submitted") == ["auto-replied"]
    # What is sent on our own accord may come back to us: only an answer must not.
    assert bounce_address(installation, replace(POSTING, automatic="auto-generated"), 7)


def test_a_muting_link_names_ticket_and_mail(
    database: Database, installation: Installation
) -> None:
    ticket_id = a_ticket(database)
    posting = replace(POSTING, kind=OutgoingKind.NOTICE, ticket_id=ticket_id, mute=True)
    told, _rows, raw = posted(database, installation, posting)
    link = parse(raw).header_values("List-Unsubscribe")[0].strip("<>")
    start, _slash, text = link.rpartition("/")
    assert start == "https://hilfe.example.org/support/mute"
    token = Token(TokenKind.MUTE, ticket_id, told.outgoing_ids[0])
    assert read_token([installation.keys.ring.current], text) == token


def test_each_address_gets_the_message_once(
    sqlite_database: Database, installation: Installation
) -> None:
    again = Mailbox("ANNA@Muster.example", "Noch einmal")
    posting = replace(POSTING, to=(ANNA, BERT), cc=(again, BERT))
    _told, rows, _raw = posted(sqlite_database, installation, posting)
    assert [row.recipient_key for row in rows] == ["anna@muster.example", "bert@muster.example"]


def test_two_messages_have_nothing_in_common(
    database: Database, installation: Installation
) -> None:
    with database.write() as session:
        first = post(session, installation, replace(POSTING, to=(ANNA, BERT)))
        second = post(session, installation, POSTING)
    assert not set(first.outgoing_ids) & set(second.outgoing_ids)
    assert first.raw_id != second.raw_id
    assert first.message_id != second.message_id


def test_a_transaction_that_fails_leaves_nothing(
    database: Database, installation: Installation
) -> None:
    with pytest.raises(RuntimeError), database.write() as session:  # noqa: PT012 - all of it
        post(session, installation, replace(POSTING, to=(ANNA, BERT)))
        raise RuntimeError("what caused the mail has failed")
    assert is_empty(database)


@pytest.mark.parametrize(
    "change",
    [
        {"to": ()},
        {"to": (), "cc": (ANNA,)},
        {"to": (ANNA, Mailbox("nobody"))},
        {"cc": (Mailbox("x@y.example\r\nBcc: z@y.example"),)},
        {"sender": Mailbox("technik")},
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_stored(
    sqlite_database: Database, installation: Installation, change: dict[str, object]
) -> None:
    with sqlite_database.write() as session, pytest.raises(ValueError):
        post(session, installation, replace(POSTING, **change))
    assert is_empty(sqlite_database)


def is_empty(database: Database) -> bool:
    """Whether nothing is stored that is going out."""
    with database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(each))
            for each in (OutgoingMail, RawMail)
        ]
    return counts == [0, 0]


def test_what_comes_from_outside_can_be_stored(
    database: Database, installation: Installation
) -> None:
    posting = replace(
        POSTING,
        subject="a\0b\r\nBcc: x@y.example \u202e" + "ü" * 1000,
        text="\0\ud800\r\n.",
        uploads=(Upload("\0.pdf", "a/b", b"\0" * 100_000),),
    )
    _told, rows, raw = posted(database, installation, posting)
    assert rows[0].subject == ("ab Bcc: x@y.example " + "ü" * 1000)[:500]
    assert parse(raw).attachments[0].size == 100_000


def test_a_big_message_is_stored_byte_for_byte(
    database: Database, installation: Installation
) -> None:
    content = bytes(range(256)) * 20_000
    _told, _rows, raw = posted(
        database, installation, replace(POSTING, uploads=(Upload("a.bin", "", content),))
    )
    assert parse(raw).attachments[0].size == len(content)


def test_the_language_is_remembered(sqlite_database: Database, installation: Installation) -> None:
    set_language("de")
    _told, rows, _raw = posted(sqlite_database, installation)
    assert rows[0].language == "de"


def test_new_mail_is_signed_with_the_new_key(installation: Installation, tmp_path: Path) -> None:
    at = now()
    before = letter_of(installation, POSTING, 7, at)
    rotate_secret_key(str(tmp_path / "secret.key"), at.date())
    after = letter_of(installation, POSTING, 7, at)
    ring = installation.keys.ring
    assert token_in_message_id([ring.current], before.message_id) is None
    assert token_in_message_id([ring.current], after.message_id) is not None
    later = at.date() + timedelta(days=700)
    assert token_in_message_id(ring.believed(later), before.message_id) is not None


def test_whom_mail_is_from(sqlite_database: Database, installation: Installation) -> None:
    firm = a_firm(sqlite_database, organisation_name="Beispiel")
    with sqlite_database.read() as session:
        organisation = load_organisation(session)
    queue = sender_of(organisation, installation, firm.queues["Technik"])
    assert queue == ("Technik@example.org", "Beispiel Technik")
    assert sender_of(organisation, installation, None) == ("schalter@mx.example.org", "Beispiel")
    assert sender_of(organisation, installation, 4711) == ("schalter@mx.example.org", "Beispiel")
    settings = organisation.settings.model_copy(update={"sender_address": "service@example.org"})
    own = replace(organisation, settings=settings)
    assert sender_of(own, installation, None) == ("service@example.org", "Beispiel")


def test_recipients_as_a_page_shows_them() -> None:
    shown = recipients_shown((ANNA, CAROL))
    assert shown == "Anna Muster <anna@muster.example>, carol@bücher.example"
    assert recipients_shown(()) == ""
