"""Mails under a seal (ARC, RFC 8617), made without dkimpy's own way of doing it."""

import base64
import hashlib
import re
import time
from collections.abc import Sequence

from dkim.crypto import RSASSA_PKCS1_v1_5_sign, parse_pem_private_key

from tests.support.dns import private_key


def _relaxed(name: str, value: bytes) -> bytes:
    """Return a field in its canonical form (RFC 6376 3.4.2)."""
    return name.lower().encode() + b":" + re.sub(rb"[ \t\r\n]+", b" ", value).strip() + b"\r\n"


def _fields_in(raw: bytes) -> list[tuple[str, bytes]]:
    """Return the fields of a mail, unfolded."""
    header = raw.partition(b"\r\n\r\n")[0]
    lines = re.sub(rb"\r\n[ \t]", b" ", header).split(b"\r\n")
    return [(line.partition(b":")[0].decode(), line.partition(b":")[2]) for line in lines]


def _with_signature(covered: bytes, name: str, value: str, bits: int = 1024) -> bytes:
    """Return a field that ends with its signature over what it covers and itself."""
    hashed = hashlib.sha256(covered + _relaxed(name, value.encode()).removesuffix(b"\r\n"))
    found = RSASSA_PKCS1_v1_5_sign(hashed, parse_pem_private_key(private_key(bits)))
    return f"{name}: {value}".encode() + base64.b64encode(found)


def arc_sealed(
    raw: bytes,
    domain: str,
    results: str,
    *,
    cv: str = "",
    instance: int = 0,
    signer: str = "",
    selector: str = "s",
    bits: int = 1024,
    names: Sequence[str] = ("from", "to", "subject"),
    first: str = "i={}; ",
    extra: str = "",
    in_seal: str = "",
    algorithm: str = "rsa-sha256",
) -> bytes:
    """Return a mail with a set of ARC on top, by the selector ``s`` of a domain.

    ``first`` begins the two signatures, ``extra`` and ``in_seal`` are tags to add to them.
    """
    before = [each for each in reversed(_fields_in(raw)) if each[0].startswith("ARC-")]
    number = instance or len(before) // 3 + 1
    head = first.format(number)
    answer = (f"ARC-Authentication-Results: i={number}; mx.{domain}; {results}").encode()
    body = base64.b64encode(hashlib.sha256(raw.partition(b"\r\n\r\n")[2]).digest()).decode()
    stamp = f"a={algorithm}; d={{}}; s={selector}; t={int(time.time())}; "
    covered = b"".join(
        _relaxed(name, value)
        for wanted in names
        for name, value in _fields_in(raw)
        if name.lower() == wanted
    )
    tags = f"c=relaxed/relaxed; h={':'.join(names)}; bh={body}; {extra}b="
    message = _with_signature(
        covered, "ARC-Message-Signature", head + stamp.format(signer or domain) + tags, bits
    )
    earlier = sorted(before, key=lambda each: _number_in(each[1]))
    chain = [*earlier, *_fields_in(answer), *_fields_in(message)]
    over = b"".join(_relaxed(*each) for each in chain)
    seal_tags = f"cv={cv or ('none' if number == 1 else 'pass')}; {in_seal}b="
    seal = _with_signature(over, "ARC-Seal", head + stamp.format(domain) + seal_tags, bits)
    return b"\r\n".join((seal, message, answer, raw))


def _number_in(value: bytes) -> int:
    """Return the instance that a field names, 0 where it names none first."""
    found = re.match(rb" i=(\d+);", value)
    return int(found[1]) if found else 0
