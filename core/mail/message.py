"""A message as Schalter reads it: total, bounded, and only as deep as somebody looks.

``parse`` never raises. What exceeds a cap is kept as ``parse_error`` with the header shown as far
as it can be read and the text as it came; the exact bytes are stored in any case.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from html import escape
from typing import NamedTuple

from core.i18n import N_
from core.mail import decode
from core.mail.addresses import FromResult, parse_from
from core.mail.html_text import html_to_text
from core.mail.structure import MAX_FIELD, MAX_HEADER_BLOCK, Part, TooComplex, read_structure
from core.mail.text import clean_text, one_line, unflow

MAX_TEXT = 256 * 1024  # characters of decoded text that are kept to read and search
MAX_SUBJECT = 500
MAX_MESSAGE_ID = 500

# Fields that servers on the way put on top; a redelivery has others (threat model, section B).
_TRACE = re.compile(
    rb"(?:(?:received|return-path|delivered-to|x-original-to|authentication-results|"
    rb"arc-[a-z-]+|received-spf|x-spam[a-z-]*)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*",
    re.IGNORECASE,
)
FROM_DEFECTS = {
    "missing": N_("The mail has no From field."),
    "multiple fields": N_("The mail has more than one From field."),
    "multiple mailboxes": N_("The From field names more than one mailbox."),
    "malformed": N_("The From field is malformed."),
}
_ENDINGS = {
    b"message/rfc822": ".eml",
    b"text/calendar": ".ics",
    b"application/pdf": ".pdf",
    b"application/ms-tnef": ".dat",
    **{f"image/{kind}".encode(): f".{kind}" for kind in ("png", "jpeg", "gif", "webp")},
}
_PLAINEST = re.compile(rb"(?:from|to|subject|date|message-id)[ \t]*:", re.IGNORECASE)
_HTML = b"text/html"
_UNSUBSCRIBE = frozenset({b"list-unsubscribe", b"list-unsubscribe-post"})
_SUPPRESS = b"x-auto-response-suppress"
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")


@dataclass(frozen=True, slots=True)
class AttachmentInfo:
    """A part that is not the text: where it is, and what it says about itself."""

    part: int
    filename: str
    content_type: str
    size: int
    content_id: str
    inline: bool


class Message:
    """A parsed message. Everything is read from the bytes when it is first asked for."""

    def __init__(self, raw: bytes, parts: tuple[Part, ...], parse_error: str | None) -> None:
        self.raw = raw
        self.parts = parts
        self.parse_error = parse_error

    @cached_property
    def from_(self) -> FromResult:
        """The From field, judged strictly."""
        return parse_from([decode.header_text(value) for value in self._values(b"from")])

    @cached_property
    def subject(self) -> str:
        """The subject as one clean line of at most 500 characters."""
        return self._line(b"subject")[:MAX_SUBJECT]

    @cached_property
    def to(self) -> tuple[str, ...]:
        """The To fields as they are shown."""
        return tuple(filter(None, map(self._shown, self._values(b"to"))))

    @cached_property
    def cc(self) -> tuple[str, ...]:
        """The Cc fields as they are shown."""
        return tuple(filter(None, map(self._shown, self._values(b"cc"))))

    @cached_property
    def reply_to(self) -> str:
        """The Reply-To field as it is shown; it never identifies anybody."""
        return self._line(b"reply-to")

    @cached_property
    def date(self) -> datetime | None:
        """The Date field in UTC, None when there is none that can be read."""
        try:
            found = parsedate_to_datetime(self._line(b"date"))
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None

    @cached_property
    def message_id(self) -> str:
        """The Message-ID with its angle brackets, "" without one."""
        return self._line(b"message-id")[:MAX_MESSAGE_ID]

    @cached_property
    def in_reply_to(self) -> tuple[str, ...]:
        """The message ids in In-Reply-To."""
        return tuple(_MESSAGE_ID.findall(self._line(b"in-reply-to")))

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The message ids in References."""
        return tuple(_MESSAGE_ID.findall(self._line(b"references")))

    @cached_property
    def received_count(self) -> int:
        """How many servers say that they passed the message on."""
        return len(self._values(b"received"))

    @cached_property
    def is_automatic(self) -> bool:
        """Whether a machine wrote it or sent it to many (RFC 3834, RFC 2919).

        A way to unsubscribe is not enough: ticket systems, ours too, offer one in what people
        have written.
        """
        names = {name for name, _value in self._fields}
        lists = {name for name in names if name.startswith(b"list-")}
        if lists - _UNSUBSCRIBE or _SUPPRESS in names:
            return True
        submitted = self._line(b"auto-submitted").lower()
        return (bool(submitted) and not submitted.startswith("no")) or (
            self._line(b"precedence").lower() in {"bulk", "junk", "list", "auto_reply"}
        )

    @cached_property
    def wants_no_answer(self) -> bool:
        """Whether nobody is to be answered by a machine: what is automatic, and any list's mail."""
        names = {name for name, _value in self._fields}
        return self.is_automatic or not names.isdisjoint(_UNSUBSCRIBE)

    @cached_property
    def is_delivery_report(self) -> bool:
        """Whether it is a report of a mail server about another mail (RFC 3464)."""
        if not self.parts or self.parts[0].content_type != b"multipart/report":
            return False
        kind = decode.parameter(self.parts[0], b"content-type", b"report-type")
        return kind.lower() == "delivery-status"

    @cached_property
    def text(self) -> str:
        """What people read: the plain text, else text made from the HTML; at most 256 Ki."""
        if self.parse_error is not None or not self.parts:
            return clean_text(decode.decode_text(self.raw[: MAX_TEXT * 2], "utf-8"))[:MAX_TEXT]
        found, size = [], 0
        for number in self._views.text:
            found.append(self._plain_text(number))
            size += len(found[-1])
            if size >= MAX_TEXT:
                break
        return "\n".join(found)[:MAX_TEXT]

    @property
    def has_html(self) -> bool:
        """Whether there is an HTML body."""
        return self._any_html(self._views.html)

    @cached_property
    def html(self) -> str | None:
        """The HTML body as it came, None without one or beyond 256 Ki characters.

        Texts that stand beside it, such as the footer of a list, are part of it.
        """
        if not self.has_html:
            return None
        found, size = [], 0
        for number in self._views.html:
            part = self.parts[number]
            if part.end - part.start > MAX_TEXT * 4:
                return None
            text = self._decoded(number)
            found.append(text if part.content_type == _HTML else f"<pre>{escape(text)}</pre>")
            size += len(found[-1])
            if size > MAX_TEXT:
                return None
        return "\n".join(found)

    @cached_property
    def attachments(self) -> tuple[AttachmentInfo, ...]:
        """The parts that are not the body, in the order of the message."""
        if self.parse_error is not None:
            return ()
        read = {*self._views.text, *self._views.html}
        return tuple(
            self._attachment(number, part)
            for number, part in enumerate(self.parts)
            if number not in read and not part.is_multipart and not self._is_left_empty(number)
        )

    @cached_property
    def defects(self) -> tuple[str, ...]:
        """What is wrong with the message, as message ids of texts for staff."""
        found = []
        if self.from_.problem:
            found.append(FROM_DEFECTS[self.from_.problem])
        if len(self._values(b"message-id")) > 1:
            found.append(N_("The mail has more than one Message-ID field."))
        if any(self._values(b"date")) and self.date is None:
            found.append(N_("The Date field cannot be read."))
        if any(len(value) == MAX_FIELD for _name, value in self._fields):
            found.append(N_("A header field was too long and is cut."))
        if self.parse_error is None and len(self.text) == MAX_TEXT:
            found.append(N_("The text was too long and is cut."))
        return tuple(found)

    @property
    def problems(self) -> tuple[str, ...]:
        """What staff are told: the defects, and why the message could not be read, if so."""
        return (*self.defects, self.parse_error) if self.parse_error else self.defects

    def header_values(self, name: str) -> list[str]:
        """Return the values of a field, decoded and cleaned, each as one line."""
        return [self._shown(value) for value in self._values(name.lower().encode())]

    @property
    def _fields(self) -> Sequence[tuple[bytes, bytes]]:
        return self.parts[0].fields if self.parts else ()

    def _values(self, name: bytes) -> list[bytes]:
        return self.parts[0].values(name) if self.parts else []

    def _line(self, name: bytes) -> str:
        value = self.parts[0].first(name) if self.parts else b""
        return self._shown(value) if value else ""

    @staticmethod
    def _shown(value: bytes) -> str:
        return decode.decode_words(decode.header_text(value))

    @cached_property
    def _views(self) -> "_Views":
        """The parts that are the body, as text and as HTML."""
        if self.parse_error is not None or not self.parts:
            return _Views((), ())
        children: dict[int, list[int]] = {}
        for number, part in enumerate(self.parts):
            children.setdefault(part.parent, []).append(number)
        return self._view(0, children)

    def _view(self, number: int, children: Mapping[int, Sequence[int]]) -> "_Views":
        """Return what to read of a part and those inside it; nested at most ``MAX_DEPTH``."""
        if number not in children:
            own = (number,) if self._is_body(number) else ()
            return _Views(own, own)
        views = [self._view(child, children) for child in children[number]]
        if self.parts[number].content_type == b"multipart/alternative":
            return self._best(views)
        return _Views(
            tuple(each for view in views for each in view.text),
            tuple(each for view in views for each in view.html),
        )

    def _best(self, views: Sequence["_Views"]) -> "_Views":
        """Choose of alternatives (RFC 2046 5.1.4): the first plain text, and the last HTML."""
        views = [view for view in views if view.text]
        if not views:
            return _Views((), ())
        plain = [view for view in views if any(map(self._is_written_plainly, view.text))]
        formatted = [view for view in views if self._any_html(view.html)]
        return _Views(
            (plain or formatted or views)[0].text,
            formatted[-1].html if formatted else (plain or views)[0].html,
        )

    def _any_html(self, numbers: Sequence[int]) -> bool:
        return any(self.parts[number].content_type == _HTML for number in numbers)

    def _is_written_plainly(self, number: int) -> bool:
        """Whether this is plain text with something in it; some mailers leave it empty."""
        part = self.parts[number]
        is_long = part.end - part.start > 200
        return part.content_type != _HTML and (is_long or bool(self._decoded(number).strip()))

    def _is_left_empty(self, number: int) -> bool:
        """Whether this is the text that a mailer leaves empty beside its HTML."""
        if number == 0 or self.parts[number].content_type != b"text/plain":
            return False
        return self._is_body(number) and not self._is_written_plainly(number)

    def _is_body(self, number: int) -> bool:
        """Whether a part without parts is text to read: not offered as a file, and no resource."""
        part = self.parts[number]
        if part.is_multipart:  # one without its boundary: what is in it is shown as it is
            return part.end > part.start
        if part.content_type not in {b"text/plain", _HTML} and not (
            number == 0 and part.content_type.startswith(b"text/")
        ):
            return False
        if _disposition(part).startswith(b"attachment"):
            return False
        return number == 0 or not decode.filename(part)

    def _plain_text(self, number: int) -> str:
        part, text = self.parts[number], self._decoded(number)
        if part.content_type == _HTML:
            return html_to_text(text)
        if b"flowed" not in part.first(b"content-type").lower():
            return text
        if decode.parameter(part, b"content-type", b"format").lower() != "flowed":
            return text
        delete_space = decode.parameter(part, b"content-type", b"delsp").lower() == "yes"
        return unflow(text, delete_space=delete_space)

    def _decoded(self, number: int) -> str:
        part = self.parts[number]
        charset = decode.parameter(part, b"content-type", b"charset")
        content = decode.decode_body(part, self.raw, limit=MAX_TEXT * 4)
        return clean_text(decode.decode_text(content, charset))

    def _attachment(self, number: int, part: Part) -> AttachmentInfo:
        return AttachmentInfo(
            part=number,
            filename=_filename(number, part),
            content_type=part.content_type.decode("ascii")[:100],
            size=decode.decoded_size(part, self.raw),
            content_id=one_line(decode.header_text(part.first(b"content-id"))).strip("<> ")[:300],
            inline=_disposition(part).startswith(b"inline"),
        )


