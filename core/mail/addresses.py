"""Mail addresses: their comparison key, sub-addresses, the envelope's grammar and the From field.

Written against RFC 5321 and RFC 5322 where they are unambiguous; whatever is unusual counts as
malformed, because an address here decides whose mail it is.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import idna
from email_validator import EmailNotValidError, validate_email

from core.errors import Invalid
from core.i18n import gettext as _
from core.mail.decode import decode_words

MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3: a path of 256 with its brackets
MAX_FROM_FIELD = 4096
MAX_DISPLAY = 500

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-" + "\u00a1-\ud7ff\ue000-\U0010ffff"
_LOCAL = rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*"
_LETTER = r"A-Za-z0-9\u00a1-\ud7ff\ue000-\U0010ffff"
_LABEL = rf"[{_LETTER}](?:[{_LETTER}\-]{{0,61}}[{_LETTER}])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_ADDR_SPEC = re.compile(rf"({_LOCAL})@({_DOMAIN})")
# Nobody reads what is sent there, or a machine answers it (RFC 3834, 2; RFC 5230, 4.6).
_NO_READER = re.compile(
    r"(mailer-?daemon|postmaster|(no|do[-_.]?not)[-_.]?reply|bounces?|owner-.*|.*-request)",
    re.IGNORECASE,
)
_QUOTED_STRING = re.compile(r'"((?:[^"\\\r\n]|\\[^\r\n])*)"')
_ATOM = re.compile(rf"[{_ATEXT}.]+")


@lru_cache(maxsize=16_384)
def address_key(address: str) -> str | None:
    """Return the key by which addresses are compared, None for what is no address.

    NFC, without white space around it, local part in lower case, domain as lower-case A-labels:
    ``MÜLLER@Bücher.example`` and ``müller@xn--bcher-kva.example`` have one key. Not more is
    folded: ``straße@`` and ``strasse@`` are two mailboxes, and so are all that only look alike or
    differ in what follows a ``+``.
    """
    stripped = address.strip()
    if len(stripped) > MAX_ADDRESS:
        return None
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stripped).lower())
    found = _ADDR_SPEC.fullmatch(lowered)
    if found is None or not lowered.isprintable():
        return None
    if found[1].isascii() and not stripped.rpartition("@")[0].isascii():
        return None  # such as the Kelvin sign: its lower case is an ASCII k, another's address
    domain = domain_key(found[2])
    return f"{found[1]}@{domain}" if domain else None


@lru_cache(maxsize=4096)
def domain_key(domain: str) -> str | None:
    """Return a domain as lower-case A-labels (RFC 5890), None for what is no domain."""
    lowered = domain.strip().rstrip(".").lower()
    if lowered.isascii():
        return lowered if re.fullmatch(_DOMAIN, lowered) else None
    try:
        return idna.encode(lowered, uts46=True).decode("ascii")
    except UnicodeError:  # IDNAError is one
        return None


def with_unicode_domain(key: str) -> str:
    """Return an address key with its domain as people write it, where that differs."""
    local, at, domain = key.rpartition("@")
    if "xn--" not in domain:
        return key
    try:
        return f"{local}{at}{idna.decode(domain)}"
    except UnicodeError:  # IDNAError is one
        return key


def split_subaddress(address: str) -> tuple[str, str | None]:
    """Split ``support+K-1000@x`` into ``support@x`` and ``K-1000`` (RFC 5233)."""
    local, _at, domain = address.rpartition("@")
    base, plus, tag = local.partition("+")
    if not plus or not base:
        return address, None
    return f"{base}@{domain}", tag or None


def has_no_reader(address: str) -> bool:
    """Whether an address is by its name none of a person: nothing is sent there by itself."""
    local = split_subaddress(address)[0].rpartition("@")[0]
    return _NO_READER.fullmatch(local) is not None


def is_valid_envelope_address(address: str) -> bool:
    """Whether an envelope path, without brackets, is a plain address.

    Control characters, quoted local parts, source routes and the ``%`` and ``!`` routes of old
    are refused: nobody needs them to reach us, and each has opened a relay somewhere.
    """
    if address.lower() == "postmaster":
        return True  # RFC 5321 4.1.1.3
    local, _at, _domain = address.rpartition("@")
    if len(address) > MAX_ADDRESS or "%" in local or "!" in local:
        return False  # no limit of its own for the local part: bounce addresses pass 64 octets
    found = _ADDR_SPEC.fullmatch(address)
    return found is not None and address.isprintable() and domain_key(found[2]) is not None


def check_new_address(address: str, field: str = "email") -> str:
    """Return an address that somebody entered, normalised; raise ``Invalid`` for a wrong one."""
    entered = address.strip()
    if entered.count("@") != 1:
        raise Invalid(field, _("A mail address has one @, as in name@example.org."))
    if re.search(r"[\s,;<>\"]", entered):
        raise Invalid(field, _("Please enter one mail address, without a name and without blanks."))
    try:
        normalized = _normalized(entered)
    except EmailNotValidError:  # its reasons are English
        raise Invalid(field, _("This is not a mail address that can be used here.")) from None
    if address_key(normalized) is None:
        raise Invalid(field, _("This is not a mail address that can be used here."))
    return normalized


@lru_cache(maxsize=4096)  # what comes in by the thousand is looked at several times
def _normalized(address: str) -> str:
    return validate_email(address, check_deliverability=False).normalized


@dataclass(frozen=True, slots=True)
class FromResult:
    """What a From field says. ``address`` is set exactly if ``problem`` is None.

    ``display`` always has something to show; ``name`` is the decoded display name.
    """

    address: str | None
    name: str
    display: str
    problem: str | None


def parse_from(values: Sequence[str]) -> FromResult:
    """Read the From fields of a message: exactly one field with exactly one clean mailbox.

    Encoded words (RFC 2047) are decoded only in the display name and only after the address is
    found, so none can smuggle an address in. Comments, groups and obsolete syntax count as
    malformed: they let two parsers see two senders.
    """
    if not values:
        return FromResult(None, "", "", "missing")
    shown = decode_words(values[0][:MAX_FROM_FIELD])[:MAX_DISPLAY]
    if len(values) > 1:
        return FromResult(None, "", shown, "multiple fields")
    value = re.sub(r"\r?\n(?=[ \t])", "", values[0]).strip(" \t\r\n")
    if not value:
        return FromResult(None, "", "", "missing")
    if len(value) > MAX_FROM_FIELD or any(ord(char) < 32 and char != "\t" for char in value):
        return FromResult(None, "", shown, "malformed")
    return _parse_mailbox(value, shown)


def _parse_mailbox(value: str, shown: str) -> FromResult:
    """Read ``name <addr-spec>`` or a bare ``addr-spec`` (RFC 5322 3.4)."""
    phrase, bracket, rest = _split_at_bracket(value)
    address = rest.removesuffix(">") if bracket else value
    problem = None
    if "," in _QUOTED_STRING.sub("", value):
        problem = "multiple mailboxes"
    elif not _is_clean(address) or (bracket and not (rest.endswith(">") and _is_phrase(phrase))):
        problem = "malformed"
    if problem is not None:
        return FromResult(None, "", shown, problem)
    name = decode_words(_unquoted(phrase))[:MAX_DISPLAY] if bracket else ""
    return FromResult(address, name, _display(name, address), None)


def _is_clean(address: str) -> bool:
    """Whether this is an addr-spec that every reader understands in the same way.

    An encoded word in it (RFC 2047 5 forbids that) is decoded by some and not by others.
    """
    if len(address) > MAX_ADDRESS or "=?" in address or not _ADDR_SPEC.fullmatch(address):
        return False
    return address.isascii() or address_key(address) is not None


def _display(name: str, address: str) -> str:
    """Return what people see; quotation marks show where a name ends that looks like an address."""
    if not name:
        return address
    return f'"{name}" <{address}>' if re.search(r"[<>@]", name) else f"{name} <{address}>"


def _split_at_bracket(value: str) -> tuple[str, str, str]:
    """Split at the first ``<`` that is not inside a quoted string."""
    if '"' not in value:
        return value.partition("<")
    inside = escaped = False
    for position, char in enumerate(value):
        if escaped:
            escaped = False
        elif char == "\\" and inside:
            escaped = True
        elif char == '"':
            inside = not inside
        elif char == "<" and not inside:
            return value[:position], "<", value[position + 1 :]
    return value, "", ""


def _is_phrase(phrase: str) -> bool:
    """Whether this is atoms, quoted strings and white space: no group, comment or route."""
    rest = _QUOTED_STRING.sub(" ", phrase)
    return all(_ATOM.fullmatch(word) for word in rest.split())


def _unquoted(phrase: str) -> str:
    return _QUOTED_STRING.sub(lambda found: re.sub(r"\\(.)", r"\1", found[1]), phrase).strip()
