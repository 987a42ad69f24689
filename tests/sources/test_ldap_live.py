"""A directory asked while mail comes in: who is new there is known, and an outage costs seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from core.db import Database
from core.intake.incoming import Incoming, Receipt
from core.intake.prepare import prepare
from core.intake.writer import take_in_looked_up
from core.models import CustomerUser, Ticket
from core.sources.asking import breaker
from core.sources.asking.breaker import FAILURES
from core.sources.asking.live import LiveSources
from core.sources.kinds.ldap import LdapSource
from core.sources.source import SourceAway
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail
from tests.sources.firm import section_of
from tests.support.slapd import Entries, Slapd, person, person_dn, run_slapd

NINA: Entries = {
    person_dn("nina"): {
        **person("nina", ["nina@muster.example", "n@muster.example"], first="Nina", last="Neu"),
        "customerNumber": "K-1000",
    }
}
FILED = ("open-ticket", "allowed")
STRANGER = ("hold", "stranger")
AWAY = ("hold", "source-away")


@pytest.fixture
def firm(sqlite_database: Database) -> Database:
    """An organisation that takes mail from everybody into its queues."""
    a_firm(sqlite_database, sender_policy="open")
    return sqlite_database


@pytest.fixture
def directory() -> Iterator[Slapd]:
    """A directory that alone knows Nina."""
    with run_slapd(NINA) as slapd:
        yield slapd


@contextmanager
def asking(slapd: Slapd, **keys: Any) -> Iterator[LiveSources]:
    """Give the directory as a source that is asked live."""
    section = section_of(slapd, **keys)
    sources = LiveSources([LdapSource(section, slapd.password)], [section])
    try:
        yield sources
    finally:
        sources.close()


def mail_from(address: str, number: int = 1) -> Incoming:
    return a_mail(sender=address, message_id=f"<{number}@muster.example>")


def take_in(database: Database, sources: LiveSources, mail: Incoming) -> tuple[str, str] | str:
    """Take a mail in; return decision and reason, or whom it waits for.

    A server that hangs does so for good, so this comes back only where nobody waits for that.
    """
    (result,) = take_in_looked_up(database, sources, [prepare(mail)])
    if isinstance(result, SourceAway):
        return result.source
    assert isinstance(result, Receipt)
    (part,) = result.recipients
    return part.decision.value, part.reason


def senders(database: Database) -> list[str]:
    """Return the login of the account that each ticket belongs to."""
    with database.read() as session:
        found = session.scalars(
            select(CustomerUser.login)
            .select_from(Ticket)
            .outerjoin(CustomerUser, CustomerUser.id == Ticket.customer_user_id)
            .order_by(Ticket.id)
        )
        return list(found)


@pytest.mark.parametrize("address", ["nina@muster.example", "N@Muster.example"])
def test_somebody_who_is_new_there(firm: Database, directory: Slapd, address: str) -> None:
    with asking(directory) as sources:
        assert take_in(firm, sources, mail_from(address)) == FILED
    assert senders(firm) == ["nina"]


@pytest.mark.parametrize(
    ("how", "when_away"), [("stop", "hold"), ("pause", "hold"), ("kill", "defer")]
)
def test_nobody_is_taken_for_a_stranger_while_it_is_away(
    firm: Database,
    directory: Slapd,
    how: str,
    when_away: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 600.0)
    with asking(directory, when_away=when_away, cache_seconds=0) as sources:
        assert take_in(firm, sources, mail_from("nobody@elsewhere.example")) == STRANGER
        getattr(directory, how)()
        expected = AWAY if when_away == "hold" else "firm"
        for number in range(2, 2 + FAILURES):
            assert take_in(firm, sources, mail_from("nina@muster.example", number)) == expected
        asked: list[object] = []  # nothing: it is known to be away
        monkeypatch.setattr(LdapSource, "find", lambda *question: asked.append(question))
        for number in range(10, 13):
            assert take_in(firm, sources, mail_from("nina@muster.example", number)) == expected
        assert asked == []
    assert senders(firm) == []


def test_the_last_good_copy_counts_while_it_is_away(firm: Database, directory: Slapd) -> None:
    with asking(directory, cache_seconds=0) as sources:
        assert take_in(firm, sources, mail_from("nina@muster.example")) == FILED
        directory.pause()
        assert take_in(firm, sources, mail_from("n@muster.example", 2)) == FILED
    assert senders(firm) == ["nina", "nina"]


def test_a_second_server_answers_for_one_that_hangs(firm: Database, directory: Slapd) -> None:
    with run_slapd(NINA) as second:
        servers = [second.server, directory.server]
        with asking(directory, servers=servers, tls="none", cache_seconds=0) as sources:
            second.pause()
            for number in range(1, 4):
                mail = mail_from("nina@muster.example", number)
                assert take_in(firm, sources, mail) == FILED
    assert senders(firm) == ["nina"] * 3
