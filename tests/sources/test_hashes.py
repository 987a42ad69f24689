"""Passwords as other systems store them."""

import base64
import hashlib

import bcrypt
import pytest

from core.accounts.passwords import hash_password
from core.sources.hashes import _TO_BCRYPT, is_password

PASSWORD = "Käsekuchen 2026"
TYPED = PASSWORD.encode()

# Made with a salt of sixteen bytes, as OTRS draws one of letters and digits.
SALT = b"abcdefghij012345"
IN_BCRYPT = base64.b64encode(SALT).rstrip(b"=").translate(_TO_BCRYPT)
BCRYPT = bcrypt.hashpw(TYPED, b"$2b$05$" + IN_BCRYPT).decode()

KNOWN = {
    "bcrypt": BCRYPT,
    "bcrypt of PHP": BCRYPT.replace("$2b$", "$2y$"),
    "bcrypt of OTRS": f"BCRYPT:5:{SALT.decode()}:{BCRYPT[-31:]}",
    "sha512": hashlib.sha512(TYPED).hexdigest(),
    "sha256": hashlib.sha256(TYPED).hexdigest().upper(),
    "sha1": hashlib.sha1(TYPED).hexdigest(),
}


@pytest.mark.parametrize("stored", KNOWN.values(), ids=KNOWN)
def test_the_right_one_and_a_wrong_one(stored: str) -> None:
    assert is_password(PASSWORD, stored)
    assert not is_password(PASSWORD + "!", stored)
    assert not is_password("", stored)


def test_argon2() -> None:
    stored = hash_password(PASSWORD)
    assert is_password(PASSWORD, stored)
    assert not is_password(PASSWORD + "!", stored)


def test_an_independent_bcrypt() -> None:
    """A known answer of the Openwall implementation, from its own tests."""
    stored = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
    assert is_password("U*U", stored)
    salt = base64.b64decode(b"EEEEEEEEEEEEEEEEEEEEEA==")  # the same salt in usual base64
    otrs = f"BCRYPT:5:{salt.decode('latin-1')}:{stored[-31:]}"
    assert is_password("U*U", otrs)


# What is stored is no hash of a known form, or too expensive: nobody gets in by it.
UNKNOWN = [
    "",
    PASSWORD,
    hashlib.md5(TYPED).hexdigest(),
    "BCRYPT:31:abcdefghij012345:" + "." * 31,
    BCRYPT.replace("$05$", "$31$"),
    "BCRYPT:5:short:" + "." * 31,
    "BCRYPT:5:abcdefghij01234€:" + "." * 31,
    "$argon2id$broken",
    "$1$abc$def",
]


@pytest.mark.parametrize("stored", UNKNOWN)
def test_what_is_unknown_lets_nobody_in(stored: str) -> None:
    assert not is_password(PASSWORD, stored)


def test_a_long_password() -> None:
    long = "x" * 1025
    assert not is_password(long, hashlib.sha256(long.encode()).hexdigest())
    assert is_password("x" * 100, bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
