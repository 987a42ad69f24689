"""Mail from people whom customer sources know: matched at once, and never misfiled in an outage."""

from collections.abc import Sequence

import pytest
from sqlalchemy import event

from core.db import Database
from core.intake.incoming import Incoming, Receipt
from core.intake.look_up import look_up
from core.intake.prepare import prepare
from core.intake.writer import take_in_looked_up
from core.models import Delivery, Mail, Ticket
from core.sources.asking.live import LiveSources
from core.sources.source import By, SourceAway
from core.words import HeldState
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail
from tests.sources.crm import ANNA, Crm, account, logins, read
from tests.sources.live import live, section_of

NINA = ANNA | {"id": 7, "login": "nina", "mail": "nina@muster.example", "vorname": "Nina"}


def take_in(
    database: Database, sources: LiveSources, *mails: Incoming
) -> list[tuple[str, str] | str]:
    """Take mails in; return decision and reason of each, or the source that it waits for."""
    results = take_in_looked_up(database, sources, [prepare(mail) for mail in mails])
    told: list[tuple[str, str] | str] = []
    for result in results:
        if isinstance(result, Receipt):
            (part,) = result.recipients
            told.append((part.decision.value, part.reason))
        else:
            assert isinstance(result, SourceAway)
            told.append(result.source)
    return told


def from_nina(number: int = 1, text: str = "Guten Tag\r\n") -> Incoming:
    """Return one of Nina's mails, whom only the source knows."""
    return a_mail(text, sender="nina@muster.example", message_id=f"<{number}@muster.example>")


FILED = ("open-ticket", "allowed")
AWAY = ("hold", "source-away")


class TestMatched:
    """What the source knows counts with the mail that is being taken in."""

    def test_somebody_who_is_new_there(self, database: Database, crm: Crm) -> None:
        a_firm(database, sender_policy="open")
        crm.hold(NINA)
        with live(section_of(crm)) as (sources, _watched):
            assert take_in(database, sources, from_nina()) == [FILED]
        with database.read() as session:
            ticket = session.query(Ticket).one()
            assert ticket.customer_user_id == account(database, "nina").id

    def test_a_changed_address(self, sqlite_database: Database, crm: Crm) -> None:
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA | {"mail": "alt@muster.example"})
        read(sqlite_database, crm.section())
        crm.hold(NINA)
        with live(section_of(crm)) as (sources, _watched):
            assert take_in(sqlite_database, sources, from_nina()) == [FILED]
            old = a_mail(sender="alt@muster.example", message_id="<2@muster.example>")
            assert take_in(sqlite_database, sources, old) == [("hold", "stranger")]

    def test_an_address_that_another_account_has_now(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA)
        read(sqlite_database, crm.section())
        otto = NINA | {"id": 8, "login": "otto"}
        crm.hold(NINA | {"mail": "neu@muster.example"}, otto)
        with live(section_of(crm)) as (sources, _watched):
            assert take_in(sqlite_database, sources, from_nina()) == [FILED]
        with sqlite_database.read() as session:
            ticket = session.query(Ticket).one()
        assert ticket.customer_user_id == account(sqlite_database, "otto").id

    def test_somebody_who_is_gone(self, sqlite_database: Database, crm: Crm) -> None:
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA, ANNA | {"login": "other", "mail": "other@muster.example"})
        read(sqlite_database, crm.section())
        crm.execute("DELETE FROM \"Kunden Benutzer\" WHERE login = 'nina'")
        with live(section_of(crm)) as (sources, _watched):
            assert take_in(sqlite_database, sources, from_nina()) == [("hold", "account-invalid")]

    def test_an_address_of_two_sources(self, sqlite_database: Database, crm: Crm, erp: Crm) -> None:
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA)
        erp.hold(NINA | {"login": "n.maier"})
        with live(section_of(crm), section_of(erp, "erp")) as (sources, _watched):
            assert take_in(sqlite_database, sources, from_nina()) == [("hold", "ambiguous-address")]
        assert logins(sqlite_database)["n.maier"] == ("erp", "valid")

    def test_a_number_that_only_the_source_knows(self, sqlite_database: Database, crm: Crm) -> None:
        """It contradicts the address, so it must be known before anything is decided."""
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA | {"number": "K-77"})
        with live(section_of(crm)) as (sources, _watched):
            mail = a_mail("Kundennummer: K-77\r\n")
            assert take_in(sqlite_database, sources, mail) == [("hold", "number-conflict")]

    @pytest.mark.parametrize("there", ["nina@müster.example", "nina@xn--mster-kva.example"])
    @pytest.mark.parametrize("sender", ["Nina@Müster.example", "nina@xn--mster-kva.example"])
    def test_an_address_with_umlauts_in_its_domain(
        self, sqlite_database: Database, crm: Crm, there: str, sender: str
    ) -> None:
        a_firm(sqlite_database, sender_policy="open")
        crm.hold(NINA | {"mail": there})
        with live(section_of(crm)) as (sources, _watched):
            mail = a_mail(sender=sender, mail_from="")
            assert take_in(sqlite_database, sources, mail) == [FILED]


