"""The arguments of HELO, MAIL and RCPT by our own grammar, narrower than aiosmtpd's (threat P12).

They come decoded as UTF-8; bytes that are none are surrogates, which no address may hold.
"""

import re
from dataclasses import dataclass

from core.intake.incoming import Reply
from core.mail.addresses import is_valid_envelope_address
from gateway import replies

MAX_HOST_NAME = 255  # RFC 5321 4.5.3.1.2

_KEYWORD = re.compile(r"(FROM|TO):[ \t]*", re.IGNORECASE)
_PATH = re.compile(r"<([^<>]*)>(?:[ \t]+(.*))?", re.DOTALL)
_PARAMETER = re.compile(r"([A-Z0-9][A-Z0-9-]*)(?:=([!-<>-~]+))?")  # RFC 5321 4.1.2
_HOST_NAME = re.compile(rf"[!-~\u00a1-\ud7ff\ue000-\U0010ffff]{{1,{MAX_HOST_NAME}}}")


class Refused(Exception):
    """A command that cannot be obeyed; ``reply`` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Sender:
    """A reverse-path without its brackets, "" for the null one, and what MAIL says besides."""

    address: str
    smtputf8: bool = False


def host_name(argument: str | None) -> str:
    """Read the argument of HELO, EHLO or LHLO; it is only recorded, so any name will do."""
    name = (argument or "").strip()
    if not _HOST_NAME.fullmatch(name):
        raise Refused(replies.BAD_HOST_NAME)
    return name


def sender(argument: str | None, *, extended: bool, max_bytes: int) -> Sender:
    """Read ``FROM:<reverse-path> parameters``; ``extended`` says that EHLO allowed them."""
    address, text = _path(argument, "FROM", replies.MAIL_SYNTAX, replies.BAD_SENDER)
    parameters = _parameters(text, extended=extended)
    size = parameters.pop("SIZE", "0")
    if not size.isdigit():
        raise Refused(replies.BAD_PARAMETER)
    if int(size[:20]) > max_bytes:  # RFC 1870 3: at most 20 digits
        raise Refused(replies.TOO_BIG)
    if parameters.pop("BODY", "7BIT").upper() not in {"7BIT", "8BITMIME"}:  # RFC 6152
        raise Refused(replies.BAD_PARAMETER)
    smtputf8 = "SMTPUTF8" in parameters
    if parameters.pop("SMTPUTF8", ""):
        raise Refused(replies.BAD_PARAMETER)
    if parameters:
        raise Refused(replies.UNKNOWN_PARAMETER)
    if address:
        _check(address, replies.BAD_SENDER, smtputf8=smtputf8)
    return Sender(address, smtputf8)


def recipient(argument: str | None, *, smtputf8: bool) -> str:
    """Read ``TO:<forward-path>`` and return the address without its brackets."""
    address, text = _path(argument, "TO", replies.RECIPIENT_SYNTAX, replies.BAD_RECIPIENT)
    if text:
        raise Refused(replies.UNKNOWN_PARAMETER)
    _check(address, replies.BAD_RECIPIENT, smtputf8=smtputf8)
    return address


def _path(argument: str | None, keyword: str, syntax: Reply, malformed: Reply) -> tuple[str, str]:
    """Return the address between the brackets and what follows them."""
    text = argument or ""
    found = _KEYWORD.match(text)
    if found is None or found[1].upper() != keyword or text[found.end() : found.end() + 1] != "<":
        raise Refused(syntax)
    path = _PATH.fullmatch(text.rstrip(" \t"), found.end())
    if path is None:
        raise Refused(malformed)
    return path[1], path[2] or ""


def _parameters(text: str, *, extended: bool) -> dict[str, str]:
    if text and not extended:
        raise Refused(replies.UNKNOWN_PARAMETER)
    parameters: dict[str, str] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word.upper())
        if found is None or found[1] in parameters:
            raise Refused(replies.BAD_PARAMETER)
        parameters[found[1]] = found[2] or ""
    return parameters


def _check(address: str, malformed: Reply, *, smtputf8: bool) -> None:
    if not is_valid_envelope_address(address):
        raise Refused(malformed)
    if not address.isascii() and not smtputf8:
        raise Refused(replies.NEEDS_SMTPUTF8)
