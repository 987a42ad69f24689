"""What a domain that passed a mail on had found about its sender (ARC, RFC 8617).

Anybody can seal anything, so only the seals of domains that are listed here are believed, and of
them only the outermost: whoever touched the mail last answers for it. dkimpy computes the
signatures; which fields they are over is decided here, because dkimpy takes ``i=`` for an instance
wherever it stands and trusts the order of the fields.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import dkim

from core.mail.addresses import domain_key
from core.mail.authentication.findings import Findings, Sealed, Source
from core.mail.authentication.resolver import Questions
from core.mail.authentication.results import UNREADABLE, found_by, parse_field
from core.mail.authentication.signatures import (
    Fields,
    Key,
    SignedMail,
    Tags,
    as_signed,
    refused,
    tags_of,
    verifier_of,
)
from core.mail.message import Message

MAX_SETS = 5  # in one mail; the standard allows 50, lists and forwarders need few

_RESULTS = b"arc-authentication-results"
_SIGNATURE = b"arc-message-signature"
_SEAL = b"arc-seal"
_NAMES = (_RESULTS, _SIGNATURE, _SEAL)  # in the order in which a seal covers them (5.1.1)
# The standard wants it first in the results only; everybody writes it first in all three.
_INSTANCE = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([1-9][0-9]?)[ \t\r\n]*;")
_ALGORITHM = b"rsa-sha256"  # the only one of ARC
_IN_SIGNATURE = [b"i", b"a", b"b", b"bh", b"d", b"h", b"s"]
_IN_SEAL = [b"i", b"a", b"b", b"cv", b"d", b"s"]
_NOT_IN_SEAL = frozenset({b"h", b"bh", b"l"})
_RELAXED = b"relaxed/relaxed"


@dataclass(frozen=True, slots=True)
class _Set:
    """The three fields that one sealer added; name and value each."""

    fields: Fields  # in the order of ``_NAMES``
    signature: Tags
    seal: Tags


def check_chain(
    message: Message, domain: str, sealers: Collection[str], questions: Questions
) -> Sealed | None:
    """Return what the last sealer found about a mail of ``domain``.

    None where it is not one of ``sealers``, and where anything of the chain is missing, doubled,
    broken or cannot be verified now: what name servers do not answer changes no verdict. They are
    asked for keys of inner seals only when the outermost one has proven good.
    """
    mail = as_signed(message)
    sets = _sets(mail.fields) if mail is not None else []
    if mail is None or not sets:
        return None
    sealer = _sealer(sets[-1])
    if sealer not in sealers or not all(map(_is_sound, range(1, len(sets) + 1), sets)):
        return None
    if not _is_signed(mail, sets[-1], questions):
        return None
    if not all(_is_sealed(sets[:count], questions) for count in range(len(sets), 0, -1)):
        return None
    return Sealed(sealer, _findings(sets[-1], domain))


def _sets(fields: Fields) -> list[_Set]:
    """Return the sets from the innermost to the outermost; none unless each is there once."""
    found: dict[tuple[int, bytes], list[bytes]] = {}
    for name, value in fields:
        if (kind := name.lower()) not in _NAMES:
            continue
        instance = _INSTANCE.match(value)
        if instance is None or (int(instance[1]), kind) in found:
            return []
        found[int(instance[1]), kind] = [name, value]
        if len(found) > MAX_SETS * len(_NAMES):
            return []
    count = len(found) // len(_NAMES)
    if set(found) != {(number, kind) for number in range(1, count + 1) for kind in _NAMES}:
        return []
    chain = ([found[number, kind] for kind in _NAMES] for number in range(1, count + 1))
    return [_Set(each, tags_of(each[1][1]), tags_of(each[2][1])) for each in chain]


def _sealer(outermost: _Set) -> str:
    """Return the one domain that sealed the chain and signed the mail, else ""."""
    signer, sealer = (
        domain_key(tags.get(b"d", b"").decode("ascii", "replace")) or ""
        for tags in (outermost.signature, outermost.seal)
    )
    return sealer if signer == sealer else ""


def _is_sound(instance: int, one: _Set) -> bool:
    """Whether the tags of a set are as they must be, whatever the signatures say (5.2)."""
    return (
        one.seal.get(b"cv") == (b"none" if instance == 1 else b"pass")
        and one.seal.get(b"a") == one.signature.get(b"a") == _ALGORITHM
        and not _NOT_IN_SEAL & one.seal.keys()
    )


def _is_signed(mail: SignedMail, outermost: _Set, questions: Questions) -> bool:
    """Whether the mail is as the outermost set signed it."""
    tags = outermost.signature
    names = [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]
    if refused(tags) or _SEAL in names:
        return False
    body = mail.body.canonical(tags.get(b"c", b""))
    return _verifies(mail.fields, body, tags, _IN_SIGNATURE, names, outermost.fields[1], questions)


def _is_sealed(sets: list[_Set], questions: Questions) -> bool:
    """Whether the last of these sets seals itself and all before it (5.1.1)."""
    *covered, seal = [field for each in sets for field in each.fields]
    tags = {**sets[-1].seal, b"c": _RELAXED}
    names = [name.lower() for name, _value in covered]
    # Fields of one name are taken from the bottom.
    return _verifies(covered[::-1], b"", tags, _IN_SEAL, names, seal, questions)


def _verifies(
    fields: Fields,
    body: bytes,
    tags: Tags,
    needed: list[bytes],
    covered: list[bytes],
    signature: list[bytes],
    questions: Questions,
) -> bool:
    """Whether a signature is valid over the ``covered`` ones of some fields, and a body."""
    verifier = verifier_of(fields, body)
    try:
        dkim.validate_signature_fields(tags, needed, True)
        valid = verifier.verify_sig(tags, covered, tuple(signature), Key(questions))
    except Exception:  # noqa: BLE001 - keys and signatures of strangers: dkimpy raises many things
        return False
    return bool(valid) and verifier.ktag == b"rsa"


def _findings(outermost: _Set, domain: str) -> Findings:
    """Return what the results of a set say about a mail of ``domain``."""
    value = outermost.fields[0][1]
    instance = _INSTANCE.match(value)
    field = parse_field(value[instance.end() :]) if instance else None
    if field is None:
        return Findings(Source.SEALER, problem=UNREADABLE)
    return found_by(Source.SEALER, [field], domain)
