"""Composing: what was intended stands in the message, for every reader, and nothing else does."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.message import parse, read_part
from core.mail.text import clean_text, one_line
from core.mail.uploads import Upload
from core.outgoing.compose import (
    MAX_REFERENCES,
    MAX_SUBJECT,
    Letter,
    Mailbox,
    NotComposed,
    _check,
    compose,
    needs_smtputf8,
    subject_of_reply,
    to_ascii_domain,
)

LETTER = Letter(
    sender=Mailbox("technik@example.org", "Beispiel Technik"),
    to=(Mailbox("anna@muster.example", "Anna Muster"),),
    reply_to="technik+t123@example.org",
    subject="[Ticket#100123] Drucker",
    text="Guten Tag\n",
    date=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
    message_id="<t123@example.org>",
)
FIELDS = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID"]
TEXT_FIELDS = ["Content-Type", "MIME-Version", "Content-Transfer-Encoding"]
MIXED_FIELDS = ["Content-Type", "MIME-Version"]

HOSTILE = {
    "line ends": "a\r\nBcc: victim@example.net\r\n\r\nbody",
    "line feed": "a\nBcc: victim@example.net",
    "carriage return": "a\rBcc: victim@example.net",
    "folded": "a\r\n Bcc: victim@example.net",
    "encoded line ends": "=?utf-8?q?a=0D=0ABcc=3A_victim=40example=2Enet?=",
    "encoded in base64": "=?utf-8?b?YQ0KQmNjOiB2aWN0aW1AZXhhbXBsZS5uZXQ=?=",
    "half an encoded word": "=?utf-8?q?",
    "NUL": "a\0Bcc: victim@example.net",
    "other line ends": "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029Bcc: victim@example.net",
    "direction": "a\u202egnp.exe\u202c\u2066b\u2069\u200f",
    "terminal": "a\x1b[31m\x1b]0;title\x07",
    "surrogate": "a\ud800b\udcffc",
    "quotes": '"a" <b@c.example>, "d',
    "backslash": 'a\\" <b@c.example>, \\',
    "long": "x" * 10_240,
    "long words": "Wort " * 2_000,
    "long and not ASCII": "日本語 ü😀" * 1_500,
    "nothing": "",
    "blanks": " \t \r\n ",
}


def composed(**changes: Any) -> bytes:
    """Return the letter above with these changes, as bytes."""
    return compose(replace(LETTER, **changes))


def read(raw: bytes) -> EmailMessage:
    """Return a message as Python's own parser sees it; anything odd is a defect."""
    message = message_from_bytes(raw, policy=SMTP)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    for part in message.walk():
        assert part.defects == []
        for _name, value in part.items():
            assert value.defects == ()
    return message


def addresses(message: EmailMessage, field: str) -> list[tuple[str, str]]:
    """Return names and addresses of a field as Python's parser sees them."""
    header = message[field]
    assert isinstance(header, AddressHeader)
    return [(each.display_name, each.addr_spec) for each in header.addresses]


def joined(name: str) -> str:
    """Return a name without blanks: Python reads some between encoded words (gh-92081)."""
    return "".join(name.split())


def check(raw: bytes, fields: Sequence[str]) -> EmailMessage:
    """Check what holds for every message, that it has exactly these fields, and return it."""
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert raw.endswith(b"\r\n")
    message = read(raw)
    assert message.keys() == list(fields)
    assert parse(raw).defects == ()
    assert parse(raw).parse_error is None
    return message


