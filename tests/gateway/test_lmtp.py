"""LMTP (RFC 2033): one reply for each accepted recipient."""

import os
import shutil
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from core.db import Database
from core.models import Mail, Queue
from core.words import ForbiddenRule, StrangersRule
from gateway.limits import Limits
from tests.gateway.conftest import Run
from tests.gateway.running import DATA, EXTENSIONS, HOSTNAME, MESSAGE, Running, running_gateway
from tests.gateway.transcripts import conversation
from tests.intake.firm import a_firm
from tests.support.postfix import NoPostfix, run_postfix

HELLO = f"""
    S: 220 {HOSTNAME} LMTP
    C: LHLO client.example
    {EXTENSIONS}
"""
ENVELOPE = """
    C: MAIL FROM:<anna@muster.example>
    C: RCPT TO:<vertrieb@example.org>
    C: RCPT TO:<nobody@example.org>
    C: RCPT TO:<rechnung@example.org>
    S: 250 2.1.0 OK
    S: 250 2.1.5 OK
    S: 550 5.1.1 No such address here
    S: 250 2.1.5 OK
"""
END = """
    C: QUIT
    S: 221 2.0.0 Bye
    S: (closed)
"""


def play(gateway: Running, transcript: str) -> None:
    with conversation(gateway.lmtp) as client:
        client.play(transcript)


def test_one_reply_for_each_accepted_recipient(gateway: Running) -> None:
    """Anna may not write to Rechnung, whose rule is to hold: both are kept."""
    play(gateway, f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        S: 250 2.0.0 Accepted as *
        {END}
    """)  # fmt: skip
    assert [row.decision.value for row in gateway.deliveries()] == ["open-ticket", "hold"]
    with gateway.database.read() as session:
        assert session.scalars(select(Mail.protocol)).one().value == "lmtp"


def test_each_recipient_is_decided_on_its_own(gateway: Running) -> None:
    with gateway.database.write() as session:
        queue = session.scalars(select(Queue).where(Queue.name == "Rechnung")).one()
        queue.forbidden = ForbiddenRule.REJECT
    play(gateway, f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        S: 550 5.7.1 Message refused: not permitted for this sender
        {END}
    """)  # fmt: skip


def test_smtp_gives_one_reply_for_the_same(gateway: Running) -> None:
    """250 if anything was kept, else the strictest refusal."""
    with gateway.database.write() as session:
        for queue in session.scalars(select(Queue)):
            queue.forbidden, queue.strangers = ForbiddenRule.REJECT, StrangersRule.REJECT
    sent = DATA + MESSAGE
    with gateway.client() as client:
        client.play(f"{ENVELOPE}{sent}S: 250 2.0.0 Accepted as *")
        stranger = ENVELOPE.replace("anna@muster", "nobody@nowhere")
        client.play(f"{stranger}{sent.replace('anna@muster', 'nobody@nowhere')}S: 550 5.7.1 *")


