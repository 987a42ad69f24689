"""A session with the relay: what it is told and what is believed of what it says."""

import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.config import RelaySection
from core.outgoing import relay as relay_module
from core.outgoing.relay import Deadlines, RelayFault, crlf, relay_session, stuffed
from core.outgoing.wire import ConnectionFault, Reply
from tests.support.certificates import Certificate, make_certificate
from tests.support.processes import free_port
from tests.support.relay import DROP, EXTENSIONS, STALL, Answer, Relay, Script, run_relay

QUICK = Deadlines(connect=1.0, command=1.0, message=1.0)  # for a relay that stalls or drips
PATIENT = Deadlines(connect=20.0, command=20.0, message=20.0)  # for one on a busy machine
CONTENT = b"Subject: x\r\n\r\nHallo\r\n"
AUTH = (*EXTENSIONS, b"AUTH PLAIN LOGIN")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "DNS:localhost")


@pytest.fixture
def password(tmp_path: Path) -> str:
    file = tmp_path / "relay.password"
    file.write_text("geheim-ß\n")
    return str(file)


def section(relay: Relay, **values: object) -> RelaySection:
    """Return the configuration of a scripted relay."""
    found = {"host": "127.0.0.1", "port": relay.port, "tls": "none", **values}
    return RelaySection.model_validate(found)


def encrypted(relay: Relay, certificate: Certificate, **values: object) -> RelaySection:
    """Return the configuration of one that is known by its certificate."""
    ours = {"host": "localhost", "tls": "starttls", "ca_file": str(certificate.file)}
    return section(relay, **{**ours, **values})


def send(
    configured: RelaySection,
    content: bytes = CONTENT,
    recipient: str = "anna@muster.example",
    mail_from: str = "vertrieb+b1@example.org",
    deadlines: Deadlines = PATIENT,
) -> Reply:
    """Send one message in a session of its own."""
    with relay_session(configured, "schalter.example", deadlines) as session:
        return session.send(mail_from, recipient, content)


def fault_of(configured: RelaySection, deadlines: Deadlines = PATIENT) -> str:
    """Return why a relay cannot be used."""
    with pytest.raises(RelayFault) as caught:
        send(configured, deadlines=deadlines)
    place = f"{configured.host}:{configured.port}: "
    assert str(caught.value).startswith(place)
    return str(caught.value).removeprefix(place)


def test_a_message_is_handed_over() -> None:
    with run_relay() as relay:
        reply = send(section(relay))
    assert reply == Reply(250, "2.0.0", "Ok: queued")
    assert relay.messages == [("vertrieb+b1@example.org", "anna@muster.example", CONTENT)]
    assert relay.commands == [
        "EHLO schalter.example",
        f"MAIL FROM:<vertrieb+b1@example.org> SIZE={len(CONTENT)}",
        "RCPT TO:<anna@muster.example>",
        "DATA",
        "QUIT",
    ]


def test_a_session_is_good_for_many_messages() -> None:
    refuses_bert = {"RCPT": lambda command, _n: b"550 5.1.1 nobody" if "bert" in command else None}
    with (
        run_relay(Script(refuses_bert)) as relay,
        relay_session(section(relay), "x", PATIENT) as session,
    ):
        replies = [
            session.send("", f"{name}@muster.example", CONTENT) for name in ("anna", "bert", "carl")
        ]
        assert session.is_usable
    assert [reply.code for reply in replies] == [250, 550, 250]
    assert [each.recipient for each in relay.messages] == [
        "anna@muster.example",
        "carl@muster.example",
    ]
    assert relay.connections == 1
    assert relay.commands.count("MAIL FROM:<> SIZE=21") == 3


