"""A message as Schalter reads it: total, bounded, and only as deep as somebody looks.

``parse`` never raises. What exceeds a cap is kept as ``parse_error`` with the header shown as far
as it can be read and the text as it came; the exact bytes are stored in any case.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from core.mail import decode
from core.mail.addresses import FromResult, parse_from
from core.mail.html import html_to_text
from core.mail.structure import MAX_HEADER_BLOCK, Part, TooComplex, read_structure
from core.mail.text import clean_text, one_line

MAX_TEXT = 256 * 1024  # characters of decoded text that are kept to read and search
MAX_SUBJECT = 500
MAX_MESSAGE_ID = 500

# Fields that servers on the way put on top; a redelivery has others (threat model, section B).
_TRACE = re.compile(
    rb"(?:(?:received|return-path|delivered-to|x-original-to|authentication-results|"
    rb"arc-[a-z-]+|received-spf|x-spam[a-z-]*)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*",
    re.IGNORECASE,
)
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
        return tuple(map(self._shown, self._values(b"to")))

    @cached_property
    def cc(self) -> tuple[str, ...]:
        """The Cc fields as they are shown."""
        return tuple(map(self._shown, self._values(b"cc")))

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
        """Whether a machine wrote it or sent it to many (RFC 3834, RFC 2919)."""
        submitted = self._line(b"auto-submitted").lower()
        return (
            (bool(submitted) and not submitted.startswith("no"))
            or self._line(b"precedence").lower() in {"bulk", "junk", "list", "auto_reply"}
            or any(name.startswith(b"list-") for name, _value in self._fields)
            or bool(self._values(b"x-auto-response-suppress"))
        )

    @cached_property
    def is_delivery_report(self) -> bool:
        """Whether it is a report of a mail server about another mail (RFC 3464)."""
        if not self.parts or self.parts[0].content_type != b"multipart/report":
            return False
        kind = decode.parameter(self.parts[0], b"content-type", "report-type")
        return kind.lower() == "delivery-status"

    @cached_property
    def text(self) -> str:
        """What people read: the plain text, else text made from the HTML; at most 256 Ki."""
        if self.parse_error is not None or not self.parts:
            return clean_text(decode.decode_text(self.raw[: MAX_TEXT * 2], "utf-8"))[:MAX_TEXT]
        plain = [part for part in self._bodies if part.content_type == b"text/plain"]
        if plain:
            return "\n".join(self._text_of(part) for part in plain)[:MAX_TEXT]
        return html_to_text(self.html or "")[:MAX_TEXT]

    @property
    def has_html(self) -> bool:
        """Whether there is an HTML body."""
        return self._html_part is not None

    @cached_property
    def html(self) -> str | None:
        """The HTML body as it came, None without one or beyond 256 Ki characters."""
        part = self._html_part
        if part is None or part.end - part.start > MAX_TEXT * 4:
            return None
        html = self._text_of(part)
        return html if len(html) <= MAX_TEXT else None

    @cached_property
    def attachments(self) -> tuple[AttachmentInfo, ...]:
        """The parts that are not the body, in the order of the message."""
        if self.parse_error is not None:
            return ()
        bodies = {id(part) for part in self._bodies}
        return tuple(
            self._attachment(number, part)
            for number, part in enumerate(self.parts)
            if id(part) not in bodies and not _is_container(part)
        )

    @cached_property
    def defects(self) -> tuple[str, ...]:
        """What is wrong with the message, in words for staff."""
        found = []
        if self.from_.problem:
            found.append(f"From: {self.from_.problem}")
        if len(self._values(b"message-id")) > 1:
            found.append("more than one Message-ID field")
        if self._values(b"date") and self.date is None:
            found.append("Date: unreadable")
        return tuple(found)

    def header_values(self, name: str) -> list[str]:
        """Return the values of a field, decoded and cleaned, each as one line."""
        return [self._shown(value) for value in self._values(name.lower().encode())]

    @property
    def _fields(self) -> Sequence[tuple[bytes, bytes]]:
        return self.parts[0].fields if self.parts else ()

    def _values(self, name: bytes) -> list[bytes]:
        return self.parts[0].values(name) if self.parts else []

    def _line(self, name: bytes) -> str:
        return self._shown(self.parts[0].first(name)) if self.parts else ""

    @staticmethod
    def _shown(value: bytes) -> str:
        return decode.decode_words(decode.header_text(value))

    @cached_property
    def _bodies(self) -> tuple[Part, ...]:
        """The text parts that are the body: those not offered as files.

        In multipart/mixed all texts belong to it; of multipart/alternative each kind counts once.
        """
        found: list[Part] = []
        kinds = set()
        for part in self.parts:
            if part.content_type not in {b"text/plain", b"text/html"} or _is_file(part):
                continue
            if part.content_type == b"text/html" and b"html" in kinds:
                continue
            kinds.add(part.content_type.rpartition(b"/")[2])
            found.append(part)
        return tuple(found)

    @property
    def _html_part(self) -> Part | None:
        if self.parse_error is not None:
            return None
        return next((p for p in self._bodies if p.content_type == b"text/html"), None)

    def _text_of(self, part: Part) -> str:
        charset = decode.parameter(part, b"content-type", "charset")
        content = decode.decode_body(part, self.raw, limit=MAX_TEXT * 4)
        return clean_text(decode.decode_text(content, charset))

    def _attachment(self, number: int, part: Part) -> AttachmentInfo:
        media = part.content_type.decode("ascii", "replace")
        disposition = part.first(b"content-disposition").lstrip().lower()
        return AttachmentInfo(
            part=number,
            filename=decode.filename(part) or _name_for(number, media),
            content_type=one_line(media)[:100],
            size=decode.decoded_size(part, self.raw),
            content_id=one_line(decode.header_text(part.first(b"content-id"))).strip("<>")[:300],
            inline=disposition.startswith(b"inline"),
        )


def parse(raw: bytes) -> Message:
    """Read a message; never raises, whatever the bytes are."""
    try:
        return Message(raw, read_structure(raw), None)
    except TooComplex as error:
        return _unparsed(raw, str(error))


def unreadable(raw: bytes) -> Message:
    """Return a message of which nothing is read: for bytes that defeated everything else."""
    return Message(raw, (), "the mail could not be handled")


def _unparsed(raw: bytes, why: str) -> Message:
    """Return a message of which only the plainest header fields are read."""
    head = raw[:MAX_HEADER_BLOCK]
    kept = b"".join(
        line + b"\r\n"
        for line in head.replace(b"\r\n", b"\n").partition(b"\n\n")[0].split(b"\n")[:100]
        if line[:8].lower().startswith((b"from:", b"to:", b"subject:", b"date:"))
        and len(line) < 1000
    )
    try:
        parts = read_structure(kept + b"\r\n")
    except TooComplex:
        parts = ()
    return Message(raw, parts, why)


def read_part(raw: bytes, number: int) -> tuple[str, str, bytes]:
    """Return media type, file name and decoded bytes of a part by its number.

    Raises ``IndexError`` when the message has no such part.
    """
    message = parse(raw)
    part = message.parts[number]
    media = part.content_type.decode("ascii", "replace")
    return media, decode.filename(part) or _name_for(number, media), decode.decode_body(part, raw)


def content_digest(raw: bytes) -> bytes:
    """Return the SHA-256 of a message below the fields that servers put on top of it."""
    found = _TRACE.match(raw)
    start = found.end() if found else 0
    return hashlib.sha256(memoryview(raw)[start:]).digest()


def _is_container(part: Part) -> bool:
    return part.content_type.startswith(b"multipart/") and part.end - part.start > 0


def _is_file(part: Part) -> bool:
    disposition = part.first(b"content-disposition").lstrip().lower()
    return disposition.startswith(b"attachment") or (
        bool(disposition) and bool(decode.parameter(part, b"content-disposition", "filename"))
    )


def _name_for(number: int, media: str) -> str:
    return f"part-{number}.eml" if media == "message/rfc822" else f"part-{number}"
