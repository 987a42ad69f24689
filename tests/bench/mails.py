"""The mails that are sent: 2 KB ones, and a realistic mix of German and English mail."""

import base64
import random
from collections.abc import Iterator

SENTENCES = (
    "Guten Tag, seit heute früh lässt sich der Drucker im zweiten Stock nicht mehr ansprechen.",
    "Bitte rufen Sie mich unter der bekannten Nummer zurück, am besten vor zwölf Uhr.",
    "We have tried restarting the service twice, but the error comes back after an hour.",
    "Die Rechnung vom letzten Monat enthält eine Position, die wir nicht zuordnen können.",
    "Could you please check whether the certificate was renewed in time?",
    "Vielen Dank für die schnelle Antwort, das hat uns sehr geholfen.",
)


def small(sender: str, recipient: str, number: int, rng: random.Random) -> bytes:
    """Return a plain mail of 2 KB."""
    return _plain(sender, recipient, number, rng, 1_500)


def mixed(sender: str, recipient: str, number: int, rng: random.Random) -> bytes:
    """Return one mail of the mix: 70 % text, 20 % with a file of 30 KB, 10 % follow-ups."""
    kind = rng.random()
    if kind < 0.5:
        return _plain(sender, recipient, number, rng, rng.randint(1_000, 3_000))
    if kind < 0.7:
        return _alternative(sender, recipient, number, rng)
    if kind < 0.9:
        return _with_file(sender, recipient, number, rng)
    reply = "In-Reply-To: <earlier@customer.example>\r\nReferences: <earlier@customer.example>\r\n"
    quoted = "".join(f"> {line}\r\n" for line in _lines(rng, 1_500))
    return _plain(sender, recipient, number, rng, 800, reply, quoted)


def _header(sender: str, recipient: str, number: int, more: str = "") -> str:
    return (
        f"From: Kunde Mueller <{sender}>\r\nTo: {recipient}\r\n"
        "Received: from mail.customer.example (mail.customer.example [192.0.2.7])\r\n"
        "\tby mx.example.org with ESMTPS; Tue, 24 Nov 2026 09:00:00 +0100\r\n"
        f"Subject: =?utf-8?q?Anfrage_Nr=2E_{number}_=C3=BCber_den_Drucker?=\r\n"
        f"Message-ID: <bench-{number}@customer.example>\r\n"
        "Date: Tue, 24 Nov 2026 09:00:00 +0100\r\nMIME-Version: 1.0\r\n" + more
    )


def _lines(rng: random.Random, size: int) -> Iterator[str]:
    written = 0
    while written < size:
        sentence = rng.choice(SENTENCES)
        written += len(sentence) + 2
        yield sentence


def _plain(
    sender: str,
    recipient: str,
    number: int,
    rng: random.Random,
    size: int,
    more: str = "",
    tail: str = "",
) -> bytes:
    head = _header(sender, recipient, number, more)
    body = "".join(f"{line}\r\n" for line in _lines(rng, size)) + tail
    return (
        f"{head}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: 8bit\r\n\r\n{body}"
    ).encode()


def _alternative(sender: str, recipient: str, number: int, rng: random.Random) -> bytes:
    lines = list(_lines(rng, 1_500))
    head = _header(sender, recipient, number)
    html = "".join(f"<p>{line}</p>\r\n" for line in lines)
    text = "".join(f"{line}\r\n" for line in lines)
    return (
        f'{head}Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>{html}</body></html>\r\n"
        "--b--\r\n"
    ).encode()


def _with_file(sender: str, recipient: str, number: int, rng: random.Random) -> bytes:
    head = _header(sender, recipient, number)
    text = "".join(f"{line}\r\n" for line in _lines(rng, 1_200))
    file = base64.encodebytes(rng.randbytes(30_000)).replace(b"\n", b"\r\n").decode()
    return (
        f'{head}Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        '--b\r\nContent-Type: application/pdf; name="Rechnung.pdf"\r\n'
        'Content-Disposition: attachment; filename="Rechnung.pdf"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{file}--b--\r\n"
    ).encode()
