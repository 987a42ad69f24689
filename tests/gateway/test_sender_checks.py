"""Who really sent it: what the gateway believes of others, and what it checks itself."""

import pytest
from sqlalchemy import select

from core.models import Mail
from core.words import Evidence
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, HELLO, Running

RELAY = "mx.example.org"
SPOOFED = "S: 550 5.7.26 Message refused: the sender could not be authenticated"


def send(running: Running, header: str, reply: str = ACCEPTED) -> None:
    """Send a mail of Anna's with these fields on top, in a session of its own."""
    fields = "".join(f"    C: {line}\n" for line in header.splitlines())
    running.play(
        f"""{HELLO}{ENVELOPE}{DATA}
{fields}    C: From: anna@muster.example
    C: Subject: Frage
    C:
    C: Guten Tag
    C: .
    {reply}
    C: QUIT
    S: 221 2.0.0 Bye
    """
    )


def evidence(running: Running) -> Evidence:
    """Return the evidence of the mail that was taken in last."""
    with running.database.read() as session:
        return session.scalars(select(Mail.evidence).order_by(Mail.id.desc()).limit(1)).one()


def results(text: str, name: str = RELAY) -> str:
    """Return the field that a relay writes."""
    return f"Authentication-Results: {name}; {text}"


RECEIVED = "Received: from client.example by mx.example.org; Wed, 1 Jan 2025 00:00:00 +0000"
PASS = "dkim=pass header.d=muster.example"
TRUSTED = [
    ("none", "", Evidence.NEUTRAL),
    ("signed", results(PASS), Evidence.VERIFIED),
    ("below its Received", f"{RECEIVED}\n{results(PASS)}", Evidence.VERIFIED),
    ("another name", results(PASS, "mx.evil.example"), Evidence.NEUTRAL),
    ("further below", f"{RECEIVED}\n{RECEIVED}\n{results(PASS)}", Evidence.NEUTRAL),
    ("somebody else's", results("dkim=pass header.d=esp.example"), Evidence.NEUTRAL),
    (
        "suspected",
        results("dmarc=fail (p=quarantine) header.from=muster.example"),
        Evidence.FAILED,
    ),
]


@pytest.mark.parametrize(
    ("header", "expected"), [r[1:] for r in TRUSTED], ids=[r[0] for r in TRUSTED]
)
def test_what_a_relay_found(run: Run, header: str, expected: Evidence) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, header)
    assert evidence(running) is expected


def test_a_relay_says_that_it_is_forged(run: Run) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, results("dmarc=fail (p=reject) header.from=muster.example"), SPOOFED)
    assert evidence(running) is Evidence.FAILED
    assert running.tickets() == 0


@pytest.mark.parametrize(
    "options",
    [{"authserv_id": RELAY}, {"trusted_relays": ["127.0.0.1"]}],
    ids=["from outside", "without a name to look for"],
)
def test_nobody_else_is_believed(run: Run, options: dict[str, object]) -> None:
    """Threat I6: a field that anybody can write."""
    running = run(**options)
    send(running, results(PASS))
    assert evidence(running) is Evidence.NEUTRAL


def test_what_was_found_is_stored(run: Run) -> None:
    running = run(trusted_relays=["127.0.0.1"], authserv_id=RELAY)
    send(running, results(f"spf=fail smtp.mailfrom=esp.example; {PASS}"))
    with running.database.read() as session:
        stored = session.scalars(select(Mail.authentication)).one()
    assert stored == {
        "source": "relay",
        "spf": ["fail", "esp.example"],
        "dkim": [["pass", "muster.example", ""]],
        "dmarc": None,
        "problem": "",
    }
