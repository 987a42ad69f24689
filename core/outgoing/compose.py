"""Making a message that goes out: every byte of it is written here, none is passed through.

What comes from outside (a subject that is answered, a name) gets into a header field as one clean
line, encoded (RFC 2047); the finished message is checked to have exactly the fields that were
intended, so that no value can add one (threats M14 and P2).

Everything is ASCII but for a mail address whose local part is not: that has no other form, so such
a header is UTF-8 (RFC 6532), and the message can only go to a server that offers SMTPUTF8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import encoders, policy
from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import quote

from core.mail.addresses import domain_key, is_valid_envelope_address
from core.mail.decode import shorter_filename
from core.mail.text import clean_text, one_line
from core.mail.uploads import Upload

MAX_SUBJECT = 300  # characters of a subject that goes out
MAX_NAME = 100
MAX_REFERENCES = 20  # ids of earlier mails that are named
MAX_ID = 250  # characters of one of them; longer ones are left out
MAX_ENCODED_FILENAME = 900  # octets: the whole parameter stands on one line of at most 998
SAFE_FILENAME = 75  # characters, which are at most 12 octets each when encoded
_LINE = 76
_SMTP = policy.compat32.clone(linesep="\r\n", max_line_length=_LINE)


class Mailbox(NamedTuple):
    """A mail address with the name of who has it, which may be ""."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a message says and to whom; ``message_id``, ``in_reply_to`` and ``references`` have
    their angle brackets.

    ``automatic`` marks what nobody wrote (RFC 3834: auto responses; ``generated`` what we send
    on our own accord). ``unsubscribe`` is the address for List-Unsubscribe (RFC 8058), or "".
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    reply_to: str = ""
    subject: str
    text: str
    date: datetime
    message_id: str
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: str = ""  # "", "auto-replied" or "auto-generated"
    unsubscribe: str = ""
    uploads: tuple[Upload, ...] = ()


class NotComposed(Exception):
    """A message came out other than intended: it must not be sent."""


def compose(letter: Letter) -> bytes:
    """Return a message with CRLF line ends, ready for DATA (RFC 5322).

    Raises ``NotComposed`` when a header field is there that was not intended, and ``ValueError``
    for a sender or recipient that is no mail address, without any recipient, and for a Message-ID
    that is none.
    """
    fields = _fields(letter)
    body = _body(letter)  # with MIME's fields on top, which follow ours
    header = "".join(_folded(name, value) for name, value in fields)
    raw = header.encode("utf-8") + body.as_bytes(policy=_SMTP)
    _check(raw, [*(name for name, _value in fields), *body.keys()])
    return raw


def needs_smtputf8(raw: bytes, mail_from: str, recipient: str) -> bool:
    """Whether a message can only go to a server that offers SMTPUTF8 (RFC 6531).

    It does when a local part in its header or its envelope is beyond ASCII. A server without the
    extension will never take it: that is a failure for good, not one to try again.
    """
    header = raw.partition(b"\r\n\r\n")[0]
    return not (header.isascii() and mail_from.isascii() and recipient.isascii())


def to_ascii_domain(address: str) -> str:
    """Return an address with its domain as A-labels, as servers know it (RFC 5891)."""
    local, _at, domain = address.rpartition("@")
    return f"{local}@{domain_key(domain) or domain}"


def subject_of_reply(subject: str, number: int) -> str:
    """Return the subject of a mail about a ticket: its number once, in front.

    The number is for people; what a mail answers is proven by its token.
    """
    tag = f"[Ticket#{number}]"
    rest = one_line(one_line(subject).replace(tag, " "))
    while rest[:3].lower() in {"re:", "aw:"}:
        rest = rest[3:].strip()
    return f"{tag} {rest}"[:MAX_SUBJECT].strip()


def _fields(letter: Letter) -> list[tuple[str, str]]:
    if not letter.to:
        raise ValueError("no recipient")
    if not _is_message_id(letter.message_id):
        raise ValueError(f"not a Message-ID: {letter.message_id!r}")
    unsubscribes = _stands_in_brackets(letter.unsubscribe)
    fields = [
        ("From", _mailbox(letter.sender)),
        ("To", _mailboxes(letter.to)),
        ("Cc", _mailboxes(letter.cc)),
        ("Reply-To", _mailbox(Mailbox(letter.reply_to)) if letter.reply_to else ""),
        ("Subject", _text(letter.subject, MAX_SUBJECT, "Subject")),
        ("Date", format_datetime(letter.date)),
        ("Message-ID", letter.message_id),
        ("In-Reply-To", _references([letter.in_reply_to])),
        ("References", _references(letter.references)),
        ("Auto-Submitted", letter.automatic),
        ("Precedence", "bulk" if letter.automatic else ""),
        ("X-Auto-Response-Suppress", "All" if letter.automatic else ""),
        ("List-Unsubscribe", f"<{letter.unsubscribe}>" if unsubscribes else ""),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click" if unsubscribes else ""),
    ]
    return [(name, value) for name, value in fields if value]


