"""Mutations of the corpus: whatever the bytes are, reading them never raises and gives clean text.

``MAIL_FUZZ_MUTANTS`` is the number of mutants; a million take some hours. Each mutant depends on
its number alone, so a failure names it: ``mutant(NUMBER)`` makes it again.
"""

import os
import random

import pytest

from core.mail.addresses import address_key
from core.mail.customer_numbers import MAX_CLAIMS, find_claims
from core.mail.message import MAX_TEXT, content_digest, parse, read_part
from core.mail.text import split_quoted
from core.settings import Settings
from tests.mail.corpus import names, raw_mail
from tests.mail.storage import is_clean, texts_of

MUTANTS = int(os.environ.get("MAIL_FUZZ_MUTANTS", "15000"))
SETTINGS = Settings()
CORPUS = [raw_mail(name) for name in names()]
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff", b"\xed\xa0\x80", b"\x1b$B", b"  ", b"\t"),
    *(b"--b", b"--b--", b"\r\n--b\r\n", b"boundary=b", b"boundary*0*=utf-8''b", b";" * 50, b'"'),
    *(b"<", b">", b"@", b",", b"(", b"=?utf-8?b?", b"=?utf-8?q?=C3?=", b"?=", b"=?x?q?a?="),
    *(b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html\r\n"),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"),
    *(b"From: a@b.example\r\n", b"charset=utf-16", b"charset=iso-2022-jp", b"charset=hz"),
    *(b"filename*=iso-2022-jp''%1B%24B", b"filename*0*=x''%", b"Date: 1 Jan 99999 99:99\r\n"),
    *(b"<table><tr><td>", b"<!--", b"-->", b"<style>", b"<a href='", b"<img src=cid:x alt="),
    *(
        b"<svg>",
        b"<blockquote>",
        b"<li>",
        b"</p>",
        b"<pre>",
        b"Kundennummer: ",
        b"> ",
        b"\nVon: x\n",
    ),
    *(
        b"%00",
        b"=00",
        b"=",
        b"format=flowed",
        b"Kunden# K-1000",
        b"Content-Disposition: attachment",
    ),
)


def mutant(number: int) -> bytes:
    """Return the mutant of a number: a mail of the corpus with one to eight changes."""
    rng = random.Random(number)
    raw = bytearray(rng.choice(CORPUS))
    for _change in range(rng.randint(1, 8)):
        at = rng.randint(0, len(raw))
        end = min(len(raw), at + rng.choice((1, 1, 4, 20, 200)))
        match rng.randrange(7):
            case 0:
                raw[at:end] = b""
            case 1:
                raw[at:at] = rng.choice(PIECES)
            case 2:
                raw[at:at] = rng.randbytes(rng.choice((1, 2, 10)))
            case 3:
                raw[at:end] = raw[at:end] * rng.choice((2, 3, 50))
            case 4:
                other = rng.choice(CORPUS)
                raw[at:] = other[rng.randint(0, len(other)) :]
            case 5:
                raw[at:end] = bytes(rng.choice(PIECES))
            case _:
                raw = bytearray(raw.replace(*rng.choice(((b"\r\n", b"\n"), (b"\n", b"\r\n")))))
        del raw[200_000:]
    return bytes(raw)


def check(raw: bytes) -> None:
    """Read everything of a mail and check what holds for all of them."""
    message = parse(raw)
    assert [text for text in texts_of(message) if not is_clean(text)] == []
    assert len(message.text) <= MAX_TEXT
    assert (message.from_.address is None) is (message.from_.problem is not None)
    address_key(message.from_.address or "")
    for part in message.parts:
        assert 0 <= part.start <= part.end <= len(raw) or message.parse_error is not None
    for attachment in message.attachments:
        assert attachment.size >= 0
        assert attachment.filename
        read_part(raw, attachment.part)
    claims = find_claims(message, "K-1000", SETTINGS.number_headers, SETTINGS.number_labels)
    assert len(claims) <= MAX_CLAIMS
    assert "\n".join(text for _quoted, text in split_quoted(message.text)) == message.text
    assert len(content_digest(raw)) == 32


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_no_mutant_breaks_the_reader(block: int) -> None:
    for number in range(block * MUTANTS // 20, (block + 1) * MUTANTS // 20):
        try:
            check(mutant(number))
        except Exception as error:
            raise AssertionError(f"mutant({number}) is not read") from error