class TestAway:
    """A source that does not answer: who is known from its copies, and who may be."""

    @pytest.fixture(autouse=True)
    def _firm(self, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 0.8)
        a_firm(sqlite_database, sender_policy="open")

    def test_held(self, sqlite_database: Database, crm: Crm) -> None:
        with live(section_of(crm)) as (sources, (watched,)):
            watched.stall()
            mails = [
                from_nina(),
                a_mail(message_id="<9@x>"),
                from_nina(2, "Kundennummer: K-2000\r\n"),
            ]
            assert take_in(sqlite_database, sources, *mails) == [AWAY, FILED, AWAY]
        with sqlite_database.read() as session:
            held = session.query(Delivery).filter_by(held=HeldState.WAITING).all()
            assert len(held) == 2
            assert held[0].trace[-1]["values"] == {"sources": "crm"}
            assert held[0].customer_user_id is None

    def test_put_off(self, sqlite_database: Database, crm: Crm) -> None:
        """Only what may be known there waits outside; nothing of it is stored."""
        with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
            watched.stall()
            mails = [from_nina(), a_mail(message_id="<9@x>"), from_nina(2)]
            assert take_in(sqlite_database, sources, *mails) == ["crm", FILED, "crm"]
            with sqlite_database.read() as session:
                assert session.query(Mail).count() == 1
            crm.hold(NINA)
            watched.go_on()
            sources.look_up(sqlite_database, {By.LOGIN: ["nina"]}, fresh=True)
            assert take_in(sqlite_database, sources, from_nina(), from_nina(2)) == [FILED, FILED]

    @pytest.mark.parametrize("policy", ["hold", "defer"])
    def test_who_is_known_from_the_last_good_copy(
        self, sqlite_database: Database, crm: Crm, policy: str
    ) -> None:
        crm.hold(NINA, NINA | {"id": 8, "login": "ex", "mail": "ex@muster.example", "gueltig": 0})
        read(sqlite_database, crm.section())
        with live(section_of(crm, when_away=policy)) as (sources, (watched,)):
            watched.stall()
            ex = a_mail(sender="ex@muster.example", message_id="<8@x>")
            decided = take_in(sqlite_database, sources, from_nina(), ex)
            assert decided == [FILED, ("hold", "account-invalid")]

    def test_one_of_two_defers(self, sqlite_database: Database, crm: Crm, erp: Crm) -> None:
        sections = section_of(crm), section_of(erp, "erp", when_away="defer")
        with live(*sections) as (sources, (first, second)):
            first.stall()
            assert take_in(sqlite_database, sources, from_nina()) == [AWAY]
            second.stall()
            assert take_in(sqlite_database, sources, from_nina(2)) == ["erp"]

    def test_found_in_one_while_the_other_is_away(
        self, sqlite_database: Database, crm: Crm, erp: Crm
    ) -> None:
        erp.hold(NINA)
        with live(section_of(crm), section_of(erp, "erp")) as (sources, (first, _second)):
            first.stall()
            assert take_in(sqlite_database, sources, from_nina()) == [FILED]

    def test_mail_of_no_clear_sender_is_decided_without_it(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
            watched.stall()
            unclear = a_mail(sender="a@x.example, b@x.example", mail_from="a@x.example")
            lost = a_mail(sender="who@x.example", to="nobody@example.org", message_id="<3@x>")
            assert take_in(sqlite_database, sources, unclear, lost) == [
                ("hold", "sender-unclear"),
                ("reject", "unknown-recipient"),
            ]
            assert watched.asked == []


class TestCost:
    """One question per source and kind, and none at all without sources."""

    def test_a_batch(self, sqlite_database: Database, crm: Crm) -> None:
        a_firm(sqlite_database, sender_policy="open")
        mails = [
            a_mail(
                f"Kundennummer: X-{number}\r\n",
                sender=f"a{number}@x.example",
                message_id=f"<{number}@x.example>",
            )
            for number in range(64)
        ]
        with live(section_of(crm)) as (sources, (watched,)):
            decided = take_in(sqlite_database, sources, *mails)
        assert decided == [("hold", "stranger")] * 64
        assert [(by, len(values)) for by, values in watched.asked] == [
            (By.ADDRESS, 64),
            (By.NUMBER, 64),
        ]

    def test_numbers_that_are_known_are_not_asked(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        a_firm(sqlite_database, sender_policy="open")
        with live(section_of(crm)) as (sources, (watched,)):
            take_in(sqlite_database, sources, a_mail("Kundennummer: K-1000\r\n"))
        assert [by for by, _values in watched.asked] == [By.ADDRESS]

    def test_without_sources(self, sqlite_database: Database) -> None:
        begun: list[object] = []
        event.listen(sqlite_database.reader, "begin", begun.append)
        event.listen(sqlite_database.writer, "begin", begun.append)
        batch = [prepare(a_mail())]
        found: Sequence[object] = look_up(sqlite_database, LiveSources([], []), batch)
        assert found == batch
        assert begun == []
