"""Passwords: how they are hashed and what they must be like.

Hashing is meant to be slow (some 50 ms), so it is never done inside a writing transaction: SQLite
has one writer, and intake would wait for it. It is meant to need memory, too (19 MiB each), so
only few are made at a time: many sign-ins at once wait for each other instead of filling it.
"""

import secrets
import unicodedata
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from core import audit
from core.accounts.account import Account, object_kind_of
from core.accounts.copies import check_no_copy
from core.accounts.logins import login_key
from core.accounts.sessions import end_sessions
from core.audit import Actor
from core.errors import Invalid
from core.i18n import gettext as _
from core.models import Staff

MIN_CHARACTERS = 10
MAX_BYTES = 1024
_ONE_TIME_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like another

# argon2id (RFC 9106); the least memory that OWASP's password storage cheat sheet asks for, and
# one pass more
_HASHER = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1)
_AT_A_TIME = BoundedSemaphore(2)


def check_password_rules(password: str, login: str, field: str = "password") -> None:
    """Raise ``Invalid`` unless the password has 10 characters, 1024 bytes at most, and is not
    the login.
    """
    if len(password.encode(errors="surrogatepass")) > MAX_BYTES:
        raise Invalid(field, _("A password has at most %(limit)d bytes.", limit=MAX_BYTES))
    if len(password) < MIN_CHARACTERS:
        raise Invalid(
            field, _("A password has at least %(limit)d characters.", limit=MIN_CHARACTERS)
        )
    if login_key(password) == login_key(login):
        raise Invalid(field, _("The password must not be the login."))


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with its parameters and a new salt in it."""
    with _AT_A_TIME:
        return _HASHER.hash(_bytes(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password is the one that was hashed.

    It takes as long where there is no hash to compare with, so that time does not tell whether
    an account exists. A password of more than 1024 bytes is never right.
    """
    if len(password) > MAX_BYTES or len(_bytes(password)) > MAX_BYTES:
        password, stored = "", None
    compared = stored or _unused_hash()
    try:
        with _AT_A_TIME:
            _HASHER.verify(compared, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_new_hash(stored: str) -> bool:
    """Whether the hash was made with other parameters than hashes are made with today."""
    return _HASHER.check_needs_rehash(stored)


def new_one_time_password() -> str:
    """Return a password to be handed over once: 20 letters and digits in groups, 99 bits."""
    letters = [secrets.choice(_ONE_TIME_ALPHABET) for _position in range(20)]
    return "-".join("".join(letters[start : start + 5]) for start in range(0, 20, 5))


def set_password(
    session: Session,
    actor: Actor,
    account: Account,
    password_hash: str,
    *,
    one_time: bool = False,
    keep_session: bytes | None = None,
) -> None:
    """Give an account a password that was checked and hashed before, and end its sessions.

    ``keep_session`` is the token hash of the session that goes on. After a ``one_time`` password
    staff must choose their own first. Raises ``Invalid`` for a copy: its source has the password.
    """
    check_no_copy(account, "password")
    account.password_hash = password_hash
    if isinstance(account, Staff):
        account.must_change_password = one_time
    end_sessions(session, account, keep=keep_session)
    audit.record(session, actor, "password-set", object_kind_of(account), account.id, account.login)


@cache
def _unused_hash() -> str:
    return hash_password(secrets.token_urlsafe())


def _bytes(password: str) -> bytes:
    """One password, one byte string: in NFC, however the keyboard composes its letters."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