def test_a_plain_letter() -> None:
    raw = composed()
    message = check(raw, FIELDS + TEXT_FIELDS)
    assert addresses(message, "From") == [("Beispiel Technik", "technik@example.org")]
    assert addresses(message, "To") == [("Anna Muster", "anna@muster.example")]
    assert addresses(message, "Reply-To") == [("", "technik+t123@example.org")]
    assert message["Subject"] == "[Ticket#100123] Drucker"
    assert message["Date"] == "Tue, 24 Nov 2026 09:00:00 +0000"
    assert message["Message-ID"] == "<t123@example.org>"
    assert message.get_content() == "Guten Tag\r\n"
    ours = parse(raw)
    assert (ours.from_.address, ours.from_.name) == ("technik@example.org", "Beispiel Technik")
    assert (ours.subject, ours.message_id) == ("[Ticket#100123] Drucker", "<t123@example.org>")
    assert (ours.text.rstrip(), ours.date, ours.attachments) == ("Guten Tag", LETTER.date, ())
    assert not ours.is_automatic
    assert raw.isascii()


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_no_text_adds_a_field_or_is_read_as_another(value: str) -> None:
    raw = composed(
        sender=Mailbox("technik@example.org", value),
        to=(Mailbox("anna@muster.example", value), Mailbox("bert@muster.example", value)),
        cc=(Mailbox("carol@acme.example", value),),
        subject=value,
        text=value,
        in_reply_to=value,
        references=(value, "<1@muster.example>", f"<{value}@x>"),
        uploads=(Upload(value, value, value.encode("utf-8", "replace")),),
    )
    has_subject = bool(one_line(value))
    fields = ["From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "References"]
    message = check(
        raw, [name for name in fields if has_subject or name != "Subject"] + MIXED_FIELDS
    )
    assert [each for _name, each in addresses(message, "From")] == ["technik@example.org"]
    people = ["anna@muster.example", "bert@muster.example"]
    assert [each for _name, each in addresses(message, "To")] == people
    assert [each for _name, each in addresses(message, "Cc")] == ["carol@acme.example"]
    name = one_line(value)[:100].strip()
    assert joined(addresses(message, "From")[0][0]) == joined(name)
    assert one_line(message["Subject"] or "") == one_line(value)[:MAX_SUBJECT].strip()
    ours = parse(raw)
    assert ours.from_.address == "technik@example.org"
    assert ours.subject == one_line(value)[:MAX_SUBJECT].strip()
    assert ours.from_.name == name
    assert "\u202e" not in ours.subject + ours.from_.name
    assert ours.text.rstrip("\n") == clean_text(value).rstrip("\n")
    assert ours.in_reply_to == ()
    assert len(message.get_payload()) == 2
    attached = read_part(raw, ours.attachments[0].part)
    assert attached.content == value.encode("utf-8", "replace")
    assert attached.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    "address",
    [
        *("", "anna", "postmaster", "@muster.example", "anna@", "anna@muster@example"),
        *("anna@muster.example\r\nBcc: x@y.example", "anna@muster.example, x@y.example"),
        *("anna@muster.example>", "<anna@muster.example>", "Anna <anna@muster.example>"),
        *("anna muster@muster.example", "anna@muster .example", "a@b..example"),
        *(
            '"anna"@muster.example',
            "anna(x)@muster.example",
            "anna@[192.0.2.1]",
            "a%b@muster.example",
        ),
        *("b!anna@muster.example", "@x:anna@muster.example", "anna\0@muster.example"),
        *("anna@muster.example\u202e", "an\u2028na@muster.example", "a" * 250 + "@muster.example"),
        *(
            "=?utf-8?q?anna?=@muster.example",
            "anna@=?utf-8?q?muster?=.example",
            "a;b@muster.example",
        ),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    bad = Mailbox(address, "Anna")
    for change in ({"sender": bad}, {"to": (bad,)}, {"cc": (bad,)}):
        with pytest.raises(ValueError, match="not a mail address"):
            composed(**change)
    if address:
        with pytest.raises(ValueError, match="not a mail address"):
            composed(reply_to=address)


def test_a_letter_to_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="no recipient"):
        composed(to=())


@pytest.mark.parametrize("message_id", ["", "t123@example.org", "<>", "<a b@c>", "<ü@c>", "<a@b>x"])
def test_a_letter_without_its_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="not a Message-ID"):
        composed(message_id=message_id)


def test_domains_beyond_ascii_are_written_as_servers_know_them() -> None:
    raw = composed(
        sender=Mailbox("technik@bücher.example"), to=(Mailbox("anna@STRASSE.bücher.example"),)
    )
    message = check(raw, FIELDS + TEXT_FIELDS)
    assert addresses(message, "From") == [("", "technik@xn--bcher-kva.example")]
    assert addresses(message, "To") == [("", "anna@strasse.xn--bcher-kva.example")]
    assert raw.isascii()
    assert to_ascii_domain("anna@muster.example") == "anna@muster.example"


