"""DATA: what is kept is what was sent, or the message is refused as a whole."""

import pytest
from sqlalchemy import select

from core.models import Mail
from gateway.limits import MIB, Limits
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, HELLO, MESSAGE, Running

BARE = "S: 550 5.5.2 Bare <CR> or <LF> received"
HEAD = b"From: anna@muster.example\r\nSubject: x\r\n\r\n"


@pytest.mark.parametrize("length", [998, 999, 1_000, 2_000, 60_000, 65_536])
def test_long_lines(gateway: Running, length: int) -> None:
    """Threat P18: a bounce for a long line helps nobody."""
    body = HEAD + b"x" * length + b"\r\n"
    send(gateway, body, ACCEPTED)
    assert gateway.stored() == [body]


def test_a_line_that_is_too_long(gateway: Running) -> None:
    send(gateway, HEAD + b"x" * 65_537 + b"\r\n", "S: 500 5.5.2 Line too long")
    assert gateway.stored() == []


RAW = [
    ("8-bit header", b"From: J\xf6rg <anna@muster.example>\r\n\r\nx\r\n"),
    ("broken UTF-8", HEAD + b"\xff\xfe\r\n"),
    ("NULs", HEAD + b"a\0b\r\n" + b"\0" * 100 + b"\r\n"),
    ("no header", b"\r\nonly text\r\n"),
    ("no body", b"From: anna@muster.example\r\nSubject: x\r\n"),
    ("only NULs", b"\0" * 100 + b"\r\n"),
    ("nothing", b""),
    ("lines of a dot", HEAD + b".\r\n..\r\n.a\r\n"),
]


@pytest.mark.parametrize("body", [row[1] for row in RAW], ids=[row[0] for row in RAW])
def test_the_exact_bytes_are_kept(gateway: Running, body: bytes) -> None:
    send(gateway, body, ACCEPTED)
    assert gateway.stored() == [body]


def test_a_message_in_many_small_pieces(gateway: Running) -> None:
    body = HEAD + b"..dots\r\n\r\n.\r\nend\r\n"
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        for byte in stuffed(body) + b".\r\n":
            client.send(bytes([byte]))
        client.play(ACCEPTED)
    assert gateway.stored() == [body]


def test_a_big_message_goes_through_a_file(run: Run) -> None:
    gateway = run(max_message_bytes=5 * MIB)
    body = HEAD + b"".join(b".%075d\r\n" % n for n in range(60_000))
    assert 4 * MIB < len(body) < 5 * MIB
    send(gateway, body, ACCEPTED)
    assert gateway.stored() == [body]


def test_size_is_announced_and_checked_at_mail(run: Run) -> None:
    gateway = run(max_message_bytes=10_000)
    gateway.play("""
        S: 220 *
        C: EHLO x
        S: 250-mail.example.org
        S: 250-PIPELINING
        S: 250-SIZE 10000
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250 ENHANCEDSTATUSCODES
        C: MAIL FROM:<a@b.example> SIZE=10001
        S: 552 5.3.4 Message too big
        C: MAIL FROM:<a@b.example> SIZE=10000
        S: 250 2.1.0 OK
    """)


def test_size_is_checked_during_data(run: Run) -> None:
    """A little too much is read to its end, and the session goes on."""
    gateway = run(max_message_bytes=10_000)
    line = b"x" * 98 + b"\r\n"
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        client.send(line * 101 + b".\r\n")
        client.play(f"S: 552 5.3.4 Message too big\n{ENVELOPE}{DATA}")
        client.send(line * 100 + b".\r\n")
        client.play(ACCEPTED)
    assert gateway.stored() == [line * 100]


def test_far_too_much_is_cut(run: Run) -> None:
    gateway = run(max_message_bytes=10_000, limits=Limits(farewell_seconds=0.2))
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        client.send(b"x" * 98 + b"\r\n" + b"y" * 90_000)
        client.play("S: 552 5.3.4 Message too big\nS: (closed)")
    assert gateway.stored() == []


# Threat P1. What comes after the would-be end must stay part of the refused message.
SMUGGLED = [
    r"x\n.\n\ ",
    r"x\n.\r\n\ ",
    r"x\r\n.\n\ ",
    r"x\r\n.\r\ ",
    r"x\r.\r\ ",
    r"x\r\r\n.\r\r\n\ ",
]


@pytest.mark.parametrize("would_be_end", [text.rstrip() for text in SMUGGLED])
def test_nothing_is_smuggled(gateway: Running, would_be_end: str) -> None:
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}
        C: {would_be_end}
        C: MAIL FROM:<evil@elsewhere.example>
        C: RCPT TO:<vertrieb@example.org>
        C: DATA
        C: smuggled
        C: .
        {BARE}
        C: QUIT
        S: 221 2.0.0 Bye
        S: (closed)
    """)
    assert gateway.stored() == []


def test_nul_before_the_end_is_one_message(gateway: Running) -> None:
    gateway.play(rf"""{HELLO}{ENVELOPE}{DATA}
        C: \0\r\n.\r\n\
        {ACCEPTED}
        S: (silence)
    """)
    assert gateway.stored() == [b"\0\r\n"]


def test_the_message_before_a_refused_one_is_kept(gateway: Running) -> None:
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        {ACCEPTED}
        {ENVELOPE}{DATA}
        C: a\\nb
        C: .
        {BARE}
    """)
    assert len(gateway.stored()) == 1


def test_a_relay_may_send_bare_lf(run: Run) -> None:
    """And ends a message with CRLF.CRLF alone, as everybody."""
    gateway = run(trusted_relays=["127.0.0.0/8"])
    gateway.play(rf"""{HELLO}{ENVELOPE}{DATA}
        C: From: anna@muster.example\nSubject: x\n\n1\n.\n2
        C: .
        {ACCEPTED}
        S: (silence)
    """)
    assert gateway.stored() == [b"From: anna@muster.example\r\nSubject: x\r\n\r\n1\r\n.\r\n2\r\n"]


def test_fifty_one_hops_are_a_loop(gateway: Running) -> None:
    """Threat L5."""
    received = b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0100\r\n"
    send(gateway, received * 50 + HEAD, ACCEPTED)
    another = received * 51 + HEAD + b"another\r\n"
    send(gateway, another, "S: 554 5.4.6 Message refused: too many hops")


@pytest.mark.parametrize(("relays", "trusted"), [([], False), (["127.0.0.0/8"], True)])
def test_the_envelope_is_recorded(run: Run, relays: list[str], trusted: bool) -> None:
    gateway = run(trusted_relays=relays)
    send(gateway, HEAD, ACCEPTED)
    with gateway.database.read() as session:
        mail = session.scalars(select(Mail)).one()
    assert (mail.mail_from, mail.peer, mail.helo) == (
        "anna@muster.example",
        "127.0.0.1",
        "client.example",
    )
    assert (mail.protocol.value, mail.tls, mail.trusted) == ("smtp", False, trusted)


def test_the_null_sender(gateway: Running) -> None:
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<>
        S: 250 2.1.0 OK
        C: RCPT TO:<vertrieb@example.org>
        S: 250 2.1.5 OK
        {DATA}{MESSAGE}
        {ACCEPTED}
    """)
    with gateway.database.read() as session:
        assert session.scalars(select(Mail.mail_from)).one() == ""


def send(gateway: Running, body: bytes, reply: str) -> None:
    """Send one message and expect this reply."""
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        client.send(stuffed(body) + b".\r\n")
        client.play(reply)


def stuffed(body: bytes) -> bytes:
    """Double the dots at the beginning of lines (RFC 5321 4.5.2)."""
    return (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:]
