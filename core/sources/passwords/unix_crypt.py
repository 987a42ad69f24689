"""The hashes that Unix systems and web servers store: $1$, $apr1$, $5$, $6$, and the DES one.

Only for comparing with what another system has stored: none of them is made for new passwords.
MD5: as FreeBSD has it in crypt(3). SHA: U. Drepper, "Unix crypt using SHA-256 and SHA-512". DES:
FIPS 46-3, which crypt(3) changes by two letters of salt.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

from core.sources.passwords.des import des_blocks

# What a row says must not keep us busy for hours: this is a second or two. Passlib's are 656,000.
MAX_ROUNDS = 700_000
MAX_PASSWORD = 256  # bytes; nobody has signed in with more to a system that stores such hashes

_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MD5 = re.compile(r"\$(1|apr1)\$([^$:\s]{1,8})\$[./0-9A-Za-z]{22}")
_SHA = re.compile(r"\$([56])\$(?:rounds=([1-9]\d{3,8})\$)?([^$:\s]{0,16})\$[./0-9A-Za-z]{43,86}")
_DES = re.compile(r"([./0-9A-Za-z])([./0-9A-Za-z])[./0-9A-Za-z]{11}")
_MD5_ROUNDS = 1_000
_SHA_ROUNDS = 5_000  # unless a hash says how many

_Digest = Callable[[bytes], bytes]


def crypt(password: bytes, stored: str) -> str | None:
    """Return what ``stored`` would be if this were its password.

    None for what has no form of these, and what would take too long.
    """
    if len(password) > MAX_PASSWORD:
        return None
    if found := _DES.fullmatch(stored):
        return found[1] + found[2] + _des(password, found[1], found[2])
    if found := _MD5.fullmatch(stored):
        return f"${found[1]}${found[2]}${_md5_crypt(password, found[1], found[2])}"
    if found := _SHA.fullmatch(stored):
        rounds = int(found[2] or _SHA_ROUNDS)
        if rounds > MAX_ROUNDS:
            return None
        made = (_sha256 if found[1] == "5" else _sha512)(password, found[3].encode(), rounds)
        return stored[: found.end(3) + 1] + made
    return None


def _md5_crypt(password: bytes, magic: str, salt_text: str) -> str:
    digest, salt = _digest("md5"), salt_text.encode()
    begun = password + f"${magic}$".encode() + salt
    begun += _filled(digest(password + salt + password), len(password))
    begun += b"".join(b"\0" if bit else password[:1] for bit in _bits(len(password)))
    mixed = _mixed(digest, digest(begun), password, salt, _MD5_ROUNDS)
    order = [index for first in range(4) for index in (first, first + 6, first + 12)]
    return _letters(mixed, [*order, 4, 10, 5, None, None, 11])


def _sha256(password: bytes, salt: bytes, rounds: int) -> str:
    mixed = _sha_mixed(_digest("sha256"), password, salt, rounds)
    return _letters(mixed, [*_turned([0, 10, 20], 10, by=2), None, 31, 30])


def _sha512(password: bytes, salt: bytes, rounds: int) -> str:
    mixed = _sha_mixed(_digest("sha512"), password, salt, rounds)
    return _letters(mixed, [*_turned([0, 21, 42], 21, by=1), None, None, 63])


def _sha_mixed(digest: _Digest, password: bytes, salt: bytes, rounds: int) -> bytes:
    length = len(password)
    inner = digest(password + salt + password)
    begun = password + salt + _filled(inner, length)
    begun += b"".join(inner if bit else password for bit in _bits(length))
    first = digest(begun)
    long_password = _filled(digest(password * length), length)
    long_salt = _filled(digest(salt * (16 + first[0])), len(salt))
    return _mixed(digest, first, long_password, long_salt, rounds)


def _mixed(digest: _Digest, state: bytes, password: bytes, salt: bytes, rounds: int) -> bytes:
    for number in range(rounds):
        state = digest(
            (password if number & 1 else state)
            + (salt if number % 3 else b"")
            + (password if number % 7 else b"")
            + (state if number & 1 else password)
        )
    return state


def _des(password: bytes, first: str, second: str) -> str:
    """Return eleven letters: only the lower seven bits of the first eight bytes count."""
    key = bytes(byte << 1 & 0xFF for byte in password[:8].ljust(8, b"\0"))
    salt = [_LETTERS.index(letter) >> bit & 1 for letter in (first, second) for bit in range(6)]
    bits = des_blocks(key, salt, times=25) << 2
    return "".join(_LETTERS[bits >> place & 63] for place in range(60, -1, -6))


def _digest(name: str) -> _Digest:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


def _filled(pattern: bytes, length: int) -> bytes:
    return (pattern * (length // len(pattern) + 1))[:length]


def _bits(number: int) -> Iterator[int]:
    """Yield the bits of a number, the lowest first, up to its highest one."""
    while number:
        yield number & 1
        number >>= 1


def _turned(places: list[int], times: int, *, by: int) -> Iterator[int]:
    """Yield three places again and again, each time one further and turned among themselves."""
    for _time in range(times):
        yield from places
        places = [place + 1 for place in places[by:] + places[:by]]


def _letters(data: bytes, order: Sequence[int | None]) -> str:
    """Return bytes as letters, in threes of this order; places that are None need no letter."""
    made = ""
    for start in range(0, len(order), 3):
        three = order[start : start + 3]
        value = 0
        for place in three:
            value = value << 8 | (data[place] if place is not None else 0)
        count = 4 - three.count(None)
        made += "".join(_LETTERS[value >> 6 * index & 63] for index in range(count))
    return made