def test_local_parts_beyond_ascii_need_a_server_that_knows_them() -> None:
    to = tuple(Mailbox(f"müller{n}@bücher.example", "Müller, " * 8) for n in range(20))
    raw = composed(to=(*to, *LETTER.to), reply_to="büro+t123@example.org")
    message = message_from_string(raw.decode("utf-8"), policy=SMTPUTF8)
    assert message.keys() == FIELDS + TEXT_FIELDS
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    expected = [f"müller{n}@xn--bcher-kva.example" for n in range(20)]
    assert [each for _name, each in addresses(message, "To")] == [*expected, "anna@muster.example"]
    assert addresses(message, "Reply-To") == [("", "büro+t123@example.org")]
    assert "müller0@xn--bcher-kva.example" in parse(raw).to[0]
    assert message["Subject"] == LETTER.subject

    assert needs_smtputf8(raw, "technik@example.org", "anna@muster.example")


@pytest.mark.parametrize(
    ("mail_from", "recipient", "needs"),
    [
        ("technik+b1@example.org", "anna@muster.example", False),
        ("", "anna@muster.example", False),
        ("büro+b1@example.org", "anna@muster.example", True),
        ("", "müller@muster.example", True),
    ],
)
def test_the_envelope_may_need_it_too(mail_from: str, recipient: str, needs: bool) -> None:
    raw = composed(text="Grüße", subject="Grüße")
    assert needs_smtputf8(raw, mail_from, recipient) is needs


def test_names_come_through_as_they_are() -> None:
    for name in (
        "Müller, Jürgen",
        "Smith, John (Sales)",
        'O"Brien \\ Söhne',
        'Anna "die Große" Muster',
        "boss@victim.example",
        "株式会社例 営業部",
        "😀" * 40,
    ):
        message = check(composed(to=(Mailbox("anna@muster.example", name),)), FIELDS + TEXT_FIELDS)
        assert joined(addresses(message, "To")[0][0]) == joined(name)
        assert parse(composed(sender=Mailbox("a@b.example", name))).from_.name == name


@pytest.mark.parametrize("character", ["x", "ü", "日", "😀", "x ", "ü "])
@pytest.mark.parametrize("length", [60, 70, 75, 76, 150, 299, 300, 301, 1000])
def test_a_subject_of_any_length(character: str, length: int) -> None:
    subject = (character * length)[:length]
    raw = composed(subject=subject)
    message = check(raw, FIELDS + TEXT_FIELDS)
    assert message["Subject"] == subject[:MAX_SUBJECT].strip()
    assert parse(raw).subject == subject[:MAX_SUBJECT].strip()
    for word in re.findall(rb"=\?[^ \r]+\?=", raw):
        assert len(word) <= 75  # RFC 2047 2
        assert len(read(b"Subject: " + word + b"\r\n\r\n")["Subject"]) > 0


def test_references_name_the_first_and_the_newest() -> None:
    ids = [f"<{n}@muster.example>" for n in range(50)]
    raw = composed(in_reply_to=ids[-1], references=(*ids, ids[3], ids[0]))
    message = check(raw, [*FIELDS, "In-Reply-To", "References", *TEXT_FIELDS])
    assert message["In-Reply-To"] == ids[-1]
    assert message["References"].split() == [ids[0], *ids[1 - MAX_REFERENCES :]]
    assert parse(raw).references == (ids[0], *ids[1 - MAX_REFERENCES :])


@pytest.mark.parametrize(
    "bad",
    [
        *("", "1@muster.example", "<1@muster.example", "<>", "<x>", "<a b@c>", "<a@b> <c@d>"),
        *("<a@b>\r\nBcc: x@y.example", "<a@b\0>", "<ü@c.example>", "<a@<b>>", f"<{'x' * 300}@b>"),
    ],
)
def test_ids_of_others_that_are_none_are_left_out(bad: str) -> None:
    message = check(
        composed(in_reply_to=bad, references=(bad, "<1@b.example>")),
        [*FIELDS, "References", *TEXT_FIELDS],
    )
    assert message["References"] == "<1@b.example>"


