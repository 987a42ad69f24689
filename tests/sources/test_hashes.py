"""Passwords as other systems store them."""

import base64
import hashlib

import bcrypt
import pytest

from core.accounts.passwords import hash_password
from core.sources.passwords.hashes import _TO_BCRYPT, is_password
from core.sources.passwords.unix_crypt import crypt

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


LONG = "a very much longer text to encrypt.  This one even stretches over morethan one line."
# From the specification of SHA-crypt, from the tests of glibc, and from the manuals of Apache and
# PHP; what none of them has (long salts, umlauts, a password of 64 bytes) was made by libxcrypt.
PUBLISHED = [
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoE"
        "OfaS35inz1",
    ),
    (
        LONG,
        "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t"
        "0oSwbtEW7o7UmJEiDwGqd8p4ur1",
    ),
    ("Hello world!", "$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1"),
    ("rasmuslerdorf", "$1$rasmusle$rISCgZzpwk3UhDidwXvin0"),
    ("rasmuslerdorf", "rl.3StKT.4T8M"),
    ("myPassword", "rqXexS6ZhobKA"),
    ("myPassword", "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"),
    ("Käsekuchen", "z/nV1oiTuk7gc"),
    (PASSWORD, "$1$12345678$9PG7nUtMppQC7SRp8TiRH."),
    ("x" * 64, "$5$rounds=1001$abcdefghijklmnop$GbWd4HKO9/ypG7abbm9o9jxalRvjbcNWM6nK2lCPjq1"),
    (
        PASSWORD * 5,
        "$6$a$G7EWkmd4LHBiQO4Ycgton9ca.OU2hHNYg.4e72SUpv0QnayxHUjxOAkM8eVy6VLNvWtGf6qkxbMlBfpg7c4Ou.",
    ),
]


@pytest.mark.parametrize(("password", "stored"), PUBLISHED)
def test_known_answers_of_crypt(password: str, stored: str) -> None:
    assert is_password(password, stored)
    wrong = "." if stored[-1] != "." else "/"
    assert not is_password(password, stored[:-1] + wrong)
    assert not is_password(password[1:], stored)


def test_des_looks_at_eight_letters() -> None:
    assert is_password("rasmusle", "rl.3StKT.4T8M")
    assert not is_password("rasmusl", "rl.3StKT.4T8M")


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
    "$6$rounds=700001$salt$" + "." * 86,
    "$6$rounds=999$salt$" + "." * 86,
    "$5$salt$" + "." * 86,
    "$7$salt$" + "." * 43,
    "$apr1$$" + "." * 22,
    "!l.3StKT.4T8M",
    "*",
]


@pytest.mark.parametrize("stored", UNKNOWN)
def test_what_is_unknown_lets_nobody_in(stored: str) -> None:
    assert not is_password(PASSWORD, stored)


def test_a_long_password() -> None:
    stored = crypt(b"x" * 8, "zz" + "." * 11)
    assert stored is not None
    assert is_password("x" * 256, stored)
    assert not is_password("x" * 257, stored)
    long = "x" * 1025
    assert not is_password(long, hashlib.sha256(long.encode()).hexdigest())
    assert is_password("x" * 100, bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
