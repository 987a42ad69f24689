"""The dialogue of RFC 5321: order, replies, and what is not said."""

import pytest

from tests.gateway.conftest import Run
from tests.gateway.running import DATA, ENVELOPE, HELLO, MESSAGE, Running


def test_a_message_is_taken_in(gateway: Running) -> None:
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        C: QUIT
        S: 221 2.0.0 Bye
        S: (closed)
    """)
    assert gateway.stored() == [b"From: anna@muster.example\r\nSubject: Frage\r\n\r\nGuten Tag\r\n"]
    assert gateway.tickets() == 1


def test_several_messages_in_one_session(gateway: Running) -> None:
    second = MESSAGE.replace("Frage", "Noch eine Frage")
    gateway.play(f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        {ENVELOPE}{DATA}{second}
        S: 250 2.0.0 Accepted as *
    """)
    assert gateway.tickets() == 2


def test_a_client_without_extensions(gateway: Running) -> None:
    gateway.play(f"""
        S: 220 mail.example.org ESMTP
        C: HELO client.example
        S: 250 mail.example.org
        C: MAIL FROM:<anna@muster.example> SIZE=100
        S: 555 5.5.4 Parameter not recognised
        {ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
    """)


def test_everything_may_be_pipelined(gateway: Running) -> None:
    """RFC 2920: the replies come in the order of the commands, none is lost."""
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        C: RCPT TO:<nobody@example.org>
        C: RCPT TO:<vertrieb@example.org>
        C: DATA
        S: 250 2.1.0 OK
        S: 550 5.1.1 No such address here
        S: 250 2.1.5 OK
        S: 354 *
        {MESSAGE}
        C: MAIL FROM:<anna@muster.example>
        C: QUIT
        S: 250 2.0.0 Accepted as *
        S: 250 2.1.0 OK
        S: 221 2.0.0 Bye
        S: (closed)
    """)


def test_even_a_message_may_be_pipelined_with_its_envelope(gateway: Running) -> None:
    gateway.play(f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        C: RCPT TO:<vertrieb@example.org>
        C: DATA
        {MESSAGE}
        C: QUIT
        S: 250 2.1.0 OK
        S: 250 2.1.5 OK
        S: 354 *
        S: 250 2.0.0 Accepted as *
        S: 221 2.0.0 Bye
        S: (closed)
    """)


OUT_OF_ORDER = [
    ("before EHLO", "", "MAIL FROM:<a@b.example>", "503 5.5.1 Send EHLO or HELO first"),
    ("no sender", HELLO, "RCPT TO:<vertrieb@example.org>", "503 5.5.1 Send MAIL first"),
    ("DATA without a sender", HELLO, "DATA", "503 5.5.1 Send MAIL first"),
    (
        "DATA without a recipient",
        HELLO + "C: MAIL FROM:<a@b.example>\nS: 250 *\n",
        "DATA",
        "503 5.5.1 No recipient was accepted",
    ),
    ("two senders", HELLO + ENVELOPE, "MAIL FROM:<>", "503 5.5.1 There is a sender already"),
    ("after RSET", HELLO + ENVELOPE + "C: RSET\nS: 250 *\n", "DATA", "503 5.5.1 Send MAIL first"),
    (
        "after EHLO again",
        HELLO + ENVELOPE + "\n".join(HELLO.splitlines()[2:]) + "\n",
        "DATA",
        "503 5.5.1 Send MAIL first",
    ),
]


@pytest.mark.parametrize(
    ("before", "command", "reply"),
    [row[1:] for row in OUT_OF_ORDER],
    ids=[r[0] for r in OUT_OF_ORDER],
)
def test_order(gateway: Running, before: str, command: str, reply: str) -> None:
    gateway.play(f"{before or 'S: 220 *'}\nC: {command}\nS: {reply}")


