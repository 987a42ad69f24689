"""*Relay authenticates*: whom an admin lets a relay vouch for, and what says more than that."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from core.db import Database
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.mail.authentication.findings import Dmarc, DmarcPolicy, Findings, Result, Source, Spf
from core.models import Mail
from core.words import Evidence
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

RELAY = "mx.example.org"
FAILED = f"Authentication-Results: {RELAY}; dmarc=fail (p=reject) header.from=muster.example\r\n"
NOT_ALIGNED = f"Authentication-Results: {RELAY}; dkim=pass header.d=esp.example\r\n"


def handed_over(headers: str = "", *, sender: str = "anna@muster.example") -> Incoming:
    """Return a mail that a trusted relay hands over."""
    mail = a_mail(headers=headers, sender=sender)
    return replace(mail, envelope=replace(mail.envelope, trusted=True), authserv_id=RELAY)


def from_outside(findings: Findings | None = None) -> Incoming:
    """Return a mail that comes straight from the world."""
    return replace(a_mail(), findings=findings)


EDGE_NEUTRAL = Findings(Source.EDGE, Spf(Result.NONE, "muster.example"))
EDGE_FAILED = Findings(Source.EDGE, dmarc=Dmarc(DmarcPolicy.REJECT))

ROWS = [
    ("listed", handed_over(), Evidence.VERIFIED),
    ("no name of results", replace(handed_over(), authserv_id=""), Evidence.VERIFIED),
    ("not listed", handed_over(sender="carol@acme.example"), Evidence.NEUTRAL),
    ("below a listed domain", handed_over(sender="a@sub.muster.example"), Evidence.NEUTRAL),
    ("two senders", handed_over("From: x@evil.example\r\n"), Evidence.FAILED),
    ("the relay disowns it", handed_over(FAILED), Evidence.FAILED),
    ("the relay confirms another", handed_over(NOT_ALIGNED), Evidence.NEUTRAL),
    ("from outside", from_outside(), Evidence.NEUTRAL),
    ("from outside, checked", from_outside(EDGE_NEUTRAL), Evidence.NEUTRAL),
    ("from outside, refuted", from_outside(EDGE_FAILED), Evidence.FAILED),
]


@pytest.mark.parametrize(("mail", "evidence"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_whom_a_relay_vouches_for(
    sqlite_database: Database, mail: Incoming, evidence: Evidence
) -> None:
    a_firm(sqlite_database, relay_authenticates=["muster.example"])
    with sqlite_database.write() as session:
        take_in(session, [mail])
    with sqlite_database.read() as session:
        assert session.scalars(select(Mail.evidence)).one() is evidence


def test_nobody_vouches_unless_an_admin_says_so(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    with sqlite_database.write() as session:
        take_in(session, [handed_over()])
    with sqlite_database.read() as session:
        assert session.scalars(select(Mail.evidence)).one() is Evidence.NEUTRAL
