"""Delivery reports: what another mail server says became of a mail (RFC 3464).

Reading one is total and bounded like all of ``core.mail``. A report proves nothing by itself:
which mail it is about is known from the address that it was sent to, never from what it says.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.mail.addresses import MAX_ADDRESS, address_key
from core.mail.decode import decode_body, decode_text, parameter
from core.mail.message import Message
from core.mail.text import clean_text, one_line

MAX_RECIPIENTS = 100  # of one report; those after them are not read
MAX_STATUS_PART = 64 * 1024  # bytes of a delivery-status part that are read
MAX_DIAGNOSTIC = 400  # characters

# RFC 3464, and RFC 6533 for addresses beyond ASCII.
_STATUS_PARTS = frozenset({b"message/delivery-status", b"message/global-delivery-status"})
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,50})[ \t]*:(.*)")
_TYPED = re.compile(r"[A-Za-z0-9-]{1,30}[ \t]*;(.*)")  # RFC 3464 2.1.2: address-type; address
_COMMENT_BEHIND = re.compile(r"[ \t]\(.*\)$")
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 3
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")  # RFC 3463; no IP address
_CODE = re.compile(r"([245]\d\d)-")
_CODE_AGAIN = r" {code}(?:-(?:[245]\.\d{{1,3}}\.\d{{1,3}} )?| [245]\.\d{{1,3}}\.\d{{1,3}} )"
_QMAIL = "Hi. This is the "  # the first words of every report in qmail's format (QSBMF)
_QMAIL_RECIPIENT = re.compile(r"<([^<>\n]{1,320})>:\n(.*)", re.DOTALL)
# Subjects of RFC 3463 (the middle number) that blame a mail system, content or policy.
_NOT_THE_ADDRESS = ("3", "6", "7")
_ABOUT_MAILBOX = ("550", "551", "553", "556")


class Action(StrEnum):
    """What the other server did (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


_ACTION_OF_STATUS = {"5": Action.FAILED, "4": Action.DELAYED, "2": Action.DELIVERED}


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of a mail for one recipient.

    ``address`` is the one that the other server tried in the end, ``original`` the one that it
    was given; each is "" where the report does not say. ``status`` is a code of RFC 3463 as in
    ``5.1.1``, or ""; ``diagnostic`` one clean line of at most 400 characters.
    """

    address: str
    action: Action
    status: str
    diagnostic: str
    original: str = ""

    @property
    def failed(self) -> bool:
        """Whether the mail did not reach this recipient and never will."""
        return self.action is Action.FAILED

    @property
    def hard(self) -> bool:
        """Whether it failed for a lasting reason: not one that says to try again later."""
        return self.failed and not self.status.startswith("4")

    @property
    def blames_address(self) -> bool:
        """Whether it failed because of the address, as far as the status tells."""
        return self.hard and is_about_address(self.status)

    @property
    def reason(self) -> str:
        """The status and what the other server said, as one line."""
        if self.status and self.status not in self.diagnostic:
            return f"{self.status} {self.diagnostic}".strip()
        return self.diagnostic

    def is_for(self, key: str) -> bool:
        """Whether this is about the address with this key (``core.mail.addresses``)."""
        return key in (address_key(self.original), address_key(self.address))


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery report. Without recipients it is one that says nothing more that can be read."""

    recipients: tuple[ReportedRecipient, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the mail did not reach somebody and never will. Delayed is not failed."""
        return any(each.failed for each in self.recipients)

    @property
    def hard(self) -> bool:
        """Whether it failed for somebody for a lasting reason."""
        return any(each.hard for each in self.recipients)

    @property
    def delayed(self) -> bool:
        """Whether it is still being tried for somebody."""
        return any(each.action is Action.DELAYED for each in self.recipients)

    def about(self, key: str) -> "Report":
        """Return what it says of the recipient with this address key.

        Where it does not name them it is as a whole: the address may be an alias of others.
        """
        own = tuple(each for each in self.recipients if each.is_for(key))
        return Report(own) if own else self


def is_about_address(status: str) -> bool:
    """Whether a status code, or none, may mean that the address is wrong.

    A system that is broken, a content that is refused, and a policy (RFC 3463 3.4, 3.7, 3.8) say
    nothing about the address: a relay that refuses us would otherwise spoil every address.
    """
    return not status or status.split(".")[1] not in _NOT_THE_ADDRESS


def reply_blames_address(reply: str) -> bool:
    """Whether a server's refusal, which begins with its code, means that the address is wrong.

    Without an enhanced status code only those of RFC 5321 4.2.3 and RFC 7504 that are about the
    mailbox do: 554, for one, may be about anything.
    """
    status = status_in(reply)
    return is_about_address(status) if status else reply.startswith(_ABOUT_MAILBOX)


def status_in(text: str) -> str:
    """Return the first enhanced status code in a server's words, "" for none."""
    found = _STATUS.search(text)
    return found[1] if found else ""


def read_report(message: Message) -> Report | None:
    """Return what a message reports about the delivery of another; None if it is no report."""
    parts = [part for part in message.parts if part.content_type in _STATUS_PARTS]
    if parts:
        texts = (decode_body(part, message.raw, limit=MAX_STATUS_PART) for part in parts)
        found = (each for text in texts for each in _recipients(decode_text(text, "")))
        return Report(_some(found))
    failed = message.header_values("X-Failed-Recipients")  # Exim before 4.8, and some gateways
    if failed:
        return Report(_some(_failed_recipients(failed[0])))
    if message.text.startswith(_QMAIL):
        return Report(_some(_qmail_recipients(message.text[:MAX_STATUS_PART])))
    return Report() if _is_report_without_status(message) else None


def _some(recipients: Iterator[ReportedRecipient]) -> tuple[ReportedRecipient, ...]:
    return tuple(each for each, _number in zip(recipients, range(MAX_RECIPIENTS), strict=False))


def _is_report_without_status(message: Message) -> bool:
    """Whether a mail server sent it, though in a form that says nothing to a program.

    ``multipart/report`` is also the form of receipts and of complaints (RFC 6522).
    """
    if message.parts and message.parts[0].content_type == b"multipart/report":
        kind = parameter(message.parts[0], b"content-type", b"report-type").lower()
        return kind in {"", "delivery-status"}
    local, _at, _domain = (message.from_.address or "").partition("@")
    return local.lower() == "mailer-daemon"


def _recipients(text: str) -> Iterator[ReportedRecipient]:
    """Yield the recipients of a delivery-status part."""
    for fields in _groups(clean_text(text)):
        recipient = _recipient(fields)
        if recipient is not None:
            yield recipient


def _groups(text: str) -> Iterator[Mapping[str, str]]:
    """Yield the groups of fields, which empty lines separate; of fields with one name the first.

    Mailers get this wrong in two ways that are understood: the empty line is missing, so that a
    second recipient follows in the same group; and a line goes on without a blank before it.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        found = _FIELD.match(line)
        begun = found[1].lower() if found else ""
        if not line.strip() or (begun == "final-recipient" and begun in fields):
            yield fields
            fields, name = {}, ""
        if found is None:
            value = line
        else:
            name, value = "" if begun in fields else begun, found[2]
        if name:
            fields[name] = f"{fields.get(name, '')} {value.strip()}".strip()
    yield fields


def _recipient(fields: Mapping[str, str]) -> ReportedRecipient | None:
    """Return what a group says, None for the group about the message and for one without news."""
    if not fields.keys() & {"final-recipient", "original-recipient", "action"}:
        return None
    diagnostic = _diagnostic(fields.get("diagnostic-code", ""))
    status = status_in(fields.get("status", "")) or status_in(diagnostic)
    action = _action(fields.get("action", ""), status)
    if action is None:
        return None
    return ReportedRecipient(
        address=_address(fields.get("final-recipient", "")),
        action=action,
        status=status,
        diagnostic=diagnostic,
        original=_address(fields.get("original-recipient", "")),
    )


def _action(text: str, status: str) -> Action | None:
    """Return the action that a field names; without one of RFC 3464 what the status means."""
    word = text.split(maxsplit=1)[0].lower() if text else ""
    if word in set(Action):
        return Action(word)
    return _ACTION_OF_STATUS.get(status[:1])


def _address(field: str) -> str:
    """Return the address in ``type; address``, without brackets or a comment behind it."""
    typed = _TYPED.match(field)
    address = _COMMENT_BEHIND.sub("", one_line(typed[1] if typed else field)).strip("<> ")
    return one_line(_ESCAPED.sub(_character, address))[:MAX_ADDRESS]


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 else found[0]


def _diagnostic(field: str) -> str:
    """Return what the other server said, as one line; it repeats its code on every line of it."""
    typed = _TYPED.match(field)
    text = one_line(typed[1] if typed else field)
    code = _CODE.match(text)
    if code is not None:
        again = re.compile(_CODE_AGAIN.format(code=code[1]))
        text = f"{code[1]} {again.sub(' ', text[code.end() :])}"
    return one_line(text)[:MAX_DIAGNOSTIC].strip()


def _failed_recipients(field: str) -> Iterator[ReportedRecipient]:
    """Yield the recipients in a list with commas between them."""
    for each in field.split(","):
        if address := _address(each):
            yield ReportedRecipient(address, Action.FAILED, "", "")


def _qmail_recipients(text: str) -> Iterator[ReportedRecipient]:
    """Yield the recipients of a report in qmail's format, which always means failure.

    Paragraphs ``<address>:`` with a reason below; the mail itself follows one that begins with
    a hyphen (https://cr.yp.to/proto/qsbmf.txt).
    """
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("-"):
            return
        found = _QMAIL_RECIPIENT.match(paragraph.strip("\n"))
        if found is not None:
            reason = _diagnostic(found[2])
            yield ReportedRecipient(_address(found[1]), Action.FAILED, status_in(reason), reason)