# What is stored, and what a strict server must find in it: threat P2.
SMUGGLED = [
    (b"a\n.\nMAIL FROM:<x@x>\n", b"a\r\n.\r\nMAIL FROM:<x@x>\r\n"),
    (b"a\r.\rb\r\n", b"a\r\n.\r\nb\r\n"),
    (b"a\r\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
    (b"a\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
    (b"a\r\n.\nb\r\n", b"a\r\n.\r\nb\r\n"),
    (b".a\r\n..\r\n...b", b".a\r\n..\r\n...b\r\n"),
    (b"a\r\r\n.\r\r\nb", b"a\r\n\r\n.\r\n\r\nb\r\n"),
    (b"", b"\r\n"),
    (b".", b".\r\n"),
]


@pytest.mark.parametrize(("stored", "arrives"), SMUGGLED)
def test_nothing_in_a_message_ends_it(stored: bytes, arrives: bytes) -> None:
    with run_relay() as relay:
        assert send(section(relay), stored).is_positive
    assert [each.content for each in relay.messages] == [arrives]
    assert not relay.faults
    wire = stuffed(crlf(stored))
    assert wire.count(b"\r\n.\r\n") + wire.startswith(b".\r\n") == 1


STAGES = ("MAIL", "RCPT", "DATA", "message")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("answer", [b"451 4.3.0 later", b"550 5.7.1 never", b"452-a\r\n452 b"])
def test_a_refusal_at_any_stage_is_the_reply(stage: str, answer: bytes) -> None:
    with run_relay(Script({stage: answer})) as relay:
        reply = send(section(relay))
    assert reply.line == answer.decode().replace("452-a\r\n452 b", "452 a b")
    assert (reply.is_positive, reply.is_final) == (False, answer.startswith(b"5"))
    assert not relay.messages
    if stage != "message":
        assert "RSET" in relay.commands


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (DROP, "it closed the connection"),
        (STALL, "no answer in time"),
        (b"421 4.3.2 going down", "421 4.3.2 going down"),
        (b"Guten Tag", "what it answers is no SMTP"),
        (b"250-Ok\r\n550 No", "what it answers is no SMTP"),
        (b"250 " + b"x" * 5000, "it answers without end"),
        (b"\r\n".join([b"250-x"] * 200), "it answers without end"),
    ],
)
def test_a_session_that_ends_sends_nothing(stage: str, answer: Answer, why: str) -> None:
    with run_relay(Script({stage: answer})) as relay, pytest.raises(ConnectionFault, match=why):
        send(section(relay), deadlines=QUICK if answer == STALL else PATIENT)
    assert len(relay.messages + relay.unanswered) == (stage == "message")


@pytest.mark.parametrize("answer", [b"530 5.7.0 Must issue STARTTLS first", b"535 5.7.8 no"])
def test_a_relay_that_wants_none_of_our_mail_is_a_fault(answer: bytes) -> None:
    with run_relay(Script({"MAIL": answer})) as relay:
        assert fault_of(section(relay)) == answer.decode()


# The stage, what is answered there, and what is said of it.
UNUSABLE: list[tuple[str, Answer, str]] = [
    ("greeting", b"554 go away", "it greets with 554 go away"),
    ("greeting", b"421 too busy", "it greets with 421 too busy"),
    ("greeting", DROP, "it closed the connection"),
    ("greeting", STALL, "no answer in time"),
    ("EHLO", b"502 what", "it answers EHLO with 502 what"),
    ("EHLO", STALL, "no answer in time"),
    ("EHLO", b"220 what", "it answers EHLO with 220 what"),
]


@pytest.mark.parametrize(("stage", "answer", "why"), UNUSABLE)
def test_a_relay_that_cannot_be_used(stage: str, answer: Answer, why: str) -> None:
    with run_relay(Script({stage: answer})) as relay:
        assert fault_of(section(relay), QUICK if answer == STALL else PATIENT) == why


def test_nobody_listens() -> None:
    nobody = RelaySection(host="127.0.0.1", port=free_port(), tls="none")
    assert fault_of(nobody) == "connection refused"


def test_a_relay_that_drips_does_not_outlive_the_deadline() -> None:
    """Each byte comes in time; the reply as a whole does not."""

    def drip(_command: str, _before: int) -> Answer:
        time.sleep(0.2)
        return b"\r\n".join([b"250-x"] * 3)  # no last line

    with run_relay(Script({"MAIL": drip})) as relay, pytest.raises(ConnectionFault):
        send(section(relay), deadlines=QUICK)


