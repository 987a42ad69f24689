"""The bar of memory: a gateway that takes in ten mails of 25 MB at once."""

import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.bench.organisation import sqlite_folder
from tests.bench.report import Bar, at_most
from tests.bench.servers import program
from tests.bench.smtp_load import RECIPIENT

MAILS = 10
SIZE = 25_000_000


def measure() -> Iterator[Bar]:
    """Send the mails at once, and read what the gateway needed at its worst."""
    line = b"A" * 76 + b"\r\n"
    body = line * (SIZE // len(line))
    with sqlite_folder() as (url, folder), program("gateway", url, folder) as gateway:

        def send(number: int) -> None:
            head = (
                f"From: user{number}@customer.example\r\nTo: {RECIPIENT}\r\n"
                f"Subject: Anlage {number}\r\nMessage-ID: <{number}@customer.example>\r\n\r\n"
            ).encode()
            with smtplib.SMTP("127.0.0.1", gateway.port, timeout=120) as client:
                client.sendmail(f"user{number}@customer.example", [RECIPIENT], head + body)

        with ThreadPoolExecutor(MAILS) as pool:
            list(pool.map(send, range(MAILS)))
        peak = gateway.peak_memory
    yield at_most("memory of the gateway, ten mails of 25 MB at once", peak, 150, unit=" MB")
