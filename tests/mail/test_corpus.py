"""The corpus of awkward mails: each is read as expected, and none is ever lost."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from core.db import Database
from core.intake.incoming import Envelope, Incoming
from core.intake.pipeline import take_in
from core.mail.message import MAX_TEXT, parse, read_part
from core.models import Article, Attachment, Delivery
from core.words import DecisionKind, HeldState, Protocol
from tests.intake.firm import a_firm
from tests.intake.mails import AT
from tests.mail.corpus import described, expected, names, raw_mail
from tests.mail.storage import is_clean, texts_of

NAMES = names()
ENVELOPE = Envelope("anna@muster.example", ("vertrieb@example.org",), Protocol.SMTP, "192.0.2.1")


def huge_mails() -> dict[str, bytes]:
    """Return the mails that are too large to be kept as files."""
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n)
        for n in range(10_000)
    )
    start = b"From: anna@muster.example\r\nMessage-ID: <%s@muster.example>\r\n"
    parts = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 110_000
    return {
        "ten thousand nested multiparts": start % b"nested" + nested,
        "a hundred and ten thousand parts": start % b"parts" + parts,
        "From with 100 kB of commas": b"Subject: x\r\nFrom: " + b"," * 100_000 + b"\r\n\r\nText",
        "a hundred thousand fields": start % b"fields" + b"X: y\r\n" * 100_000 + b"\r\nText",
        "a field of one megabyte": start % b"field" + b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\n",
        "one line of two megabytes": start % b"line" + b"\r\n" + b"x" * 2_000_000,
        "a text that is cut": start % b"cut" + b"\r\n" + "ä\r\n".encode() * MAX_TEXT,
    }


HUGE = huge_mails()


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_is_read_as_expected(name: str) -> None:
    assert described(parse(raw_mail(name))) == expected(name)


@pytest.mark.parametrize("raw", [*map(raw_mail, NAMES), *HUGE.values()], ids=[*NAMES, *HUGE])
def test_texts_can_be_stored_and_sizes_are_exact(raw: bytes) -> None:
    message = parse(raw)
    assert [text for text in texts_of(message) if not is_clean(text)] == []
    for attachment in message.attachments:
        content = read_part(raw, attachment.part)
        assert (content.filename, content.content_type) == (
            attachment.filename,
            attachment.content_type,
        )
        assert len(content.content) == attachment.size


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ten thousand nested multiparts", "The parts are nested too deeply."),
        ("a hundred and ten thousand parts", "There are too many parts."),
        ("From with 100 kB of commas", "The header block is too long."),
        ("a hundred thousand fields", "The header block is too long."),
        ("a field of one megabyte", "The header block is too long."),
        ("one line of two megabytes", None),
        ("a text that is cut", None),
    ],
)
def test_what_exceeds_a_cap_is_flagged_and_shown_as_it_came(name: str, error: str | None) -> None:
    message = parse(HUGE[name])
    assert message.parse_error == error
    assert len(message.text) <= MAX_TEXT
    if error is not None:
        assert message.text.startswith(HUGE[name][:10].decode())
        assert message.attachments == ()


def test_every_mail_is_filed_or_held_with_its_exact_bytes(database: Database) -> None:
    firm = a_firm(database, sender_policy="open", burst_tickets=10_000)
    mails = [*map(raw_mail, NAMES), *HUGE.values()]
    incoming = [
        Incoming(replace(ENVELOPE, mail_from=f"{number}@x.example"), raw, AT)
        for number, raw in enumerate(mails)
    ]
    with database.write() as session:
        receipts = take_in(session, incoming)
    decisions = {part.decision for receipt in receipts for part in receipt.recipients}
    assert decisions == {DecisionKind.OPEN_TICKET, DecisionKind.HOLD}
    with database.read() as session:
        deliveries = {each.mail.reference: each for each in session.scalars(select(Delivery))}
        for receipt, raw in zip(receipts, mails, strict=True):
            assert (receipt.reply.code, receipt.recipients[0].duplicate) == (250, False)
            delivery = deliveries.pop(receipt.reference)
            assert delivery.mail.raw is not None
            assert delivery.mail.raw.content == raw
            assert (delivery.ticket_id is None) is (delivery.held is HeldState.WAITING)
            assert delivery.reason != "unreadable"  # decided by the rules, not given up
            assert delivery.queue_id == firm.queues["Vertrieb"]
        assert deliveries == {}
        texts = [
            *session.scalars(select(Article.text)),
            *session.scalars(select(Article.subject)),
            *session.scalars(select(Article.from_name)),
            *session.scalars(select(Attachment.filename)),
        ]
        assert [text for text in texts if not is_clean(text)] == []


def test_the_corpus_is_what_it_says() -> None:
    assert len(NAMES) >= 120
    assert b"\r\n" in raw_mail("plain-german")  # the bytes came through version control
    assert b"\r" not in raw_mail("line-ends-lf")
    assert raw_mail("empty") == b""
