"""Held mail that nobody decides about: put aside after a while, and when it is not."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Stale
from core.intake import expire
from core.intake.expire import expire_held
from core.intake.held import discard, undo_discard
from core.intake.pipeline import take_in
from core.intake.refuse import shown_why
from core.models import AuditEvent, Delivery, Mail, OutgoingMail, Staff, now
from core.words import ActorKind, HeldState
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail


def hold(session: Session, *days: float) -> list[int]:
    """Hold mails that came in so many days ago."""
    found = []
    for number, age in enumerate(days):
        mail = a_mail(sender="wer@fremd.example", message_id=f"<{number}@x>")
        take_in(session, [mail])
        delivery = session.scalars(select(Delivery).order_by(Delivery.id.desc()).limit(1)).one()
        received_at = now() - timedelta(days=age)
        session.execute(
            update(Mail).where(Mail.id == delivery.mail_id).values(received_at=received_at)
        )
        found.append(delivery.id)
    return found


def states(session: Session, ids: list[int]) -> list[HeldState | None]:
    session.flush()
    session.expire_all()
    return [session.get_one(Delivery, each).held for each in ids]


WAITING, DISCARDED = HeldState.WAITING, HeldState.DISCARDED


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (30, [DISCARDED, WAITING, WAITING]),
        (1, [DISCARDED, DISCARDED, WAITING]),
        (31, [WAITING, WAITING, WAITING]),
        (0, [WAITING, WAITING, WAITING]),
    ],
)
def test_what_waits_too_long_is_put_aside(
    database: Database, days: int, expected: list[HeldState]
) -> None:
    a_firm(database, sender_policy="open", held_days=days)
    with database.write() as session:
        ids = hold(session, 30.1, 29.9, 0.9)
        assert expire_held(session) == expected.count(DISCARDED)
        assert states(session, ids) == expected
        assert expire_held(session) == 0
        assert not session.scalars(select(OutgoingMail)).all()  # nobody is told


def test_it_is_written_down_and_kept(database: Database) -> None:
    a_firm(database, sender_policy="open")
    with database.write() as session:
        (delivery_id,) = hold(session, 40)
        assert expire_held(session) == 1
        session.flush()
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.settled_by_id, delivery.mail.raw is not None) == (None, True)
        assert shown_why(delivery.settled_why) == "nobody has decided in time"
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        assert (event.actor_kind, event.action) == (ActorKind.SYSTEM, "discarded")
        assert event.after == {"held": "discarded", "why": "expired"}
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        for settle in (
            lambda: undo_discard(session, audit.staff_actor(root), root, delivery_id),
            lambda: discard(session, audit.staff_actor(root), root, delivery_id, "x"),
        ):
            with pytest.raises(Stale):
                settle()


def test_one_transaction_takes_so_many(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    a_firm(database, sender_policy="open")
    monkeypatch.setattr(expire, "MAX_AT_ONCE", 2)
    with database.write() as session:
        ids = hold(session, 40, 41, 42)
        assert expire_held(session) == 2
        assert states(session, ids) == [DISCARDED, DISCARDED, WAITING]
        assert expire_held(session) == 1
