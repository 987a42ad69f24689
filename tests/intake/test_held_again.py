"""Mail held because a customer source was away, decided again when that answers."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from core import worker
from core.db import Database
from core.intake import held_again
from core.intake.held import discard
from core.intake.held_again import decide_again
from core.intake.incoming import Incoming
from core.intake.prepare import prepare
from core.intake.writer import take_in_looked_up
from core.models import Article, AuditEvent, Delivery, OutgoingMail, Queue, Staff, Ticket
from core.secret_key import Keys, ensure_secret_key
from core.sources.asking.live import LiveSources
from core.sources.source import By
from core.words import Evidence, HeldState, MatchedBy, StrangersRule
from tests.accounts.people import ADMIN
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail
from tests.sources.crm import ANNA, Crm, account
from tests.sources.live import Watched, live, section_of
from tests.support.processes import wait_until

NINA = ANNA | {"id": 7, "login": "nina", "mail": "nina@muster.example", "vorname": "Nina"}

Live = tuple[LiveSources, Watched]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 0.8)


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, sender_policy="open")


@pytest.fixture
def sources(crm: Crm) -> Iterator[Live]:
    """A source that stalls."""
    with live(section_of(crm)) as (sources, (watched,)):
        watched.stall()
        yield sources, watched


def hold(database: Database, sources: Live, *mails: Incoming) -> None:
    """Take mails in that are held, because the source is away."""
    take_in_looked_up(database, sources[0], [prepare(mail) for mail in mails])
    with database.read() as session:
        assert {row.reason for row in session.query(Delivery)} == {"source-away"}


def answer_again(database: Database, sources: Live) -> None:
    """Let the source answer, and be known to."""
    sources[1].go_on()
    sources[0]._each[0].breaker.answered()
    assert sources[0].look_up(database, {By.LOGIN: ["nobody"]}, fresh=True).unanswered == {}


def from_nina(number: int = 1) -> Incoming:
    """Return one of Nina's mails, whom only the source knows."""
    return a_mail(sender="nina@muster.example", message_id=f"<{number}@muster.example>")


def delivery(database: Database) -> Delivery:
    """Return the one delivery."""
    with database.read() as session:
        return session.query(Delivery).one()


def test_who_is_known_there_is_filed(
    database: Database, firm: Firm, sources: Live, crm: Crm
) -> None:
    hold(database, sources, from_nina())
    crm.hold(NINA)
    answer_again(database, sources)
    assert decide_again(database, sources[0], ()) == 1
    nina = account(database, "nina").id
    with database.read() as session:
        ticket, article = session.query(Ticket).one(), session.query(Article).one()
        assert (ticket.customer_user_id, ticket.queue_id) == (nina, firm.queues["Vertrieb"])
        assert article.ticket_id == ticket.id
        assert session.query(OutgoingMail).count() == 0  # as when staff release a mail
        events = session.query(AuditEvent).filter_by(object_kind="held-mail").all()
        assert [(event.action, event.actor_name) for event in events] == [
            ("released", "customer sources")
        ]
    row = delivery(database)
    assert (row.held, row.ticket_id) == (HeldState.RELEASED, ticket.id)
    assert (row.customer_user_id, row.matched_by) == (nina, MatchedBy.ADDRESS)
    assert [step["rule"] for step in row.trace].count("source_away") == 1
    assert row.trace[-1]["rule"] == "file_it"
    assert decide_again(database, sources[0], ()) == 0


def test_who_is_not_known_stays_held_as_a_stranger(
    database: Database, firm: Firm, sources: Live
) -> None:
    hold(database, sources, from_nina())
    answer_again(database, sources)
    assert decide_again(database, sources[0], ()) == 1
    row = delivery(database)
    assert (row.held, row.reason, row.ticket_id) == (HeldState.WAITING, "stranger", None)
    assert decide_again(database, sources[0], ()) == 0


def test_nobody_is_refused_after_all(sqlite_database: Database, sources: Live) -> None:
    """Its server was told that the mail is accepted."""
    firm = a_firm(sqlite_database, sender_policy="open")
    with sqlite_database.write() as session:
        queue = session.get_one(Queue, firm.queues["Vertrieb"])
        queue.strangers = StrangersRule.REJECT
    hold(sqlite_database, sources, from_nina())
    answer_again(sqlite_database, sources)
    decide_again(sqlite_database, sources[0], ())
    row = delivery(sqlite_database)
    assert (row.held, row.reason) == (HeldState.WAITING, "stranger")


def test_while_the_source_is_away_it_waits(sqlite_database: Database, sources: Live) -> None:
    a_firm(sqlite_database, sender_policy="open")
    hold(sqlite_database, sources, from_nina())
    assert decide_again(sqlite_database, sources[0], ()) == 0
    assert delivery(sqlite_database).reason == "source-away"


def test_staff_were_faster(sqlite_database: Database, sources: Live, crm: Crm) -> None:
    firm = a_firm(sqlite_database, sender_policy="open")
    hold(sqlite_database, sources, from_nina())
    with sqlite_database.write() as session:
        root = session.get_one(Staff, firm.staff["root"])
        discard(session, ADMIN, root, delivery(sqlite_database).id, "spam")
    crm.hold(NINA)
    answer_again(sqlite_database, sources)
    assert decide_again(sqlite_database, sources[0], ()) == 0
    assert delivery(sqlite_database).held is HeldState.DISCARDED


