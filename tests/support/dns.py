"""A name server on loopback that answers from zones in the test, and signatures to go with it."""

import base64
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Thread
from typing import Any

import dkim
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 300
Zone = Mapping[tuple[str, str], Sequence[str]]  # records in text form by name and type


@dataclass
class NameServer:
    """A running name server; ``asked`` are the questions it got.

    Names in ``silent`` get no answer at all, those in ``failing`` get SERVFAIL.
    """

    address: str
    zone: dict[tuple[str, str], Sequence[str]]
    silent: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def server(self) -> tuple[str, int]:
        """The address and port."""
        host, _colon, port = self.address.partition(":")
        return host, int(port)

    def answer(self, wire: bytes) -> bytes | None:
        """Return the response to a query."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records := self.zone.get((name, kind)):
            response.answer.append(dns.rrset.from_text(question.name, TTL, "IN", kind, *records))
        elif not any(known == name for known, _kind in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=65_000)


@contextmanager
def name_server(zone: Zone) -> Iterator[NameServer]:
    """Run a name server while the block lasts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        running = NameServer(f"127.0.0.1:{listener.getsockname()[1]}", dict(zone))

        def serve() -> None:
            while True:
                wire, client = listener.recvfrom(65_535)
                if not wire:
                    return
                if (response := running.answer(wire)) is not None:
                    listener.sendto(response, client)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield running
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", listener.getsockname())
            thread.join()


@cache
def private_key(bits: int = 1024) -> bytes:
    """Return a private key of the tests, as PEM."""
    return _openssl("genrsa", "-traditional", str(bits))


@cache
def key_record(bits: int = 1024) -> str:
    """Return the record that publishes the key, in text form."""
    public = _openssl("rsa", "-pubout", "-outform", "DER", input=private_key(bits))
    text = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
    return " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))


def _openssl(*arguments: str, input: bytes = b"") -> bytes:  # noqa: A002 - as subprocess calls it
    return subprocess.run(
        ("openssl", *arguments), input=input, capture_output=True, check=True
    ).stdout


def signed(raw: bytes, domain: str, *, bits: int = 1024, **options: Any) -> bytes:
    """Return a mail with a DKIM signature of a domain, by the selector ``s`` and dkimpy."""
    signature: bytes = dkim.sign(raw, b"s", domain.encode(), private_key(bits), **options)
    return signature + raw
