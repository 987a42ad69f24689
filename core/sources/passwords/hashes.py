"""Passwords as other systems store them. They are only compared: what is stored stays theirs.

Known are bcrypt (its usual form, and the one of OTRS and OTOBO), argon2, those of crypt(3) from
DES to SHA-512 and the one of Apache (``core.sources.passwords.unix_crypt``), and SHA-512, SHA-256
and SHA-1 in hex digits, which OTRS wrote without a salt.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable

import bcrypt

from core.accounts.passwords import MAX_BYTES, verify_password
from core.sources.passwords.unix_crypt import crypt

BCRYPT_BYTES = 72  # of a password; bcrypt looks at no more
MAX_COST = 14  # of bcrypt, about a second: what a row says must not keep us busy for hours

_HEX = re.compile(r"[0-9a-fA-F]+")
_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_OTRS_BCRYPT = re.compile(r"BCRYPT:(\d{1,2}):(.{16}):([./A-Za-z0-9]{31})", re.DOTALL)

_DIGESTS: dict[int, Callable[[bytes], "hashlib._Hash"]] = {
    128: hashlib.sha512,
    64: hashlib.sha256,
    40: hashlib.sha1,
}
_OURS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OF_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_BCRYPT = bytes.maketrans(_OURS, _OF_BCRYPT)


def is_password(password: str, stored: str) -> bool:
    """Whether a password is the one that another system has stored.

    Never for an empty one, one of more than 1024 bytes, and what is stored in no known form: plain
    text is none.
    """
    typed = password.encode(errors="surrogatepass")
    if not typed or len(typed) > MAX_BYTES:
        return False
    digest = _DIGESTS.get(len(stored))
    if digest is not None and _HEX.fullmatch(stored):
        return _same(digest(typed).hexdigest(), stored.lower())
    if stored.startswith("$argon2"):
        return verify_password(password, stored)
    modular = _modular(stored)
    if modular is not None:
        return bcrypt.checkpw(typed[:BCRYPT_BYTES], modular)
    would_be = crypt(typed, stored)
    return would_be is not None and _same(would_be, stored)


def _modular(stored: str) -> bytes | None:
    """Return a bcrypt hash in its usual form; None for what is none, or costs too much."""
    usual = _BCRYPT.fullmatch(stored)
    if usual:
        return stored.encode() if int(usual[1]) <= MAX_COST else None
    otrs = _OTRS_BCRYPT.fullmatch(stored)
    if otrs is None or not 4 <= int(otrs[1]) <= MAX_COST:
        return None
    try:
        salt = base64.b64encode(otrs[2].encode("latin-1")).rstrip(b"=").translate(_TO_BCRYPT)
    except UnicodeEncodeError:
        return None
    return b"$2b$%02d$%b%b" % (int(otrs[1]), salt, otrs[3].encode())


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