# Extensions, the recipient, the message, and the reply that we give ourselves.
LIMITS = [
    ((b"SIZE 20",), "anna@x.example", CONTENT, "552 5.3.4"),
    ((b"SIZE 0",), "anna@x.example", CONTENT, "250 2.0.0"),
    ((b"SIZE",), "anna@x.example", CONTENT, "250 2.0.0"),
    ((), "anna@x.example", CONTENT, "250 2.0.0"),
    ((), "anna@x.example", "\r\n\r\nä".encode(), "554 5.6.3"),
    ((b"8BITMIME",), "anna@x.example", "\r\n\r\nä".encode(), "250 2.0.0"),
    ((b"8BITMIME",), "anna@x.example", "Cc: ä@x.example\r\n\r\n".encode(), "553 5.6.7"),
    ((b"8BITMIME",), "müller@x.example", CONTENT, "553 5.6.7"),
    ((b"8BITMIME", b"SMTPUTF8"), "müller@x.example", CONTENT, "250 2.0.0"),
    ((), "a@x.example>\r\nRSET", CONTENT, "553 5.1.3"),
    ((), "a b", CONTENT, "553 5.1.3"),
]


@pytest.mark.parametrize(("extensions", "recipient", "content", "codes"), LIMITS)
def test_what_the_relay_cannot_take(
    extensions: tuple[bytes, ...], recipient: str, content: bytes, codes: str
) -> None:
    with run_relay(Script(extensions=extensions)) as relay:
        reply = send(section(relay), content, recipient)
    assert reply.line.startswith(codes)
    taken = [each for each in relay.commands if each.startswith("MAIL")]
    assert len(taken) == len(relay.messages) == (codes == "250 2.0.0")
    uses_utf8 = not recipient.isascii() and bool(taken)
    assert [each.endswith(" BODY=8BITMIME SMTPUTF8") for each in taken] == [uses_utf8] * len(taken)


@pytest.mark.parametrize("implicit", [False, True])
def test_tls_is_verified_and_the_password_sent_after_it(
    implicit: bool, certificate: Certificate, password: str
) -> None:
    script = Script(
        extensions=AUTH, certificate=certificate.server_context(), implicit_tls=implicit
    )
    with run_relay(script) as relay:
        configured = encrypted(
            relay,
            certificate,
            tls="tls" if implicit else "starttls",
            username="schalter",
            password_file=password,
        )
        assert send(configured).is_positive
    begin = ["EHLO schalter.example"]
    greeting = begin if implicit else [*begin, "STARTTLS", *begin]
    token = b64encode("\0schalter\0geheim-ß".encode()).decode()
    assert relay.commands[: len(greeting) + 1] == [*greeting, f"AUTH PLAIN {token}"]


def test_login_where_there_is_no_plain(certificate: Certificate, password: str) -> None:
    script = Script(
        extensions=(b"AUTH LOGIN",), certificate=certificate.server_context(), implicit_tls=True
    )
    with run_relay(script) as relay:
        send(encrypted(relay, certificate, tls="tls", username="us", password_file=password))
    name, secret = (b64encode(each.encode()).decode() for each in ("us", "geheim-ß"))
    assert f"AUTH LOGIN {name} {secret}" in relay.commands


def broken_tls(script: Script, configured: Callable[[Relay], RelaySection]) -> tuple[str, Relay]:
    """Return why a relay cannot be used, and the relay."""
    with run_relay(script) as relay:
        return fault_of(configured(relay)), relay


def test_without_starttls_nothing_is_sent(certificate: Certificate, password: str) -> None:
    why, relay = broken_tls(
        Script(extensions=AUTH),
        lambda relay: encrypted(relay, certificate, username="us", password_file=password),
    )
    assert why == "it does not offer STARTTLS, so nothing is sent to it"
    assert relay.commands == ["EHLO schalter.example"]