class _Views(NamedTuple):
    """The numbers of the parts that are read, as text and as HTML."""

    text: tuple[int, ...]
    html: tuple[int, ...]


class PartContent(NamedTuple):
    """What a part holds: its media type, its name as a file, and its decoded bytes."""

    content_type: str
    filename: str
    content: bytes


def parse(raw: bytes) -> Message:
    """Read a message; never raises, whatever the bytes are."""
    lines = raw if b"\n" in raw else raw.replace(b"\r", b"\n")  # CR alone: of the same length
    try:
        return Message(raw, read_structure(lines), None)
    except TooComplex as error:
        return _unparsed(raw, str(error))


def unreadable(raw: bytes) -> Message:
    """Return a message of which nothing is read: for bytes that defeated everything else."""
    return Message(raw, (), N_("The mail could not be handled."))


def _unparsed(raw: bytes, why: str) -> Message:
    """Return a message of which only the plainest header fields are read.

    Where the header has no end within its cap there may be a second From behind it: then none is
    read at all, for nobody can say whose mail that is.
    """
    head = raw[:MAX_HEADER_BLOCK].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    header, end, _rest = head.partition(b"\r\n\r\n")
    kept, keeps = [], False
    for line in header.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            keeps = _PLAINEST.match(line) is not None
        if keeps:
            kept.append(line)
    try:
        parts = read_structure(b"\r\n".join([*kept, b"", b""])) if end else ()
    except TooComplex:
        parts = ()
    return Message(raw, parts, why)


def read_part(raw: bytes, number: int) -> PartContent:
    """Return a part of a message by its number, as ``AttachmentInfo`` and the tables name it.

    Raises ``IndexError`` when the message has no such part.
    """
    parts = parse(raw).parts
    if not 0 <= number < len(parts):
        raise IndexError(f"no part {number}")
    part = parts[number]
    media = part.content_type.decode("ascii")
    return PartContent(media, _filename(number, part), decode.decode_body(part, raw))


def content_digest(raw: bytes) -> bytes:
    """Return the SHA-256 of a message below the fields that servers put on top of it."""
    found = _TRACE.match(raw, 0, MAX_HEADER_BLOCK)
    start = found.end() if found else 0
    return hashlib.sha256(memoryview(raw)[start:]).digest()


def _disposition(part: Part) -> bytes:
    return part.first(b"content-disposition").lstrip().lower()


def _filename(number: int, part: Part) -> str:
    """Return the name of a part's file, made from its number when it has none."""
    return decode.filename(part) or f"part-{number}{_ENDINGS.get(part.content_type, '')}"
