"""Refusing held mail: who is told, what they read, and who is never told."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.intake.held import undo_discard
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.intake.refuse import (
    REASONS,
    REFUSALS_A_DAY,
    refusal_problem,
    refuse,
    shown_why,
)
from core.models import AuditEvent, BouncingAddress, Delivery, OutgoingMail, RawMail, Staff, now
from core.outgoing.installation import Installation
from core.secret_key import Keys, ensure_secret_key
from core.words import Evidence, HeldState, OutgoingKind, OutgoingState
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail

SECRET_TEXT = "ganz geheimer Betreff und Text"


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, sender_policy="open")


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    ensure_secret_key(str(tmp_path / "key"))
    return Installation(Keys(str(tmp_path / "key")), "https://schalter.example", "mail.example.org")


def stranger(number: int = 1, **more: object) -> Incoming:
    values = {"sender": "wer@fremd.example", "message_id": f"<s{number}@x>", **more}
    return a_mail(SECRET_TEXT, subject=SECRET_TEXT, **values)


def hold(session: Session, *mails: Incoming) -> list[int]:
    take_in(session, mails)
    statement = select(Delivery.id).where(Delivery.held == HeldState.WAITING).order_by(Delivery.id)
    return list(session.scalars(statement))


def turn_down(
    session: Session,
    here: Installation,
    delivery_id: int,
    login: str = "root",
    reason: str = "unknown",
    language: str = "de",
) -> None:
    member = session.scalars(select(Staff).where(Staff.login == login)).one()
    refuse(session, here, audit.staff_actor(member), member, delivery_id, reason, language)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("reason", REASONS)
def test_the_sender_is_told_in_our_words(
    database: Database, firm: Firm, here: Installation, reason: str, language: str
) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        turn_down(session, here, delivery_id, reason=reason, language=language)
        mail = session.scalars(select(OutgoingMail)).one()
        assert (mail.kind, mail.state) == (OutgoingKind.HELD_REFUSED, OutgoingState.WAITING)
        assert (mail.recipient, mail.mail_from) == ("wer@fremd.example", "")
        content = session.get_one(RawMail, mail.raw_id).content.decode()
        assert "Auto-Submitted: auto-replied" in content
        assert "geheim" not in content
        assert ("nicht angenommen" in content) == (language == "de")
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.held, delivery.settled_why) == (
            HeldState.DISCARDED,
            f"refused:{reason}",
        )
        assert REASONS[reason] in shown_why(delivery.settled_why)
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        assert event.after == {"to": "wer@fremd.example", "reason": reason, "outgoing": mail.id}


def test_what_was_told_cannot_be_taken_back(
    database: Database, firm: Firm, here: Installation
) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        turn_down(session, here, delivery_id)
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        with pytest.raises(Stale):
            undo_discard(session, audit.staff_actor(root), root, delivery_id)
        with pytest.raises(Stale):
            turn_down(session, here, delivery_id)
        assert len(session.scalars(select(OutgoingMail)).all()) == 1


@pytest.mark.parametrize(
    ("mail", "problem"),
    [
        (stranger(mail_from=""), "A machine has sent it"),
        (stranger(headers="Auto-Submitted: auto-replied\r\n"), "A machine has sent it"),
        (stranger(headers="List-Id: <x.example>\r\n"), "A machine has sent it"),
        (stranger(headers="Precedence: bulk\r\n"), "A machine has sent it"),
        (stranger(sender="a@b.example, c@d.example"), "not verified"),
        (stranger(sender="noreply@fremd.example"), "Nobody reads mail to this address."),
    ],
)
def test_some_are_never_told(
    database: Database, firm: Firm, here: Installation, mail: Incoming, problem: str
) -> None:
    with database.write() as session:
        delivery_id = hold(session, mail)[0]
        delivery = session.get_one(Delivery, delivery_id)
        assert problem in refusal_problem(session, here, delivery)
        with pytest.raises(Forbidden, match=problem):
            turn_down(session, here, delivery_id)
        assert delivery.held is HeldState.WAITING
        assert not session.scalars(select(OutgoingMail)).all()


@pytest.mark.parametrize(
    ("evidence", "policy", "told"),
    [
        (Evidence.VERIFIED, "balanced", True),
        (Evidence.VERIFIED, "strict", True),
        (Evidence.NEUTRAL, "open", True),
        (Evidence.NEUTRAL, "balanced", False),
        (Evidence.FAILED, "open", False),
    ],
)
def test_only_who_is_verified_is_told(
    database: Database, here: Installation, evidence: Evidence, policy: str, told: bool
) -> None:
    a_firm(database, sender_policy=policy)
    with database.write() as session:
        # held under every policy
        delivery_id = hold(session, a_mail("Kundennummer K-2000\r\n"))[0]
        delivery = session.get_one(Delivery, delivery_id)
        delivery.mail.evidence = evidence
        assert (refusal_problem(session, here, delivery) == "") is told


def test_an_address_is_told_a_few_times_a_day(
    database: Database, firm: Firm, here: Installation
) -> None:
    with database.write() as session:
        ids = hold(session, *(stranger(n) for n in range(REFUSALS_A_DAY + 1)))
        for delivery_id in ids[:-1]:
            turn_down(session, here, delivery_id)
        with pytest.raises(Forbidden, match="often enough"):
            turn_down(session, here, ids[-1])
        for mail in session.scalars(select(OutgoingMail)):
            mail.created_at = now() - timedelta(hours=25)
        session.flush()
        turn_down(session, here, ids[-1])


def test_an_address_from_which_mail_comes_back_is_not_told(
    database: Database, firm: Firm, here: Installation
) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        session.add(
            BouncingAddress(
                address_key="wer@fremd.example", bounces=99, last_at=now(), last_text="x"
            )
        )
        session.flush()
        with pytest.raises(Forbidden, match="came back"):
            turn_down(session, here, delivery_id)


def test_who_may_refuse_and_how(database: Database, firm: Firm, here: Installation) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger(to="technik@example.org"))[0]
        with pytest.raises(NotFound):
            turn_down(session, here, delivery_id, "jonas")  # of another queue
        with pytest.raises(Invalid):
            turn_down(session, here, delivery_id, reason="weil")
        with pytest.raises(Invalid):
            turn_down(session, here, delivery_id, language="fr")
        assert session.get_one(Delivery, delivery_id).held is HeldState.WAITING
    assert shown_why("refused:weil") == "refused:weil"
    assert shown_why("Werbung") == "Werbung"