def _mailboxes(mailboxes: Sequence[Mailbox]) -> str:
    return ", ".join(_mailbox(each) for each in mailboxes)


def _mailbox(mailbox: Mailbox) -> str:
    """Return an address, with its name in front where there is one (RFC 5322 3.4)."""
    address = to_ascii_domain(mailbox.address)
    if not is_valid_envelope_address(address) or "=?" in address:
        raise ValueError(f"not a mail address: {mailbox.address!r}")
    name = one_line(mailbox.name)[:MAX_NAME].strip()
    if not name:
        return address
    if _is_plain(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{_encoded(name)} <{address}>"


def _text(text: str, limit: int, field: str) -> str:
    line = one_line(text)[:limit].strip()
    return line if _is_plain(line) else _encoded(line, field)


def _is_plain(text: str) -> bool:
    """Whether a text needs no encoding; one that looks encoded does, or readers would decode it."""
    return text.isascii() and "=?" not in text


def _encoded(text: str, field: str = "") -> str:
    """Return a text as encoded words (RFC 2047), which are separated by blanks on one line."""
    words = Header(text, "utf-8", maxlinelen=_LINE - 1, header_name=field or "To")
    return words.encode(linesep="")


def _folded(field: str, value: str) -> str:
    """Return a field with its line end; its first word stands beside its name."""
    first, *words = value.split(" ")
    lines = [f"{field}: {first}"]
    for word in words:
        if len(lines[-1]) + len(word) >= _LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\r\n" for line in lines)


def _references(ids: Sequence[str]) -> str:
    """Return ids for References: the first, and the newest of the others."""
    clean = [each for each in dict.fromkeys(ids) if len(each) <= MAX_ID and _is_message_id(each)]
    kept = clean if len(clean) <= MAX_REFERENCES else [clean[0], *clean[1 - MAX_REFERENCES :]]
    return " ".join(kept)


def _is_message_id(text: str) -> bool:
    inside = text[1:-1]
    return text[:1] + text[-1:] == "<>" and "@" in inside and _stands_in_brackets(inside)


def _stands_in_brackets(text: str) -> bool:
    """Whether a text can be written between ``<`` and ``>`` as it is."""
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & set("<> ")


def _body(letter: Letter) -> Message:
    text = _text_part(letter.text)
    if not letter.uploads:
        return text
    mixed = MIMEMultipart("mixed")
    mixed.attach(text)
    for upload in letter.uploads:
        mixed.attach(_file(upload))
    return mixed


def _text_part(text: str) -> MIMEText:
    charset = Charset("utf-8")
    charset.body_encoding = QP
    body = clean_text(text)
    return MIMEText(body if body.endswith("\n") else body + "\n", "plain", charset)  # type: ignore[arg-type]


def _file(upload: Upload) -> MIMEBase:
    part = MIMEBase(*upload.media_type)
    part.set_payload(upload.content)
    encoders.encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=_filename(upload.name))
    return part


def _filename(name: str) -> str | tuple[str, str, str]:
    """Return a name as the email package takes it: three parts for RFC 2231."""
    if _is_plain(name):
        return name
    if len(quote(name)) > MAX_ENCODED_FILENAME:
        name = shorter_filename(name, SAFE_FILENAME)
    return "utf-8", "", name


def _check(raw: bytes, intended: Sequence[str]) -> None:
    """Raise ``NotComposed`` unless the header has these fields, each once, in this order."""
    header, end, _body_bytes = raw.partition(b"\r\n\r\n")
    lines = header.split(b"\r\n")
    found = [
        line.partition(b":")[0].decode("ascii", "replace")
        for line in lines
        if line[:1] not in b" \t"
    ]
    bare = header.replace(b"\r\n", b"")
    if not end or found != list(intended) or b"\r" in bare or b"\n" in bare:
        raise NotComposed(f"header fields {found} instead of {list(intended)}")
