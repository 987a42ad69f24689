"""Senders and recipients: the grammar, and who is known."""

import time

import pytest
from sqlalchemy import select

from core.intake.recipients import REFRESH_SECONDS
from core.models import QueueAddress
from gateway import arguments
from gateway.arguments import Refused, Sender
from tests.gateway.running import DATA, HELLO, MESSAGE, Running

OK = "250 2.1.0 OK"
MALFORMED = "553 5.1.7 Malformed address"
SYNTAX = "501 5.5.4 Syntax: MAIL FROM:<address>"
VALUE = "501 5.5.4 A parameter has a wrong value"

SENDERS = [
    ("FROM:<anna@muster.example>", OK),
    ("FROM:<>", OK),
    ("from:<anna@muster.example>", OK),
    ("FROM: <anna@muster.example>", OK),
    ("FROM:<anna@muster.example> SIZE=1000 BODY=8BITMIME", OK),
    ("FROM:<anna@muster.example> size=1000 body=7bit", OK),
    ("FROM:<müller@bücher.example> SMTPUTF8", OK),
    ("FROM:<müller@bücher.example>", "553 5.6.7 This address needs SMTPUTF8"),
    ("FROM:<anna@muster.example", MALFORMED),
    ("FROM:<anna@muster.example>>", MALFORMED),
    ("FROM:<<anna@muster.example>", MALFORMED),
    ("FROM:<anna@muster.example>SIZE=1", MALFORMED),
    ("FROM:<a\rb@muster.example>", MALFORMED),
    ("FROM:<a\nb@muster.example>", MALFORMED),
    ("FROM:<a\0b@muster.example>", MALFORMED),
    ("FROM:<a\x7fb@muster.example>", MALFORMED),
    ("FROM:<a\udcffb@muster.example> SMTPUTF8", MALFORMED),
    ("FROM:<@relay.example:anna@muster.example>", MALFORMED),
    ('FROM:<"anna"@muster.example>', MALFORMED),
    ("FROM:<anna%other.example@muster.example>", MALFORMED),
    ("FROM:<other!anna@muster.example>", MALFORMED),
    ("FROM:<anna@muster.example@other.example>", MALFORMED),
    ("FROM:<anna>", MALFORMED),
    ("FROM:< >", MALFORMED),
    (f"FROM:<a@{'m' * 63}.{'m' * 63}.{'m' * 63}.{'m' * 63}.example>", MALFORMED),
    ("FROM:anna@muster.example", SYNTAX),
    ("TO:<anna@muster.example>", SYNTAX),
    ("<anna@muster.example>", SYNTAX),
    ("", SYNTAX),
    ("FROM:<anna@muster.example> SIZE=", VALUE),
    ("FROM:<anna@muster.example> SIZE=x", VALUE),
    ("FROM:<anna@muster.example> SIZE=-1", VALUE),
    ("FROM:<anna@muster.example> SIZE=1 SIZE=2", VALUE),
    ("FROM:<anna@muster.example> BODY=BINARYMIME", VALUE),
    ("FROM:<anna@muster.example> SMTPUTF8=yes", VALUE),
    ("FROM:<anna@muster.example> X_Y", VALUE),
    ("FROM:<anna@muster.example> SIZE=1001", "552 5.3.4 Message too big"),
    (f"FROM:<anna@muster.example> SIZE={'9' * 500}", "552 5.3.4 Message too big"),
    ("FROM:<anna@muster.example> RET=HDRS", "555 5.5.4 Parameter not recognised"),
    ("FROM:<anna@muster.example> AUTH=<>", "555 5.5.4 Parameter not recognised"),
]


@pytest.mark.parametrize(("argument", "reply"), SENDERS)
def test_senders(argument: str, reply: str) -> None:
    try:
        arguments.sender(argument, extended=True, max_bytes=1000)
        answered = OK
    except Refused as refusal:
        answered = str(refusal.reply)
    assert answered == reply


def test_a_sender_without_its_brackets() -> None:
    found = arguments.sender("FROM:<Anna@Muster.example> SMTPUTF8", extended=True, max_bytes=1000)
    assert found == Sender("Anna@Muster.example", smtputf8=True)


KNOWN = "250 2.1.5 OK"
UNKNOWN = "550 5.1.1 No such address here"
BAD = "553 5.1.3 Malformed address"