def test_a_recipient_named_twice_gets_two_replies(gateway: Running) -> None:
    play(gateway, f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        C: RCPT TO:<vertrieb@example.org>
        C: RCPT TO:<VERTRIEB@example.org>
        S: 250 2.1.0 OK
        S: 250 2.1.5 OK
        S: 250 2.1.5 OK
        {DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        S: 250 2.0.0 Accepted as *
        {END}
    """)  # fmt: skip
    assert gateway.tickets() == 1


def test_a_refused_message_is_refused_for_each(gateway: Running) -> None:
    play(gateway, f"""{HELLO}{ENVELOPE}{DATA}
        C: bare\\nline end
        C: .
        S: 550 5.5.2 Bare <CR> or <LF> received
        S: 550 5.5.2 Bare <CR> or <LF> received
        {END}
    """)  # fmt: skip


def test_a_fault_is_answered_for_each(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("x\r\n250 OK")

    monkeypatch.setattr("core.intake.writer.take_in_prepared", fail)
    play(gateway, f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 451 4.3.0 Temporary failure, please try again later
        S: 451 4.3.0 Temporary failure, please try again later
        {END}
    """)  # fmt: skip


def test_no_accepted_recipient_no_message(gateway: Running) -> None:
    """RFC 2033 4.2: then DATA is refused, as there would be no reply at all."""
    play(gateway, f"""{HELLO}
        C: MAIL FROM:<anna@muster.example>
        C: RCPT TO:<nobody@example.org>
        C: DATA
        S: 250 2.1.0 OK
        S: 550 5.1.1 No such address here
        S: 503 5.5.1 No recipient was accepted
        {END}
    """)  # fmt: skip


@pytest.mark.parametrize("command", ["HELO x", "EHLO x", "MAIL FROM:<a@b.example>"])
def test_lmtp_begins_with_lhlo(gateway: Running, command: str) -> None:
    play(gateway, f"S: 220 {HOSTNAME} LMTP\nC: {command}\nS: 503 5.5.1 Send LHLO first")


def test_smtp_knows_no_lhlo(gateway: Running) -> None:
    gateway.play("S: 220 *\nC: LHLO x\nS: 500 5.5.1 Command not recognised")


def test_a_socket_file(run: Run, tmp_path: Path) -> None:
    """Whoever may use it is a relay of ours, and no stranger's limit applies to it."""
    path = tmp_path / "lmtp"
    gateway = run(lmtp_listen=f"unix:{path}", limits=Limits(connections=0))
    assert path.stat().st_mode & 0o777 == 0o660
    play(gateway, f"""{HELLO}{ENVELOPE}{DATA}{MESSAGE}
        S: 250 2.0.0 Accepted as *
        S: 250 2.0.0 Accepted as *
        {END}
    """)  # fmt: skip
    with gateway.database.read() as session:
        mail = session.scalars(select(Mail)).one()
        assert (mail.peer, mail.trusted) == ("", True)


def test_pythons_client(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    run(lmtp_listen=f"unix:{path}")
    with smtplib.LMTP(str(path)) as client:
        refused = client.sendmail("anna@muster.example", "vertrieb@example.org", "Subject: x\n\nx")
    assert refused == {}


@pytest.mark.slow
def test_postfix_delivers_by_lmtp(sqlite_database: Database) -> None:
    """A real mail server in front: it accepts a message for three, and gets an answer for each.

    What is refused to it is its to report; what it delivered is stored once.
    """
    a_firm(sqlite_database, sender_policy="open")
    with sqlite_database.write() as session:
        queue = session.scalars(select(Queue).where(Queue.name == "Rechnung")).one()
        queue.forbidden = ForbiddenRule.REJECT
    folder = Path("/tmp") / f"schalter-lmtp-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    folder.chmod(0o755)
    try:
        with (
            running_gateway(sqlite_database, folder, lmtp_listen=f"unix:{folder}/lmtp") as gateway,
            postfix(folder) as port,
        ):
            shutil.chown(folder / "lmtp", "postfix")
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                client.sendmail(
                    "anna@muster.example",
                    ["vertrieb@example.org", "technik@example.org", "rechnung@example.org"],
                    "From: anna@muster.example\r\nSubject: Frage\r\n\r\n.Punkt\r\n",
                )
            log = wait_for_log(folder / "log", "status=", 3)
            deliveries = {row.recipient: row.decision.value for row in gateway.deliveries()}
    finally:
        shutil.rmtree(folder)
    assert deliveries == {
        "vertrieb@example.org": "open-ticket",
        "technik@example.org": "open-ticket",
        "rechnung@example.org": "reject",
    }, log
    assert log.count("status=sent (250 2.0.0 Accepted as") == 2, log
    assert log.count("status=bounced") == 1, log
    assert "550 5.7.1 Message refused" in log, log


@contextmanager
def postfix(folder: Path) -> Iterator[int]:
    """Run a Postfix that hands everything to the LMTP socket in ``folder``; give its port."""
    main_cf = (
        "mydestination =\nrelay_domains = example.org\n"
        f"relay_transport = lmtp:unix:{folder}/lmtp\n"
        "default_transport = error:this test sends nothing out\n"
    )
    try:
        with run_postfix(folder, main_cf, "lmtp") as port:
            yield port
    except NoPostfix as error:
        pytest.skip(f"Postfix in front of LMTP: {error}")


def wait_for_log(log: Path, text: str, times: int) -> str:
    """Return the log as soon as ``text`` stands in it so many times for our recipients."""
    deadline = time.monotonic() + 60
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        ours = [line for line in lines if text in line and "@example.org>" in line]
        if len(ours) >= times or time.monotonic() > deadline:
            return "\n".join(ours or lines)
        time.sleep(0.05)
