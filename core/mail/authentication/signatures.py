"""DKIM signatures (RFC 6376), verified by dkimpy, with what we do not count (threat I7).

dkimpy is given the header and a body that is canonical already: its own canonicalisation takes
minutes for some bodies.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from core.i18n import N_
from core.mail.addresses import domain_key
from core.mail.authentication.findings import Result, Signature
from core.mail.authentication.resolver import NoAnswer, Questions
from core.mail.authentication.verdict import is_aligned
from core.mail.message import Message

MAX_SIGNATURES = 5
MAX_FIELD = 4096  # bytes of a DKIM-Signature field
MAX_NAMES = 200  # of fields in h=
MAX_KEY = 1024  # bytes of a key's record: a key of 4096 bits has 750
MIN_KEY_BITS = 1024  # of RSA; all keys of Ed25519 have 256
CLOCK_SKEW = 300  # seconds

_OTHER = N_("The signature is not by the domain of the sender.")
_PART = N_("The signature covers only a part of the text (l=).")
_SHA1 = N_("The signature uses a broken hash (SHA-1).")
_UNKNOWN = N_("The signature uses an algorithm that is not supported.")
_FROM = N_("The signature does not cover the From field.")
_EXPIRED = N_("The signature has expired.")
_FUTURE = N_("The signature is dated in the future.")
_SHORT = N_("The key of the signature is too short.")
_MALFORMED = N_("The signature is malformed.")
_NO_KEY = N_("The domain publishes no such key.")
_CHANGED = N_("The mail was changed after it was signed, or the signature is forged.")

_ALGORITHMS = frozenset({b"rsa-sha256", b"ed25519-sha256"})  # RFC 6376, RFC 8463
_LONG_BLANK = re.compile(rb"\s{100}")  # dkimpy's expressions take time for them
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BLANKS = re.compile(rb"[ \t]+")
_DIGITS = re.compile(rb"[0-9]{1,15}")
_SILENT = logging.Logger("dkimpy", logging.CRITICAL)  # it reports what strangers get wrong

Fields = list[list[bytes]]
Tags = dict[bytes, bytes]


def check_signatures(message: Message, domain: str, questions: Questions) -> tuple[Signature, ...]:
    """Return the results of the signatures of a mail whose one From is in ``domain``.

    Those of other domains are told, but not verified: they prove nothing. Never raises.
    """
    mail = as_signed(message)
    if mail is None:
        return ()
    values = [value for name, value in mail.fields if name.lower() == b"dkim-signature"]
    own: list[Signature] = []
    others: list[Signature] = []
    for number, value in enumerate(values[: MAX_SIGNATURES * 4]):
        tags = tags_of(value)
        signer = domain_key(tags.get(b"d", b"").decode("ascii", "replace")) or ""
        if tags and not is_aligned(signer, domain):
            others.append(Signature(Result.NONE, signer, _OTHER))
        elif len(own) < MAX_SIGNATURES:
            result, why = _verify(mail, number, tags, questions)
            own.append(Signature(result, signer, why))
    return (*own, *others[: MAX_SIGNATURES - len(own)])


@dataclass(frozen=True, slots=True)
class SignedMail:
    """A mail as those see it who sign and verify."""

    fields: Fields
    body: "_Body"


def as_signed(message: Message) -> SignedMail | None:
    """Return a mail as it is signed, None where dkimpy sees another mail than we do."""
    start = message.parts[0].start
    try:
        fields, rest = dkim.rfc822_parse(message.raw[:start])
    except dkim.DKIMException:
        return None
    if rest.strip() or sum(name.lower() == b"from" for name, _value in fields) != 1:
        return None
    return SignedMail(fields, _Body(message.raw[start:]))


def tags_of(value: bytes) -> Tags:
    """Return the tags of a signature, none when it is malformed or takes too long to read."""
    if len(value) > MAX_FIELD or _LONG_BLANK.search(value):
        return {}
    try:
        tags: Tags = parse_tag_value(value)
    except InvalidTagValueList:
        return {}
    return tags


def verifier_of(fields: Fields, body: bytes) -> dkim.DKIM:
    """Return what verifies signatures over these fields and this canonical body, silently."""
    verifier = dkim.DKIM(logger=_SILENT, minkey=MIN_KEY_BITS)
    verifier.headers = fields
    verifier.body = body
    return verifier


def _verify(mail: SignedMail, number: int, tags: Tags, questions: Questions) -> tuple[Result, str]:
    if why := refused(tags):
        return why
    key = Key(questions)
    verifier = verifier_of(mail.fields, mail.body.canonical(tags.get(b"c", b"")))
    try:
        valid = verifier.verify(number, dnsfunc=key)
    except Exception:  # noqa: BLE001 - keys and signatures of strangers: dkimpy raises many things
        # dkimpy has no size for a key that is meant for something else than mail.
        if verifier.keysize and verifier.ktag == b"rsa" and verifier.keysize < MIN_KEY_BITS:
            return Result.POLICY, _SHORT
        return (Result.TEMPERROR, "") if key.unknown else (Result.FAIL, _CHANGED)
    if valid and tags[b"a"].startswith(verifier.ktag + b"-"):
        return Result.PASS, ""
    if key.unknown:
        return Result.TEMPERROR, ""
    return (Result.FAIL, _CHANGED) if key.found else (Result.PERMERROR, _NO_KEY)


def refused(tags: Tags) -> tuple[Result, str] | None:
    """Return why a signature does not count, whatever the key says."""
    names = [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]
    times = [tags[tag] for tag in (b"t", b"x") if tag in tags]
    if not tags or len(names) > MAX_NAMES or not all(map(_DIGITS.fullmatch, times)):
        return Result.PERMERROR, _MALFORMED
    now = time.time()
    checks: tuple[tuple[bool, str], ...] = (
        (b"l" in tags, _PART),
        (tags.get(b"a") == b"rsa-sha1", _SHA1),
        (tags.get(b"a") not in _ALGORITHMS, _UNKNOWN),
        (b"from" not in names, _FROM),
        (int(tags.get(b"x", b"0") if b"x" in tags else now) < now - CLOCK_SKEW, _EXPIRED),
        (int(tags.get(b"t", b"0")) > now + CLOCK_SKEW, _FUTURE),
    )
    return next(((Result.POLICY, why) for holds, why in checks if holds), None)


class Key:
    """The look-up of a key that dkimpy makes; remembers what came of it."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self.unknown = False
        self.found = False

    def __call__(self, name: bytes, timeout: float = 0) -> bytes | None:
        try:
            records = self._questions.texts(name.decode("ascii", "replace"))
        except NoAnswer:
            self.unknown = True
            return None
        keys = [text for text in records if b"p=" in text and len(text) <= MAX_KEY]
        self.found = bool(keys)
        return keys[0] if keys else None


class _Body:
    """The body of a mail in its canonical forms (RFC 6376 3.4), each made once, in linear time."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._forms: dict[bool, bytes] = {}

    def canonical(self, method: bytes) -> bytes:
        """Return the form that c= asks for: ``relaxed/relaxed``, ``simple``."""
        relaxed = method.partition(b"/")[2].strip() == b"relaxed"
        if relaxed not in self._forms:
            self._forms[relaxed] = self._make(_relax if relaxed else bytes)
        return self._forms[relaxed]

    def _make(self, change: Callable[[bytes], bytes]) -> bytes:
        text = change(_BARE_LF.sub(b"\r\n", self._body)).rstrip(b"\r\n")
        return text + b"\r\n"


def _relax(body: bytes) -> bytes:
    return _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n")
