"""Blocked senders and sender rates over SMTP and LMTP: new mail and replies are treated alike."""

import pytest

from core.audit import SYSTEM
from core.intake.blocking import block
from core.words import BlockedKind
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, EXTENSIONS, HOSTNAME, MESSAGE, Running
from tests.gateway.transcripts import conversation

HELLO = f"""
    S: 220 {HOSTNAME} LMTP
    C: LHLO client.example
    {EXTENSIONS}
"""
REFUSED = "S: 550 5.7.1 Message refused: not permitted for this sender"
NEW = """
    C: From: anna@muster.example
    C: Subject: Noch etwas
    C: Message-ID: <new@muster.example>
    C:
    C: Guten Tag
    C: .
"""
REPLY = """
    C: From: anna@muster.example
    C: Subject: Re: [Ticket#100001] Frage
    C: Message-ID: <reply@muster.example>
    C:
    C: Noch eine Frage
    C: .
"""


def play(gateway: Running, transcript: str, *, lmtp: bool) -> None:
    if lmtp:
        with conversation(gateway.lmtp) as client:
            client.play(HELLO + transcript)
    else:
        with gateway.client() as client:
            client.play(transcript)


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("message", [NEW, REPLY], ids=["new", "reply"])
def test_a_blocked_sender_is_refused_after_data(run: Run, message: str, lmtp: bool) -> None:
    """RCPT answers as ever: its reply depends on the recipient alone (threat P20)."""
    gateway = run()
    play(gateway, ENVELOPE + DATA + MESSAGE + ACCEPTED, lmtp=False)
    with gateway.database.write() as session:
        block(session, SYSTEM, BlockedKind.DOMAIN, "muster.example")
    play(gateway, ENVELOPE + DATA + message + REFUSED, lmtp=lmtp)
    assert gateway.tickets() == 1
    assert [row.decision.value for row in gateway.deliveries()] == ["open-ticket", "reject"]


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("limit", ["mails_per_sender", "mails_per_domain"])
def test_replies_are_counted_as_new_mail_is(run: Run, limit: str, lmtp: bool) -> None:
    gateway = run(**{limit: 2})
    play(gateway, ENVELOPE + DATA + MESSAGE + ACCEPTED, lmtp=lmtp)
    play(gateway, ENVELOPE + DATA + REPLY + ACCEPTED, lmtp=lmtp)
    play(
        gateway,
        """
        C: MAIL FROM:<anna@muster.example>
        S: 450 4.7.1 Too many messages from this sender, try again later
        """,
        lmtp=lmtp,
    )
    assert gateway.tickets() == 1
