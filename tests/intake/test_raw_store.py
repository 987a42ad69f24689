"""The bytes of a message are stored as they came, whatever its size."""

import random

import pytest
from sqlalchemy import select

from core.db import Database
from core.intake.pipeline import take_in
from core.intake.raw_store import IN_PIECES, PIECE
from core.models import RawMail
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

SIZES = [0, PIECE, IN_PIECES - 1, IN_PIECES, IN_PIECES + PIECE + 1]


@pytest.fixture
def bodies() -> list[str]:
    rng = random.Random(1)
    return ["".join(rng.choices("abc\r\n", k=size)) for size in SIZES]


def test_big_and_small_together(database: Database, bodies: list[str]) -> None:
    a_firm(database)
    mails = [a_mail(body, message_id=f"<{n}@muster.example>") for n, body in enumerate(bodies)]
    with database.write() as session:
        take_in(session, mails)
    with database.read() as session:
        stored = session.scalars(select(RawMail.content).order_by(RawMail.id)).all()
    assert sorted(stored) == sorted(mail.raw for mail in mails)


def test_what_is_undone_leaves_no_bytes(database: Database, bodies: list[str]) -> None:
    a_firm(database)

    def take_in_and_fail() -> None:
        with database.write() as session:
            take_in(session, [a_mail(bodies[-1])])
            raise RuntimeError("forced by the test")

    with pytest.raises(RuntimeError, match="forced"):
        take_in_and_fail()
    with database.read() as session:
        assert session.scalars(select(RawMail.id)).all() == []
