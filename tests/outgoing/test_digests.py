"""The digest of held mail: who gets it, when, and what it says."""

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.db import Database
from core.intake.pipeline import take_in
from core.models import Delivery, Mail, OutgoingMail, Staff, now
from core.outgoing import digests
from core.outgoing.digests import MAX_LINES, put_digests
from core.words import HeldState, OutgoingKind
from tests.accounts.people import at_the_same_time
from tests.intake.mails import a_mail
from tests.outgoing.automatic import Office, an_office, text_of

MORNING = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)  # seven in Berlin


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return an_office(database, tmp_path)


@pytest.fixture
def sqlite_office(sqlite_database: Database, tmp_path: Path) -> Office:
    return an_office(sqlite_database, tmp_path)


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let it be this time for the digest."""
    monkeypatch.setattr(digests, "now", lambda: moment)


def hold(office: Office, count: int = 1, queue: str = "vertrieb", days: int = 0) -> None:
    """Let mails of strangers be held, which came in so many days ago."""
    with office.database.write() as session:
        for _each in range(count):
            office.mails += 1
            mail = a_mail(
                "Geheimer Text\r\n",
                sender=f"s{office.mails}@fremd.example",
                to=f"{queue}@example.org",
                subject="Geheim",
                message_id=f"<h{office.mails}@x>",
            )
            take_in(session, [mail])
            newest = session.scalars(select(Mail).order_by(Mail.id.desc()).limit(1)).one()
            newest.received_at = now() - timedelta(days=days)


def put(office: Office) -> list[OutgoingMail]:
    """Let the worker put digests; return all there are."""
    with office.database.write() as session:
        put_digests(session)
    with office.database.read() as session:
        kind = OutgoingMail.kind == OutgoingKind.DIGEST
        return list(session.scalars(select(OutgoingMail).where(kind).order_by(OutgoingMail.id)))


def change(office: Office, login: str, **values: object) -> None:
    with office.database.write() as session:
        session.execute(update(Staff).where(Staff.login == login).values(**values))


def sent_to(office: Office, login: str) -> EmailMessage:
    (mail,) = [each for each in put(office) if each.recipient.startswith(login)]
    return office.composed(mail.id)


def test_it_comes_once_a_day_from_seven(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(office)
    at(monkeypatch, MORNING - timedelta(seconds=1))
    assert put(office) == []
    at(monkeypatch, MORNING)
    first = put(office)
    assert [mail.recipient for mail in first] == ["root@example.org", "jonas@example.org"]
    at(monkeypatch, MORNING + timedelta(hours=12))
    assert len(put(office)) == 2
    at(monkeypatch, MORNING + timedelta(days=1))
    assert len(put(office)) == 4
    with office.database.read() as session:
        assert set(session.scalars(select(Staff.digest_on))) == {date(2026, 11, 25)}


def test_several_workers_send_one(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(office)
    at(monkeypatch, MORNING)

    def work() -> None:
        with office.database.write() as session:
            put_digests(session)

    at_the_same_time(*[work] * 4)
    assert len(put(office)) == 2


@pytest.mark.parametrize("why", ["nothing", "elsewhere", "off", "invalid"])
def test_who_gets_none(sqlite_office: Office, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Jonas works Vertrieb."""
    office = sqlite_office
    at(monkeypatch, MORNING)
    match why:
        case "elsewhere":
            hold(office, queue="technik")
        case "off":
            hold(office)
            change(office, "jonas", digest=False)
        case "invalid":
            hold(office)
            change(office, "jonas", valid=False)
        case _:
            pass
    assert "jonas@example.org" not in [mail.recipient for mail in put(office)]


def test_what_it_says(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(office, 2, days=28)
    hold(office, MAX_LINES)
    at(monkeypatch, now().replace(hour=12))
    change(office, "jonas", language="de")
    sent = sent_to(office, "jonas")
    text = text_of(sent)
    assert sent["Subject"] == "22 zurückgehaltene Mails warten auf eine Entscheidung"
    assert "   22  Unbekannter Absender" in text
    assert "2 davon werden in den nächsten 3 Tagen verworfen" in text
    assert text.count("@fremd.example") == MAX_LINES
    assert "s1@fremd.example: Unbekannter Absender" in text
    assert "… und 2 weitere." in text
    assert "https://hilfe.example.org/staff/held\n" in text
    assert "Geheim" not in text
    assert sent["Auto-Submitted"] == "auto-generated"


def test_it_counts_what_waits_when_it_is_sent(
    sqlite_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = sqlite_office
    hold(office)
    at(monkeypatch, now().replace(hour=12))
    first, second = put(office)
    change(office, "root", email="neu@example.org")
    assert office.send(first.id) == "This member of staff gets no digest any more."
    with office.database.write() as session:
        session.execute(update(Delivery).values(held=HeldState.DISCARDED))
    assert office.send(second.id) == "Nothing waits any more."