def test_long_ids_stand_on_lines_of_their_own() -> None:
    ids = tuple(f"<{n:0230d}@b.example>" for n in range(MAX_REFERENCES))
    message = check(composed(references=ids), [*FIELDS, "References", *TEXT_FIELDS])
    assert tuple(message["References"].split()) == ids


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            ".\n.\n..\n",
            "From here\nFrom there\n>From",
            "\n\n\n",
            "a\tb  \nc \n",
            "=3D=\n",
        ),
        *("ohne Ende", "x" * 5_000, "ü" * 5_000, "日本語\n" * 500, "a\r\nb\rc\n", "-- \nSignatur"),
        *("ends in a blank ", "--===\nContent-Type: text/html\n\n", "Å…\x85\u2028b", "\ufeffBOM"),
    ],
)
def test_a_text_comes_through_as_it_is(text: str) -> None:
    whole = clean_text(text)
    whole = whole if whole.endswith("\n") else whole + "\n"
    for uploads in ((), (Upload("a.txt", "text/plain", text.encode()),)):
        raw = composed(text=text, uploads=uploads)
        message = check(raw, FIELDS + (MIXED_FIELDS if uploads else TEXT_FIELDS))
        body = message.get_body(("plain",))
        assert body is not None
        content = body.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert content.decode("utf-8").replace("\r\n", "\n") == whole
        assert max(map(len, raw.split(b"\r\n"))) <= 80
        assert parse(raw).text.removeprefix("\ufeff") == whole.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("filename", "seen"),
    [
        ("Angebot.pdf", "Angebot.pdf"),
        ("Über uns – 2026.pdf", "Über uns – 2026.pdf"),
        ("日本語.txt", "日本語.txt"),
        ("C:\\Users\\anna\\brief.doc", "brief.doc"),
        ("../../etc/passwd", "passwd"),
        ('a\\b\\"; filename="evil.exe', '"; filename="evil.exe'),
        ('a"b; name="c.pdf', 'a"b; name="c.pdf'),
        ("a.pdf\r\nContent-Type: text/html\r\n\r\n<script>", "html <script>"),
        ("a\r\n\r\nb.pdf", "a b.pdf"),
        ("rechnung\u202efdp.exe", "rechnungfdp.exe"),
        ("=?utf-8?q?evil=2Eexe?=", "=?utf-8?q?evil=2Eexe?="),
        ("a\0b\ud800.pdf", "ab\ufffd.pdf"),
        ("", "file"),
        ("...", "file"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("日" * 300 + ".pdf", "日" * 71 + ".pdf"),
        ("😀" * 300, "😀" * 75),
        ("ü" * 140 + ".pdf", "ü" * 140 + ".pdf"),
    ],
)
def test_names_of_files(filename: str, seen: str) -> None:
    raw = composed(uploads=(Upload(filename, "application/pdf", b"%PDF\x00\xff\n"),))
    message = check(raw, FIELDS + MIXED_FIELDS)
    (attachment,) = message.iter_attachments()
    ours = parse(raw).attachments[0]
    assert attachment.get_filename() == seen
    assert ours.filename == seen
    assert attachment.get_content() == b"%PDF\x00\xff\n"
    assert attachment.keys() == [
        *("Content-Type", "MIME-Version", "Content-Transfer-Encoding", "Content-Disposition")
    ]
    assert (attachment.get_content_type(), ours.content_type) == ("application/pdf",) * 2
    assert read_part(raw, ours.part).content == b"%PDF\x00\xff\n"


