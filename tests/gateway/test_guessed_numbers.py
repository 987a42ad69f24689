"""Threats I9 and P20: who guesses Kunden# learns nothing, and nobody gets mail because of it."""

from collections import Counter

import pytest
from sqlalchemy import func, insert, select

from core.db import Database
from core.intake.incoming import Receipt
from core.intake.pipeline import take_in
from core.models import Customer, Delivery, OutgoingMail, Ticket
from core.words import DecisionKind
from tests.gateway.conftest import Run
from tests.gateway.running import DATA
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

GUESSES, BATCH = 10_000, 500
REAL = range(0, GUESSES, 100)  # the guesses that hit a customer
GUESSER = "guesser@evil.example"


def some_customers(database: Database) -> None:
    """Store the customers whose numbers will be guessed."""
    with database.write() as session:
        rows = [{"number": f"N-{number}", "name": f"Firma {number}"} for number in REAL]
        session.execute(insert(Customer), rows)


def guessed(database: Database, numbers: range) -> list[Receipt]:
    """Take in one mail for each number, all from one sender."""
    mails = [
        a_mail(
            f"Kundennummer: N-{number}\r\n", sender=GUESSER, message_id=f"<{number}@evil.example>"
        )
        for number in numbers
    ]
    with database.write() as session:
        return take_in(session, mails)


def counted(database: Database, model: type) -> int:
    """Return the number of rows."""
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["open", "balanced"])
def test_a_guess_that_hits_is_answered_as_one_that_does_not(
    sqlite_database: Database, policy: str
) -> None:
    a_firm(sqlite_database, sender_policy=policy)
    some_customers(sqlite_database)
    answers: Counter[str] = Counter()
    for start in range(0, GUESSES, BATCH):
        for receipt in guessed(sqlite_database, range(start, start + BATCH)):
            (part,) = receipt.recipients
            assert part.decision is DecisionKind.HOLD
            answers[str(receipt.reply).replace(receipt.reference, "REFERENCE")] += 1
    assert answers == {"250 2.0.0 Accepted as REFERENCE": GUESSES}
    with sqlite_database.read() as session:
        reasons = Counter(session.scalars(select(Delivery.reason)))
    hits = len(REAL)
    assert reasons == {"number-from-unknown-address": hits, "stranger": GUESSES - hits}
    assert counted(sqlite_database, OutgoingMail) == counted(sqlite_database, Ticket) == 0


def test_the_dialogue_is_the_same(run: Run) -> None:
    """A few hundred over the real port: every reply up to the reference."""
    gateway = run()
    some_customers(gateway.database)
    with gateway.client() as client:
        for number in range(300):
            client.play(
                f"""
    C: MAIL FROM:<{GUESSER}>
    S: 250 2.1.0 OK
    C: RCPT TO:<vertrieb@example.org>
    S: 250 2.1.5 OK
{DATA}    C: From: {GUESSER}
    C: Subject: Kundennummer N-{number}
    C: Message-ID: <{number}@evil.example>
    C:
    C: Guten Tag
    C: .
    S: 250 2.0.0 Accepted as *
    """
            )
    reasons = Counter(delivery.reason for delivery in gateway.deliveries())
    assert reasons == {"number-from-unknown-address": 3, "stranger": 297}
    assert gateway.tickets() == counted(gateway.database, OutgoingMail) == 0
