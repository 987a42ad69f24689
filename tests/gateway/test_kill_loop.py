"""Promise 1 under SIGKILL (threat B1): every 250 is in the database exactly once.

Senders hand in numbered mails, try the same bytes again after any error, and keep a ledger of the
250s they got, while the gateway is killed again and again. The moment between a commit and its
reply is short, so every tenth mail is also handed in once by somebody who does not wait for the
reply. ``KILL_LOOP_SECONDS`` is how long that goes on for each database.
"""

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.db import Database
from core.models import Delivery, OutgoingMail, RawMail, Ticket
from tests.gateway.program import gateway_program
from tests.intake.firm import a_firm
from tests.support.processes import RunningProcess, free_port

SECONDS = float(os.environ.get("KILL_LOOP_SECONDS", "20"))
SENDERS = 6
LIFE_SECONDS = (0.6, 1.6)  # from the first answer to the kill


@dataclass
class Sender:
    """One client that never gives up. ``acknowledged`` is its ledger."""

    number: int
    port: int
    stop: threading.Event
    acknowledged: set[str] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)  # tried, never answered with 250
    refused: list[str] = field(default_factory=list)
    retries: int = 0

    def run(self) -> None:
        """Send one mail after the other until told to stop."""
        serial = 0
        while not self.stop.is_set():
            serial += 1
            name = f"{self.number}-{serial}"
            self.in_doubt.add(name)
            if serial % 10 == 0:
                self._try(name, waits=False)
            while not self.stop.is_set():
                if self._try(name):
                    self.in_doubt.discard(name)
                    self.acknowledged.add(name)
                    break
                self.retries += 1
                time.sleep(0.02)  # a sender that is told to try again does not try at once

    def _try(self, name: str, *, waits: bool = True) -> bool:
        """Hand a mail in; return whether it was acknowledged."""
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection,
                connection.makefile("rb") as replies,
            ):
                connection.sendall(
                    b"EHLO x\r\nMAIL FROM:<anna@muster.example>\r\n"
                    b"RCPT TO:<vertrieb@example.org>\r\nDATA\r\n" + mail(name) + b".\r\nQUIT\r\n"
                )
                if not waits:
                    while (line := replies.readline()) and not line.startswith(b"354"):
                        pass
                    return False
                finals = [line for line in replies if line[3:4] == b" "]
        except OSError:
            return False
        # Greeting, EHLO, MAIL, RCPT, DATA, the message: whatever is missing was not answered.
        answer = finals[5] if len(finals) > 5 else b""
        if answer.startswith(b"5"):
            self.refused.append(answer.decode())
        return answer.startswith(b"250 ")


def mail(name: str) -> bytes:
    """Return the bytes of a mail, the same at every try."""
    filler = b"Bitte rufen Sie mich zurueck.\r\n" * (hash_of(name) % 50)
    return (
        b"From: anna@muster.example\r\nSubject: Mail " + name.encode() + b"\r\n"
        b"Message-ID: <" + name.encode() + b"@muster.example>\r\n\r\n" + filler
    )


def hash_of(name: str) -> int:
    """Return a number that is the same in every run."""
    return sum(name.encode())


@pytest.mark.slow
def test_every_250_is_stored_exactly_once(database: Database, tmp_path: Path) -> None:
    a_firm(database, sender_policy="open", burst_tickets=10_000)
    stop = threading.Event()
    port = free_port()
    senders = [Sender(number, port, stop) for number in range(SENDERS)]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        kills = keep_killing(database, tmp_path, senders)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    in_doubt = set().union(*(sender.in_doubt for sender in senders))
    stored, tickets = what_is_stored(database)
    shown = f"{kills} kills, {len(acknowledged)} acknowledged, {len(in_doubt)} in doubt, "
    shown += f"{sum(sender.retries for sender in senders)} retries"
    print(shown)
    assert not [text for sender in senders for text in sender.refused], shown
    assert not acknowledged - set(stored), f"lost; {shown}"
    assert set(stored) <= acknowledged | in_doubt, shown
    assert set(stored.values()) == {1}, f"stored twice; {shown}"
    assert tickets == stored, f"a mail without its ticket, or a ticket twice; {shown}"
    assert confirmations(database) == {1: len(stored)}, f"confirmed otherwise than once; {shown}"
    assert kills, shown
    if database.is_sqlite:
        with database.read() as session:
            checked = session.connection().exec_driver_sql("PRAGMA integrity_check").scalar_one()
        assert checked == "ok"


def keep_killing(database: Database, folder: Path, senders: Sequence[Sender]) -> int:
    """Start a gateway and kill it, again and again; return how often it was killed at work.

    A machine may be so busy that the first of them have no time to take mail in.
    """
    rng = random.Random(20261124)
    deadline = time.monotonic() + SECONDS
    url = database.url.render_as_string(hide_password=False)
    kills = 0
    port = senders[0].port
    while time.monotonic() < deadline or not all(sender.acknowledged for sender in senders):
        assert time.monotonic() < deadline + 120, "no mail is acknowledged"
        with gateway_program(folder, url, port, trusted_relays='["127.0.0.0/8"]') as process:
            process.wait_for_port(port)
            time.sleep(rng.uniform(*LIFE_SECONDS))  # it may be killed at any moment
            kills += killed(process)
    return kills


def killed(process: RunningProcess) -> bool:
    """Kill a gateway that must still have been running."""
    assert process.child.poll() is None, process.output
    process.kill()
    return True


def what_is_stored(database: Database) -> tuple[Counter[str], Counter[str]]:
    """Return how often each mail is stored with exactly its bytes, and how many tickets it has."""
    with database.read() as session:
        contents = list(session.scalars(select(RawMail.content)))
        subjects = session.scalars(
            select(Ticket.subject).join(Delivery, Delivery.ticket_id == Ticket.id)
        ).all()
    stored: Counter[str] = Counter()
    for content in contents:
        name = content.partition(b"Subject: Mail ")[2].partition(b"\r\n")[0].decode()
        assert content == mail(name), "the bytes are not those that were sent"
        stored[name] += 1
    return stored, Counter(subject.removeprefix("Mail ") for subject in subjects)


def confirmations(database: Database) -> Counter[int]:
    """Return how many tickets have how many mails waiting in the outbox."""
    with database.read() as session:
        waiting = select(Ticket.id, func.count(OutgoingMail.id).label("waiting")).outerjoin(
            OutgoingMail, OutgoingMail.ticket_id == Ticket.id
        )
        return Counter(session.scalars(select(waiting.group_by(Ticket.id).subquery().c.waiting)))