@pytest.mark.parametrize(
    ("content_type", "seen"),
    [
        ("application/pdf", "application/pdf"),
        ("IMAGE/PNG", "image/png"),
        ("image/svg+xml; charset=utf-8", "image/svg+xml"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("message/rfc822", "application/octet-stream"),
        ("Message/RFC822", "application/octet-stream"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
        ("MULTIPART/mixed", "application/octet-stream"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("text/html\r\n\r\n<script>", "application/octet-stream"),
        ("text/", "application/octet-stream"),
        ("/html", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text/ü", "application/octet-stream"),
        ("text/a b", "application/octet-stream"),
        ("a" * 5_000 + "/b", "application/octet-stream"),
        ("application/" + "b" * 5_000, "application/octet-stream"),
    ],
)
def test_types_of_files(content_type: str, seen: str) -> None:
    content = b"Content-Type: text/html\r\n\r\n<script>"
    raw = composed(uploads=(Upload("a.bin", content_type, content),))
    message = check(raw, FIELDS + MIXED_FIELDS)
    (attachment,) = message.iter_attachments()
    assert attachment.get_content_type() == seen
    assert [part.get_content_type() for part in message.walk()] == [
        *("multipart/mixed", "text/plain", seen)
    ]
    assert read_part(raw, 2).content == content


def test_several_files_in_their_order() -> None:
    uploads = tuple(Upload(f"{n}.bin", "", bytes([n]) * n * 1000) for n in range(5))
    raw = composed(uploads=uploads)
    check(raw, FIELDS + MIXED_FIELDS)
    found = parse(raw).attachments
    assert [(each.filename, each.size) for each in found] == [
        (f"{n}.bin", n * 1000) for n in range(5)
    ]


@pytest.mark.parametrize("automatic", ["auto-replied", "auto-generated"])
def test_what_nobody_wrote_says_so(automatic: str) -> None:
    raw = composed(automatic=automatic)
    automatic_fields = ["Auto-Submitted", "Precedence", "X-Auto-Response-Suppress"]
    message = check(raw, FIELDS + automatic_fields + TEXT_FIELDS)
    assert [message[name] for name in automatic_fields] == [automatic, "bulk", "All"]
    assert parse(raw).is_automatic


def test_the_link_to_stop_such_mail() -> None:
    url = "https://hilfe.example.org/support/mute/m" + "a" * 32
    message = check(
        composed(unsubscribe=url),
        [*FIELDS, "List-Unsubscribe", "List-Unsubscribe-Post", *TEXT_FIELDS],
    )
    assert message["List-Unsubscribe"] == f"<{url}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for broken in (
        "https://x.example/>",
        "https://x.example/a b",
        "https://bücher.example/m",
        "a\nb",
    ):
        check(composed(unsubscribe=broken), FIELDS + TEXT_FIELDS)


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a\r\nBcc: b\r\n\r\n",
        b"From: a\r\n\r\nTo: b\r\n\r\n",
        b"To: b\r\nFrom: a\r\n\r\n",
        b"From: a\nBcc: c\r\nTo: b\r\n\r\n",
        b"From: a\rBcc: c\r\nTo: b\r\n\r\n",
        b"From: a\r\nTo: b\r\nTo: c\r\n\r\n",
        b"From: a\r\nTo: b",
        b"",
    ],
)
def test_a_header_that_is_not_the_intended_one_is_noticed(raw: bytes) -> None:
    _check(b"From: a\r\nTo: b,\r\n c\r\n\r\n", ["From", "To"])
    with pytest.raises(NotComposed):
        _check(raw, ["From", "To"])


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("Drucker", "[Ticket#100123] Drucker"),
        ("Re: Drucker", "[Ticket#100123] Drucker"),
        ("RE: AW: re: Drucker", "[Ticket#100123] Drucker"),
        ("Re: [Ticket#100123] Drucker", "[Ticket#100123] Drucker"),
        ("AW: Re: [Ticket#100123] AW: [Ticket#100123] Drucker", "[Ticket#100123] Drucker"),
        ("[Ticket#100124] Drucker", "[Ticket#100123] [Ticket#100124] Drucker"),
        ("Drucker [Ticket#100123] kaputt", "[Ticket#100123] Drucker kaputt"),
        ("Regal", "[Ticket#100123] Regal"),
        ("a\r\nBcc: b", "[Ticket#100123] a Bcc: b"),
        ("", "[Ticket#100123]"),
        ("Re:", "[Ticket#100123]"),
        ("x" * 400, "[Ticket#100123] " + "x" * 284),
    ],
)
def test_the_subject_of_a_reply(subject: str, reply: str) -> None:
    assert subject_of_reply(subject, 100123) == reply
    assert subject_of_reply(reply, 100123) == reply


TEXTS = st.text(max_size=60) | st.sampled_from(sorted(HOSTILE.values()))


@given(name=TEXTS, subject=TEXTS, text=TEXTS, filename=TEXTS, media=TEXTS, other=TEXTS)
def test_whatever_the_values_the_fields_are_the_intended_ones(
    name: str, subject: str, text: str, filename: str, media: str, other: str
) -> None:
    raw = composed(
        sender=Mailbox("technik@example.org", name),
        subject=f"x {subject}",
        text=text,
        in_reply_to=other,
        uploads=(Upload(filename, media, b"x"),),
    )
    ours = parse(raw)
    expected = [*FIELDS, *(["In-Reply-To"] if ours.in_reply_to else []), *MIXED_FIELDS]
    message = message_from_bytes(raw, policy=SMTP)
    assert message.keys() == expected
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.isascii()
    assert ours.from_.address == "technik@example.org"
    assert ours.from_.name == one_line(name)[:100].strip()
    assert ours.subject == one_line(f"x {subject}")[:MAX_SUBJECT].strip()
    assert len(ours.parts) == 3