def test_a_certificate_of_somebody_else(certificate: Certificate, tmp_path: Path) -> None:
    script = Script(certificate=certificate.server_context())
    why, _relay = broken_tls(script, lambda relay: section(relay, host="localhost", tls="starttls"))
    assert why == "its certificate: self-signed certificate"
    other = make_certificate(tmp_path, "DNS:other.example")
    script = Script(certificate=other.server_context())
    why, relay = broken_tls(script, lambda relay: encrypted(relay, other))
    assert "Hostname mismatch" in why
    assert relay.commands == ["EHLO schalter.example", "STARTTLS"]
    why, _relay = broken_tls(
        script, lambda relay: encrypted(relay, other, ca_file=str(tmp_path / "none"))
    )
    assert why == f"relay.ca_file: {tmp_path}/none: no such file or directory"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(certificate: Certificate) -> None:
    script = Script(certificate=certificate.server_context(ssl.TLSVersion.TLSv1_1))
    why, _relay = broken_tls(script, lambda relay: encrypted(relay, certificate))
    assert why.startswith("TLS: ")


def test_words_injected_before_encryption_are_no_relays(certificate: Certificate) -> None:
    """As threat P3, with the roles changed: somebody on the way answers before TLS begins."""
    script = Script(certificate=certificate.server_context(), injected=b"250 2.0.0 evil\r\n")
    why, relay = broken_tls(script, lambda relay: encrypted(relay, certificate))
    assert why == "something was sent in plain text after STARTTLS"
    assert relay.commands[-1] == "STARTTLS"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"535 5.7.8 bad credentials", "535 5.7.8 bad credentials"),
        (b"454 4.7.0 later", "454 4.7.0 later"),
        ("535 5.7.8 not geheim-ß".encode(), "535 5.7.8"),
        (b"535 " + b64encode("\0us\0geheim-ß".encode()), "535"),
    ],
)
def test_a_refused_sign_in_names_no_secret(
    answer: bytes, said: str, certificate: Certificate, password: str
) -> None:
    script = Script({"AUTH": answer}, AUTH, certificate.server_context())
    why, relay = broken_tls(
        script, lambda relay: encrypted(relay, certificate, username="us", password_file=password)
    )
    assert why == f"it refuses our sign-in: {said}"
    assert not any(each.startswith("MAIL") for each in relay.commands)


def test_a_password_that_is_not_there(certificate: Certificate, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    script = Script(extensions=AUTH, certificate=certificate.server_context())
    for file, why in (
        (str(empty), "is empty"),
        (str(tmp_path / "none"), "no such file or directory"),
        (str(tmp_path), "is a directory"),
    ):
        found, _relay = broken_tls(
            script,
            lambda relay, file=file: encrypted(  # type: ignore[misc]
                relay, certificate, username="us", password_file=file
            ),
        )
        assert found == f"relay.password_file: {file}: {why}"


def test_no_way_to_sign_in(certificate: Certificate, password: str) -> None:
    script = Script(extensions=(b"AUTH NTLM",), certificate=certificate.server_context())
    why, _relay = broken_tls(
        script, lambda relay: encrypted(relay, certificate, username="us", password_file=password)
    )
    assert why == "it offers no way to sign in that we know (PLAIN, LOGIN)"


def test_plain_text_stays_in_this_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address cannot be reached in a test, so loopback is made one."""
    with run_relay() as relay:
        send(section(relay))
        monkeypatch.setattr(
            relay_module.ipaddress,
            "ip_address",
            lambda _text: relay_module.ipaddress.IPv4Address("198.51.200.1"),
        )
        assert "relay.tls must be starttls or tls" in fault_of(section(relay))


def test_a_reply_is_one_short_clean_line() -> None:
    answer = b"550-5.1.1 \x1b[31mred\x00\r\n550-5.1.1 \xff" + b"x" * 900 + b"\r\n550 5.1.1 end"
    with run_relay(Script({"RCPT": answer})) as relay:
        reply = send(section(relay))
    assert reply.line.startswith("550 5.1.1 [31mred \ufffdxxx")
    assert len(reply.line) == 500
    assert reply.line.isprintable()
    assert replace(reply, status="", text="").line == "550"