WRONG = [
    ("unknown", "FROB", "500 5.5.1 Command not recognised"),
    ("BDAT is not offered", "BDAT 5 LAST", "500 5.5.1 Command not recognised"),
    ("not ASCII", "M\\xc3\\xa4IL", "500 5.5.1 Command not recognised"),
    ("empty", "", "500 5.5.1 Command not recognised"),
    ("NULs", "\\0\\0", "500 5.5.1 Command not recognised"),
    ("AUTH is not offered", "AUTH PLAIN AGFubmEAZ2VoZWlt", "502 5.5.1 Command not implemented"),
    ("EXPN", "EXPN support", "502 5.5.1 Command not implemented"),
    ("STARTTLS without a certificate", "STARTTLS", "500 5.5.1 Command not recognised"),
    ("DATA with an argument", "DATA now", "501 5.5.4 This command takes no argument"),
    ("RSET with an argument", "RSET all", "501 5.5.4 This command takes no argument"),
    ("QUIT with an argument", "QUIT please", "501 5.5.4 This command takes no argument"),
    ("EHLO without a name", "EHLO", "501 5.5.4 A host name is needed here"),
    ("EHLO with controls", "EHLO a\\rb", "501 5.5.4 A host name is needed here"),
    ("EHLO with two words", "EHLO a b", "501 5.5.4 A host name is needed here"),
    ("a line ended by LF", "NOOP\\n\\", "500 5.5.2 Lines end with <CR><LF>"),
    ("a long line", "NOOP " + "x" * 1_000, "500 5.5.2 Command line too long"),
]


@pytest.mark.parametrize(
    ("command", "reply"), [row[1:] for row in WRONG], ids=[r[0] for r in WRONG]
)
def test_wrong_commands_change_nothing(gateway: Running, command: str, reply: str) -> None:
    gateway.play(f"""{HELLO}{ENVELOPE}
        C: {command}
        S: {reply}
        {DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
    """)


@pytest.mark.parametrize("word", ["GET / HTTP/1.1", "POST / HTTP/1.1", "CONNECT x:25 HTTP/1.1"])
def test_a_browser_is_hung_up_on(gateway: Running, word: str) -> None:
    """Threat P17: a page may make a browser talk to us; the body of its form must not be mail."""
    gateway.play(f"""
        S: 220 *
        C: {word}
        C: Host: x
        C:
        C: MAIL FROM:<a@b.example>
        S: (closed)
    """)


def test_the_proxy_protocol_is_hung_up_on(gateway: Running) -> None:
    gateway.play("""
        S: 220 *
        C: PROXY TCP4 192.0.2.1 192.0.2.2 1234 25
        S: (closed)
    """)


def test_vrfy_tells_nothing(gateway: Running) -> None:
    for address in ("vertrieb@example.org", "nobody@example.org", "<", ""):
        gateway.play(f"""{HELLO}
            C: VRFY {address}
            S: 252 2.5.0 Cannot verify; send a message to try
        """)


def test_nothing_tells_the_program(gateway: Running) -> None:
    with gateway.client() as client:
        client.play("""
            C: HELP
            S: 214 2.0.0 See RFC 5321
            C: NOOP
            S: 250 2.0.0 OK
        """)


def test_too_many_wrong_commands_end_the_session(gateway: Running) -> None:
    wrong = "C: FROB\nS: 500 5.5.1 Command not recognised\n"
    gateway.play(f"{HELLO}{wrong * 10}S: 421 4.7.0 Too many errors\nS: (closed)")


@pytest.mark.parametrize("command", ["NOOP", "RSET", "HELP", "VRFY x", "EHLO x"])
def test_idle_commands_are_counted(run: Run, command: str) -> None:
    gateway = run()
    with gateway.client() as client:
        client.send(f"{command}\r\n".encode() * 20)
        lines = iter(client.line, None)
        finals = [line for line in lines if line[3] == " "]
    assert finals[-1] == "421 4.7.0 Too many commands without a message"
    assert len(finals) == 20  # with the EHLO before, 20 were answered


def test_a_message_in_between_earns_new_idle_commands(gateway: Running) -> None:
    idle = "C: RSET\nS: 250 2.0.0 OK\n" * 15
    gateway.play(f"""{HELLO}{idle}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        {idle}
        C: QUIT
        S: 221 *
    """)


def test_an_endless_command_is_cut(gateway: Running) -> None:
    with gateway.client() as client:
        client.send(b"A" * 300_000)
        client.play("S: 500 5.5.2 Command line too long\nS: (closed)")
