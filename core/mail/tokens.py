"""Tokens in outgoing mail: what proves that a mail answers one of ours (threat I2).

A token names a ticket and an outgoing mail and is signed with a key of this installation (HMAC,
96 bits kept). It stands in our Message-IDs, so that it comes back in ``In-Reply-To`` and
``References``; in the sub-address of ``Reply-To``; and in the reverse-path, where bounces go
(VERP). It is letters and digits of one case only, because mail servers change the case of
addresses.
"""

import hmac
from base64 import b32decode, b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

TOKEN_LENGTH = 33  # characters: its kind, then 20 bytes in base 32
_ID_BYTES = 4
_MAC_BYTES = 12
_CHARACTERS = TOKEN_LENGTH - 1


class TokenKind(StrEnum):
    """What a token is for; one kind never passes for another."""

    THREAD = "t"
    BOUNCE = "b"
    MUTE = "m"


@dataclass(frozen=True, slots=True)
class Token:
    """The ticket (0 where there is none) and the outgoing mail that a token names."""

    kind: TokenKind
    ticket_id: int
    outgoing_id: int


def make_token(key: bytes, token: Token) -> str:
    """Return a token as text of 33 lower-case letters and digits."""
    ids = _ids(token)
    body = b32encode(ids + _mac(key, token.kind, ids)).decode("ascii").lower()
    return token.kind.value + body


def read_token(keys: Sequence[bytes], text: str) -> Token | None:
    """Return what a text says that is a token signed with one of these keys, else None."""
    if len(text) != TOKEN_LENGTH or not text.isascii():
        return None
    try:
        kind = TokenKind(text[0].lower())
        content = b32decode(text[1:].upper())
    except ValueError:
        return None
    ids, mac = content[: 2 * _ID_BYTES], content[2 * _ID_BYTES :]
    if not any(hmac.compare_digest(mac, _mac(key, kind, ids)) for key in keys):
        return None
    return Token(
        kind, int.from_bytes(ids[:_ID_BYTES], "big"), int.from_bytes(ids[_ID_BYTES:], "big")
    )


def looks_like_token(text: str) -> bool:
    """Whether a text has the form of a token, whoever made it: then it is nothing else."""
    if len(text) != TOKEN_LENGTH or not text.isascii() or text[0].lower() not in set(TokenKind):
        return False
    return all(char in "abcdefghijklmnopqrstuvwxyz234567" for char in text[1:].lower())


def token_in_message_id(keys: Sequence[bytes], message_id: str) -> Token | None:
    """Return the thread token in ``<TOKEN@domain>``, None where there is none of ours."""
    local = message_id.strip("<> \t").partition("@")[0]
    token = read_token(keys, local)
    return token if token is not None and token.kind is TokenKind.THREAD else None


def _ids(token: Token) -> bytes:
    return token.ticket_id.to_bytes(_ID_BYTES, "big") + token.outgoing_id.to_bytes(_ID_BYTES, "big")


def _mac(key: bytes, kind: TokenKind, ids: bytes) -> bytes:
    return hmac.digest(key, b"schalter token 1 " + kind.value.encode() + ids, "sha256")[:_MAC_BYTES]