RECIPIENTS = [
    ("TO:<vertrieb@example.org>", KNOWN),
    ("TO:<VERTRIEB@Example.ORG>", KNOWN),
    ("TO:<vertrieb+K-1000@example.org>", KNOWN),
    ("TO:<postmaster>", KNOWN),
    ("TO:<Postmaster>", KNOWN),
    ("TO:<postmaster@example.org>", KNOWN),
    ("TO:<nobody@example.org>", UNKNOWN),
    ("TO:<anna@muster.example>", UNKNOWN),
    ("TO:<postmaster@elsewhere.example>", UNKNOWN),
    ("TO:<>", BAD),
    ("TO:<vertrieb>", BAD),
    ("TO:<a%b.example@example.org>", BAD),
    ("TO:<@example.org:a@b.example>", BAD),
    ('TO:<"a@b.example"@example.org>', BAD),
    ("TO:<a@b.example@example.org>", BAD),
    ("TO:<b.example!a@example.org>", BAD),
    ("TO:<vertrieb@example.org\\0>", BAD),
    ("TO:<vertrieb@example.org", BAD),
    ("TO:<müller@example.org>", "553 5.6.7 This address needs SMTPUTF8"),
    ("TO:vertrieb@example.org", "501 5.5.4 Syntax: RCPT TO:<address>"),
    ("TO:<vertrieb@example.org> NOTIFY=NEVER", "555 5.5.4 Parameter not recognised"),
]


def test_recipients(gateway: Running) -> None:
    """The answer is the same whoever asks (threat P20), and no relaying (P11)."""
    for sender in ("anna@muster.example", "stranger@elsewhere.example", ""):
        for part in (RECIPIENTS[:9], RECIPIENTS[9:15], RECIPIENTS[15:]):
            asked = "".join(f"C: RCPT {argument}\nS: {reply}\n" for argument, reply in part)
            gateway.play(f"{HELLO}C: MAIL FROM:<{sender}>\nS: {OK}\n{asked}")


def test_a_new_address_is_known_without_restart(gateway: Running) -> None:
    """The directory asks the database again at most twice a second."""
    asking = f"{HELLO}C: MAIL FROM:<>\nS: {OK}\nC: RCPT TO:<neu@example.org>\n"
    gateway.play(f"{asking}S: {UNKNOWN}")
    add_address(gateway, "neu@example.org")
    time.sleep(REFRESH_SECONDS)  # only then is the database asked again
    gateway.play(f"{asking}S: {KNOWN}")


def test_utf8_addresses_work_from_end_to_end(gateway: Running) -> None:
    add_address(gateway, "büro@example.org")
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<müller@bücher.example> BODY=8BITMIME SMTPUTF8
        S: {OK}
        C: RCPT TO:<BÜRO@example.org>
        S: {KNOWN}
        {DATA}
        C: From: Jörg Müller <müller@bücher.example>
        C:
        C: Schöne Grüße
        C: .
        S: 250 2.0.0 Accepted as *
    """)
    assert gateway.stored() == [
        "From: Jörg Müller <müller@bücher.example>\r\n\r\nSchöne Grüße\r\n".encode()
    ]
    assert gateway.deliveries()[0].recipient == "BÜRO@example.org"


def add_address(gateway: Running, address: str) -> None:
    """Give a queue another address."""
    with gateway.database.write() as session:
        queue_id = session.scalars(select(QueueAddress.queue_id).limit(1)).one()
        session.add(QueueAddress(queue_id=queue_id, address=address, address_key=address))


def test_a_recipient_named_twice_gets_one_message(gateway: Running) -> None:
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        S: {OK}
        C: RCPT TO:<vertrieb@example.org>
        C: RCPT TO:<Vertrieb@EXAMPLE.org>
        C: RCPT TO:<technik@example.org>
        S: {KNOWN}
        S: {KNOWN}
        S: {KNOWN}
        {DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
    """)
    assert [row.recipient for row in gateway.deliveries()] == [
        "vertrieb@example.org",
        "technik@example.org",
    ]


def test_not_more_than_a_hundred_recipients(gateway: Running) -> None:
    """Threat P10. The hundred that were accepted still get the message."""
    tags = "".join(f"C: RCPT TO:<vertrieb+{n}@example.org>\nS: {KNOWN}\n" for n in range(100))
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        S: {OK}
        {tags}
        C: RCPT TO:<technik@example.org>
        S: 452 4.5.3 Too many recipients in one message
        {DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
    """)
    assert len(gateway.deliveries()) == 100


def test_who_guesses_addresses_is_cut_off(gateway: Running) -> None:
    guess = "C: RCPT TO:<a@example.org>\nS: 550 5.1.1 No such address here\n"
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<>
        S: {OK}
        {guess * 100}
        S: 421 4.7.0 Too many errors
        S: (closed)
    """)
