"""A message as it is read: which parts are its text, what is a file, and what is wrong with it."""

from datetime import UTC, datetime

import pytest

from core.mail.message import (
    MAX_SUBJECT,
    MAX_TEXT,
    content_digest,
    parse,
    read_part,
    unreadable,
)
from tests.mail.growth import grows_linearly

HTML = "Content-Type: text/html; charset=utf-8\n\n"
PLAIN = "Content-Type: text/plain; charset=utf-8\n\n"
FILE = "Content-Type: application/pdf; name=a.pdf\n\nPDF"


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    """Return a multipart with its header."""
    body = "".join(f"\n--{boundary}\n{part}" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\n{body}\n--{boundary}--\n"


def both(text: str, html: str, boundary: str = "a") -> str:
    return multipart("alternative", PLAIN + text, HTML + html, boundary=boundary)


@pytest.mark.parametrize(
    ("mail", "text", "html", "files"),
    [
        (PLAIN + "ä", "ä", None, []),
        (HTML + "<p>ä</p>", "ä", "<p>ä</p>", []),
        ("\nohne alles", "ohne alles", None, []),
        (both("t", "<p>h"), "t", "<p>h", []),
        (multipart("alternative", HTML + "<p>h", PLAIN + "t"), "t", "<p>h", []),
        (both(" \n", "<p>h"), "h", "<p>h", []),
        (both("t", ""), "t", "", []),
        (multipart("alternative", PLAIN + "t", HTML + "1", HTML + "2"), "t", "2", ["part-2"]),
        (multipart("alternative", PLAIN + "1", PLAIN + "2"), "1", None, ["part-2"]),
        (multipart("alternative", FILE), "", None, ["a.pdf"]),
        (multipart("mixed", PLAIN + "1", FILE, PLAIN + "2"), "1\n2", None, ["a.pdf"]),
        (multipart("mixed", HTML + "1", FILE, HTML + "2"), "1\n2", "1\n2", ["a.pdf"]),
        (multipart("mixed", both("t", "h"), PLAIN + "<"), "t\n<", "h\n<pre>&lt;</pre>", []),
        (multipart("mixed", HTML + "h", PLAIN + "f"), "h\nf", "h\n<pre>f</pre>", []),
        (multipart("alternative", PLAIN + "t", multipart("related", HTML + "h", FILE,
                                                         boundary="r")),
         "t", "h", ["a.pdf"]),
        (multipart("related", both("t", "h"), FILE), "t", "h", ["a.pdf"]),
        (multipart("mixed", multipart("mixed", both("t", "h"), boundary="m"), FILE),
         "t", "h", ["a.pdf"]),
        (multipart("unknown", PLAIN + "t", FILE), "t", None, ["a.pdf"]),
        # files and text
        (multipart("mixed", PLAIN + "t", "Content-Disposition: attachment\n\nx"), "t", None,
         ["part-2"]),
        (multipart("mixed", PLAIN + "t", "Content-Disposition: inline; filename=n.txt\n\nx"), "t",
         None, ["n.txt"]),
        (multipart("mixed", PLAIN + "t", "Content-Type: text/plain; name=n.txt\n\nx"), "t", None,
         ["n.txt"]),
        (multipart("mixed", PLAIN + "t", "Content-Disposition: inline\n\nx"), "t\nx", None, []),
        (multipart("mixed", PLAIN + "t", "Content-Type: text/csv\n\nx"), "t", None, ["part-2"]),
        (multipart("mixed", PLAIN + "t", "Content-Type: message/rfc822\n\n" + both("i", "i", "i")),
         "t", None, ["part-2.eml"]),
        (multipart("mixed", PLAIN + "t", "Content-Type: image/png\n\nx"), "t", None,
         ["part-2.png"]),
        (FILE, "", None, ["a.pdf"]),
        ("Content-Disposition: attachment; filename=n.txt\n\nx", "", None, ["n.txt"]),
        ("Content-Type: text/plain; name=n.txt\n\nx", "x", None, []),
        ("Content-Type: text/x-log\n\nx", "x", None, []),
        # multiparts without parts
        ("Content-Type: multipart/mixed\n\nx", "x", None, []),
        ("Content-Type: multipart/mixed; boundary=b\n\n", "", None, []),
        (multipart("mixed", "Content-Type: multipart/mixed; boundary=i\n\nx"), "x", None, []),
    ],
)  # fmt: skip
def test_what_is_read_and_what_is_a_file(
    mail: str, text: str, html: str | None, files: list[str]
) -> None:
    message = parse(mail.encode())
    assert message.text.strip("\n") == text
    assert (message.html, message.has_html) == (html, html is not None)
    assert [attachment.filename for attachment in message.attachments] == files


def test_an_attachment_says_where_it_is_and_can_be_read() -> None:
    image = "Content-Type: image/png\nContent-ID: <logo@x>\nContent-Disposition: inline\n\nPNG"
    raw = multipart("related", HTML + "<img src=cid:logo@x>", image).encode()
    attachment = parse(raw).attachments[0]
    assert (attachment.part, attachment.content_id, attachment.inline) == (2, "logo@x", True)
    assert (attachment.content_type, attachment.size) == ("image/png", 3)
    assert read_part(raw, attachment.part) == ("image/png", "part-2.png", b"PNG")


@pytest.mark.parametrize("number", [-1, 3, 1_000])
def test_a_part_that_is_not_there(number: int) -> None:
    with pytest.raises(IndexError):
        read_part(multipart("mixed", PLAIN, PLAIN).encode(), number)


def test_long_texts_are_cut_and_say_so() -> None:
    message = parse(f"From: a@b.example\nSubject: {'x' * 600}\n\n{'ä' * MAX_TEXT}x".encode())
    assert len(message.subject) == MAX_SUBJECT
    assert message.text == "ä" * MAX_TEXT
    assert message.defects == ("The text was too long and is cut.",)


def test_many_long_texts_are_no_longer_than_one() -> None:
    message = parse(multipart("mixed", *[PLAIN + "x" * MAX_TEXT] * 20).encode())
    assert len(message.text) == MAX_TEXT


@pytest.mark.parametrize("size", [MAX_TEXT + 1, MAX_TEXT * 4 + 1])
def test_html_that_is_too_long_still_gives_text(size: int) -> None:
    message = parse((HTML + "a" * size).encode())
    assert message.has_html
    assert message.html is None
    assert message.text == "a" * MAX_TEXT


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("Tue, 24 Nov 2026 09:00:00 +0100", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("24 Nov 2026 09:00 GMT", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("Tue, 24 Nov 2026 09:00:00 -0000", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("Tue, 24 Nov 2026 09:00:00 +9999", None),
        ("Tue, 32 Nov 2026 09:00:00", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("1 Jan 99999999999999999999 00:00:00", None),
        ("=?utf-8?q?24_Nov?=", None),
        ("²", None),
        (",", None),
        ("x" * 5_000, None),
    ],
)
def test_the_date(value: str, date: datetime | None) -> None:
    message = parse(f"From: a@b.example\nDate: {value}\n\n".encode())
    assert message.date == date
    assert message.defects == (() if date else ("The Date field cannot be read.",))


@pytest.mark.parametrize(
    ("headers", "automatic", "wants_no_answer"),
    [
        ("", False, False),
        ("Auto-Submitted: no", False, False),
        ("Auto-Submitted: No; x=y", False, False),
        ("Auto-Submitted: auto-replied", True, True),
        ("Auto-Submitted: auto-generated", True, True),
        ("Precedence: bulk", True, True),
        ("Precedence: LIST", True, True),
        ("Precedence: first-class", False, False),
        ("List-Id: <x.example>", True, True),
        ("List-Unsubscribe: <https://x.example>", False, True),
        ("List-Unsubscribe: <https://x.example>\nList-Unsubscribe-Post: x", False, True),
        ("List-Unsubscribe: <https://x.example>\nList-Post: <mailto:l@x.example>", True, True),
        ("X-Auto-Response-Suppress: All", True, True),
    ],
)
def test_mail_of_machines(headers: str, automatic: bool, wants_no_answer: bool) -> None:
    """A person's mail may offer to unsubscribe; a machine answers it no more than a list's."""
    message = parse(f"{headers}\nSubject: x\n\n".encode())
    assert (message.is_automatic, message.wants_no_answer) == (automatic, wants_no_answer)


@pytest.mark.parametrize(
    ("content_type", "report"),
    [
        ("multipart/report; report-type=delivery-status; boundary=b", True),
        ('multipart/report; boundary=b; report-type="Delivery-Status"', True),
        ("multipart/report; report-type=disposition-notification; boundary=b", False),
        ("multipart/report; boundary=b", False),
        ("text/plain; report-type=delivery-status", False),
    ],
)
def test_delivery_reports(content_type: str, report: bool) -> None:
    assert parse(f"Content-Type: {content_type}\n\n".encode()).is_delivery_report is report


def test_message_ids() -> None:
    raw = b"Message-ID: <a@x>\nIn-Reply-To: text <b@x>, <c@x>\nReferences: <d@x>\n <e x> <f@x>\n\n"
    message = parse(raw)
    assert message.message_id == "<a@x>"
    assert message.in_reply_to == ("<b@x>", "<c@x>")
    assert message.references == ("<d@x>", "<f@x>")


def test_a_mail_beyond_a_cap_names_nobody_who_may_not_have_sent_it() -> None:
    bomb = b"Content-Type: text/plain" + b";" * 5_000 + b"\n"
    honest = parse(b"From: Anna\n <a@x.example>\n" + bomb + b"Subject: x\n\nText")
    assert (honest.from_.address, honest.subject) == ("a@x.example", "x")
    assert honest.text.startswith("From: Anna")
    two = parse(b"From: a@x.example\n" + bomb + b"FROM : b@x.example\n\nText")
    assert two.from_.problem == "multiple fields"
    # nobody knows whether a second From stands where the header has not ended yet
    endless = parse(b"From: a@x.example\n" + b"X: y\n" * 20_000 + b"From: b@x.example\n\n")
    assert endless.from_.problem == "missing"
    long = parse(b"From: a@x.example" + b" " * 9_000 + b",b@x.example\n\n")
    assert long.from_.problem == "missing"


def test_a_message_that_nothing_is_read_of() -> None:
    message = unreadable(b"From: a@x.example\n\nText")
    assert (message.from_.problem, message.subject, message.attachments) == ("missing", "", ())
    assert message.text == "From: a@x.example\n\nText"
    assert message.parse_error == "The mail could not be handled."


TRACE = (
    b"Received: from a\r\n\tby b\r\nReturn-Path: <x>\r\nARC-Seal: y\r\n z\r\nX-Spam-Status: No\r\n"
)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"Subject: x\r\n\r\ny", TRACE + b"Subject: x\r\n\r\ny", True),
        (b"Subject: x\r\n\r\ny", b"DELIVERED-TO : z\r\n" + b"Subject: x\r\n\r\ny", True),
        (b"Subject: x\r\n\r\ny", b"Subject: x\r\n\r\nz", False),
        (b"Subject: x\r\n\r\ny", b"X-Mailer: z\r\nSubject: x\r\n\r\ny", False),
        (b"Subject: x\r\n" + TRACE + b"\r\n", b"Subject: x\r\n\r\n", False),
        # matching millions of such lines takes seconds, and most of a gigabyte
        (b"Subject: x\r\n\r\ny", b"Received: z\r\n" * 9_000 + b"Subject: x\r\n\r\ny", False),
    ],
)
def test_the_digest_of_what_a_redelivery_has_in_common(
    one: bytes, other: bytes, same: bool
) -> None:
    assert (content_digest(one) == content_digest(other)) is same


@pytest.mark.parametrize(
    "piece", ["Received: x\n", " \n", "Received:", "--b\n\n", "--bx\n", "=?", "A: b\n", "\n", ":"]
)
def test_the_time_for_a_mail_grows_with_its_length(piece: str) -> None:
    def read(text: str) -> None:
        for header in ("", "Content-Type: multipart/mixed; boundary=b\n\n", "Received: x\n"):
            raw = (header + text).encode()
            message = parse(raw)
            assert message.text is not None
            assert message.attachments is not None
            content_digest(raw)

    assert grows_linearly(lambda n: piece * n, read, 1_000)
