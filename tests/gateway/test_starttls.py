"""STARTTLS (RFC 3207): everything before the handshake is forgotten."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from core.models import Mail
from gateway.limits import Limits
from tests.gateway.conftest import Run
from tests.gateway.running import DATA, ENVELOPE, HOSTNAME, MESSAGE, Running
from tests.gateway.transcripts import Conversation, conversation

PLAIN = f"""
    S: 220 {HOSTNAME} ESMTP
    C: EHLO client.example
    S: 250-{HOSTNAME}
    S: 250-PIPELINING
    S: 250-SIZE 26214400
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250-STARTTLS
    S: 250 ENHANCEDSTATUSCODES
"""
HELLO_AGAIN = f"""
    C: EHLO client.example
    S: 250-{HOSTNAME}
    S: 250-PIPELINING
    S: 250-SIZE 26214400
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250 ENHANCEDSTATUSCODES
"""
START = """
    C: STARTTLS
    S: 220 2.0.0 Ready to start TLS
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={HOSTNAME}",
         "-addext", f"subjectAltName=DNS:{HOSTNAME}", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def gateway(run: Run, certificate: tuple[Path, Path]) -> Running:
    return run(tls_cert=str(certificate[0]), tls_key=str(certificate[1]))


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """What a client that checks the certificate uses."""
    return ssl.create_default_context(cafile=str(certificate[0]))


@contextmanager
def encrypted(client: Conversation, context: ssl.SSLContext) -> Iterator[Conversation]:
    """Shake hands and give the conversation that follows."""
    with context.wrap_socket(client.socket, server_hostname=HOSTNAME) as connection:
        yield Conversation(connection)


def test_a_message_is_taken_in_encrypted(gateway: Running, context: ssl.SSLContext) -> None:
    with conversation(gateway.address) as client:
        client.play(PLAIN + START)
        with encrypted(client, context) as secret:
            secret.play(f"""{HELLO_AGAIN}{ENVELOPE}{DATA}{MESSAGE}
                S: 250 2.0.0 Accepted as *
                C: QUIT
                S: 221 2.0.0 Bye
                S: (closed)
            """)
    with gateway.database.read() as session:
        assert session.scalars(select(Mail.tls)).all() == [True]


def test_a_big_message_is_taken_in_encrypted(gateway: Running, context: ssl.SSLContext) -> None:
    body = b"From: anna@muster.example\r\n\r\n" + b"%078d\r\n" % 1 * 50_000
    with conversation(gateway.address) as client:
        client.play(PLAIN + START)
        with encrypted(client, context) as secret:
            secret.play(HELLO_AGAIN + ENVELOPE + DATA)
            secret.send(body + b".\r\n")
            secret.play("S: 250 2.0.0 Accepted as *")
    assert gateway.stored() == [body]


def test_the_client_must_greet_again(gateway: Running, context: ssl.SSLContext) -> None:
    with conversation(gateway.address) as client:
        client.play(PLAIN + ENVELOPE + START)
        with encrypted(client, context) as secret:
            secret.play("""
                C: RCPT TO:<vertrieb@example.org>
                S: 503 5.5.1 Send MAIL first
                C: MAIL FROM:<anna@muster.example>
                S: 503 5.5.1 Send EHLO or HELO first
            """)


def test_tls_only_once_and_without_auth(gateway: Running, context: ssl.SSLContext) -> None:
    """Threat P16: ``HELLO_AGAIN`` has no AUTH line."""
    with conversation(gateway.address) as client:
        client.play(PLAIN + START)
        with encrypted(client, context) as secret:
            secret.play(f"{HELLO_AGAIN}C: STARTTLS\nS: 503 5.5.1 TLS is on already")


def test_an_argument_is_refused(gateway: Running) -> None:
    with conversation(gateway.address) as client:
        client.play(f"{PLAIN}C: STARTTLS now\nS: 501 5.5.4 This command takes no argument")


def test_injected_commands_are_dropped(gateway: Running, context: ssl.SSLContext) -> None:
    """Threat P3: what a third party appended in plain text is not answered after the handshake."""
    with conversation(gateway.address) as client:
        client.play(f"""{PLAIN}
            C: STARTTLS
            C: NOOP injected
            C: MAIL FROM:<evil@elsewhere.example>
            S: 220 2.0.0 Ready to start TLS
        """)
        with encrypted(client, context) as secret:
            secret.play(f"S: (silence)\n{HELLO_AGAIN}{ENVELOPE}")


def test_a_handshake_that_stalls_is_cut(run: Run, certificate: tuple[Path, Path]) -> None:
    """Threat P4."""
    gateway = run(
        limits=Limits(handshake_seconds=0.5),
        tls_cert=str(certificate[0]),
        tls_key=str(certificate[1]),
    )
    with conversation(gateway.address) as client:
        client.play(f"{PLAIN}{START}S: (closed)")
    gateway.play(PLAIN)


def test_a_handshake_that_is_none_is_cut(gateway: Running) -> None:
    with conversation(gateway.address) as client:
        client.play(PLAIN + START)
        client.send(b"EHLO plain.example\r\n" * 10)
        while client.line() is not None:
            pass  # a TLS alert may come before the end
    gateway.play(PLAIN)