def test_the_evidence_is_that_of_the_time(
    sqlite_database: Database, sources: Live, crm: Crm
) -> None:
    """Nothing was proven when it came in, and nothing is later: the ticket says so."""
    a_firm(sqlite_database, sender_policy="balanced")
    hold(sqlite_database, sources, from_nina())
    crm.hold(NINA)
    answer_again(sqlite_database, sources)
    decide_again(sqlite_database, sources[0], ())
    with sqlite_database.read() as session:
        row = session.query(Delivery).one()
        assert row.mail.evidence is Evidence.NEUTRAL
        assert session.query(Article).one().flag == "sender-not-verified"
        assert session.query(OutgoingMail).count() == 0


def test_many(sqlite_database: Database, sources: Live, crm: Crm) -> None:
    """While the source is away it is not asked about each of them."""
    a_firm(sqlite_database, sender_policy="open")
    hold(sqlite_database, sources, *(from_nina(number) for number in range(9)))
    assert decide_again(sqlite_database, sources[0], ()) == 0
    begun: list[object] = []
    event.listen(sqlite_database.reader, "begin", begun.append)
    assert decide_again(sqlite_database, sources[0], ()) == 0
    assert len(begun) < 9
    crm.hold(NINA)
    answer_again(sqlite_database, sources)
    assert decide_again(sqlite_database, sources[0], ()) == 9
    with sqlite_database.read() as session:
        assert session.query(Article).count() == 9


# At most how many mails, and bytes, at once; about how many each question is then.
LOADS = [(64, 1 << 24, [1, 8]), (3, 1 << 24, [1, 3, 3, 2]), (64, 1, [1] * 9)]


@pytest.mark.parametrize(("mails", "size", "asked"), LOADS)
def test_they_are_asked_about_together(
    sqlite_database: Database,
    sources: Live,
    monkeypatch: pytest.MonkeyPatch,
    mails: int,
    size: int,
    asked: list[int],
) -> None:
    """Behind the first as many as come in at once, by number and size; decided one by one."""
    a_firm(sqlite_database, sender_policy="open")
    senders = [f"x{number}@muster.example" for number in range(9)]
    hold(sqlite_database, sources, *(a_mail(sender=s, message_id=f"<{s}>") for s in senders))
    answer_again(sqlite_database, sources)
    monkeypatch.setattr(held_again, "MAX_BATCH_MAILS", mails)
    monkeypatch.setattr(held_again, "MAX_BATCH_BYTES", size)
    monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 20.0)
    monkeypatch.setattr("core.sources.asking.live.SECONDS", 30.0)
    sources[1].asked.clear()
    committed: list[object] = []
    event.listen(sqlite_database.writer, "commit", committed.append)
    assert decide_again(sqlite_database, sources[0], ()) == 9
    assert [len(values) for _by, values in sources[1].asked] == asked
    assert len(committed) >= 9


def test_one_that_cannot_be_handled_is_left_to_staff(
    sqlite_database: Database, sources: Live, crm: Crm
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    hold(sqlite_database, sources, from_nina(1), from_nina(2))
    with sqlite_database.write() as session:
        session.get_one(Delivery, 1).mail.raw_id = None
    crm.hold(NINA)
    answer_again(sqlite_database, sources)
    assert decide_again(sqlite_database, sources[0], ()) == 1
    with sqlite_database.read() as session:
        found = [(row.reason, row.held) for row in session.query(Delivery)]
    assert found == [("unreadable", HeldState.WAITING), ("source-away", HeldState.RELEASED)]


def test_without_its_source_it_is_decided_at_once(sqlite_database: Database, sources: Live) -> None:
    """The source is configured no longer."""
    a_firm(sqlite_database, sender_policy="open")
    hold(sqlite_database, sources, from_nina())
    assert decide_again(sqlite_database, LiveSources([], []), ()) == 1
    assert delivery(sqlite_database).reason == "stranger"


def test_the_worker_does_it(
    sqlite_database: Database, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    key = str(tmp_path / "secret.key")
    ensure_secret_key(key)
    monkeypatch.setattr(worker, "AGAIN_SECONDS", 0.05)
    crm.execute('ALTER TABLE "Kunden Benutzer" RENAME TO elsewhere')
    with live(section_of(crm)) as (sources, _watched):
        hold(sqlite_database, (sources, _watched[0]), from_nina())
        with worker.deciding_again(sqlite_database, sources, Keys(key)):
            time.sleep(0.5)  # in which it would be decided, if the source were there
            assert delivery(sqlite_database).reason == "source-away"
            crm.execute('ALTER TABLE elsewhere RENAME TO "Kunden Benutzer"')
            crm.hold(NINA)
            sources._each[0].breaker.answered()
            wait_until(
                lambda: delivery(sqlite_database).held is HeldState.RELEASED, "released mail"
            )
