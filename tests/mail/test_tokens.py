"""Tokens of outgoing mail: nothing but what was signed with one of the keys is believed."""

from base64 import b32decode, b32encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.tokens import (
    TOKEN_LENGTH,
    Token,
    TokenKind,
    looks_like_token,
    make_token,
    read_token,
    token_in_message_id,
)
from core.models import MAX_ID

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
TOKEN = Token(TokenKind.THREAD, 4711, 123456)
TEXT = make_token(KEY, TOKEN)
TOKENS = st.builds(
    Token, st.sampled_from(TokenKind), st.integers(0, MAX_ID), st.integers(0, MAX_ID)
)
KEYS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("kind", list(TokenKind))
@pytest.mark.parametrize("ids", [(0, 0), (0, 1), (4711, 123456), (MAX_ID, MAX_ID)])
def test_what_was_signed_is_read(kind: TokenKind, ids: tuple[int, int]) -> None:
    token = Token(kind, *ids)
    text = make_token(KEY, token)
    assert read_token([KEY], text) == token
    assert read_token([OTHER_KEY, KEY], text) == token
    assert looks_like_token(text)
    assert len(text) == TOKEN_LENGTH
    assert text.isalnum()
    assert text.islower()


def test_the_form_is_the_one_that_mail_under_way_has() -> None:
    """Tokens are believed for two years: a change of their form would orphan mail under way."""
    assert TEXT == "taaabezyaahrea4byx4h5euuqfypi3m33"


def test_without_the_key_nothing_is_believed() -> None:
    assert read_token([], TEXT) is None
    assert read_token([OTHER_KEY], TEXT) is None
    assert read_token([KEY[:31]], TEXT) is None


def test_one_kind_never_passes_for_another() -> None:
    for kind in TokenKind:
        assert (read_token([KEY], kind.value + TEXT[1:]) is None) is (kind is not TOKEN.kind)


def test_every_bit_counts() -> None:
    content = b32decode(TEXT[1:].upper())
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            assert read_token([KEY], "t" + b32encode(bytes(flipped)).decode().lower()) is None


def test_every_character_counts() -> None:
    for position in range(1, TOKEN_LENGTH):
        for character in "abcdefghijklmnopqrstuvwxyz234567":
            changed = TEXT[:position] + character + TEXT[position + 1 :]
            assert (read_token([KEY], changed) == TOKEN) is (changed == TEXT)


@pytest.mark.parametrize("changed", [TEXT.upper(), TEXT.title(), TEXT.swapcase()])
def test_mail_servers_may_change_the_case(changed: str) -> None:
    assert read_token([KEY], changed) == TOKEN
    assert looks_like_token(changed)
    assert token_in_message_id([KEY], f"<{changed}@EXAMPLE.org>") == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "t", TEXT[:-1], TEXT + "a", TEXT * 2, f" {TEXT}", f"{TEXT}\n", TEXT[1:] + "t"),
        *("x" + TEXT[1:], "\0" + TEXT[1:], TEXT[:-1] + "1", TEXT[:-1] + "=", TEXT[:-1] + "-"),
        *(TEXT[:-1] + "ſ", TEXT[:-1] + "\u212a", "ｔ" + TEXT[1:], TEXT[:-1] + "\ud800"),
        *("t" + "=" * 32, "t" + " " * 32, "t" + "\0" * 32, "t" + "a" * 32, "K-1000"),
    ],
)
def test_what_is_none(text: str) -> None:
    assert read_token([KEY], text) is None


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("t" + "a" * 32, True),
        ("B" + "7" * 32, True),
        ("x" + "a" * 32, False),
        ("t" + "1" * 32, False),  # base 32 has no 0, 1, 8, 9
        ("t" + "a" * 31, False),
        ("t" + "ſ" * 32, False),
        ("K-1000", False),
        ("", False),
    ],
)
def test_what_has_the_form(text: str, looks: bool) -> None:
    assert looks_like_token(text) is looks


def test_a_message_id_holds_thread_tokens_only() -> None:
    assert token_in_message_id([KEY], f"<{TEXT}@example.org>") == TOKEN
    assert token_in_message_id([KEY], f" <{TEXT}@another.example> ") == TOKEN
    for kind in (TokenKind.BOUNCE, TokenKind.MUTE):
        text = make_token(KEY, Token(kind, 4711, 123456))
        assert token_in_message_id([KEY], f"<{text}@example.org>") is None
    for text in ("", "<>", f"<x{TEXT}@example.org>", f"<{TEXT}.x@example.org>", f"<@{TEXT}>"):
        assert token_in_message_id([KEY], text) is None


@given(TOKENS, KEYS, KEYS)
def test_any_token_comes_back_and_only_with_its_key(token: Token, key: bytes, other: bytes) -> None:
    text = make_token(key, token)
    assert read_token([key], text) == token
    assert read_token([other, key], text) == token
    if other != key:
        assert read_token([other], text) is None


@given(st.text(max_size=40))
def test_no_text_that_was_not_signed_is_believed(text: str) -> None:
    assert read_token([KEY, OTHER_KEY], text) is None
    assert token_in_message_id([KEY], text) is None
    looks_like_token(text)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=32, max_size=32))
def test_no_text_of_the_right_form_is_believed(body: str) -> None:
    for kind in TokenKind:
        assert looks_like_token(kind.value + body)
        assert read_token([KEY], kind.value + body) is None
