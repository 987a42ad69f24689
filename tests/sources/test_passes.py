"""Reading a whole source: what one pass does to others, and what protects accounts from it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from core.accounts.sessions import start_session
from core.claims import claimed
from core.db import Database
from core.errors import Stale
from core.models import AuditEvent, CustomerUser, CustomerUserAddress, WebSession, now
from core.models import CustomerSource as SourceState
from core.sources.mirroring.known import FEW
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.passes import COMPARED_AT_ONCE, Busy, Stopped, read_all
from core.sources.records import SourceRecord
from core.sources.source import SourceAway
from tests.sources.counting import Statements
from tests.sources.crm import account, conflicts, logins
from tests.sources.records import AD, ANNA, BERT, Listed, look_up, read

VALID, INVALID = "valid", "invalid"


def people(count: int) -> list[SourceRecord]:
    """Return records of different persons, ten with each Kunden#."""
    return [
        SourceRecord(
            key=f"k{number}",
            login=f"user{number}",
            customer_number=f"K-{number // 10}",
            email=f"user{number}@muster.example",
            customer_name=f"Firma {number // 10}",
            first_name="Jörg",
            last_name=f"Weiß-{number}",
        )
        for number in range(count)
    ]


class TestCost:
    """A batch costs a fixed number of queries, and nothing is written where nothing changes."""

    @pytest.mark.parametrize("what", ["new", "unchanged", "refused", "shared"])
    def test_queries_do_not_grow_with_the_records(
        self, sqlite_database: Database, what: str
    ) -> None:
        for number in (40, 80):
            records = [replace(each, key=f"{number}-{each.key}") for each in people(number)]
            records = [replace(each, login=f"{number}.{each.login}") for each in records]
            if what == "shared":
                records = [replace(each, email="info@muster.example") for each in records]
            if what == "refused":
                records = [replace(each, email="") for each in records]
            if what != "new":
                look_up(sqlite_database, *records)
            with Statements(sqlite_database) as statements:
                tally = look_up(sqlite_database, *records)
            assert len(statements.sent) < 20
            assert getattr(tally, "unchanged" if what == "shared" else what) == number

    def test_an_unchanged_pass_writes_only_that_it_was(self, sqlite_database: Database) -> None:
        shares = replace(BERT, key="9", login="other")
        faulty = replace(ANNA, key="8", login="", groups={})
        records = [ANNA, BERT, shares, faulty, replace(ANNA, key="7"), *people(COMPARED_AT_ONCE)]
        read(sqlite_database, *records)
        assert {kind for _source, _key, kind, _detail in conflicts(sqlite_database)} == {
            "address",
            "faulty",
            "login",
        }
        before = conflicts(sqlite_database), account(sqlite_database, "anna").source_seen_at
        with Statements(sqlite_database) as statements:
            tally = read(sqlite_database, *records)
        assert (tally.unchanged, tally.refused, tally.conflicts) == (COMPARED_AT_ONCE + 3, 2, 3)
        changing = [
            each for each in statements.sent if each.startswith(("UPDATE", "INSERT", "DEL"))
        ]
        began = ended = ["UPDATE", "customer_sources"]
        assert [each.split()[:2] for each in changing] == [began, ended]
        assert statements.writes == 2
        after = conflicts(sqlite_database), account(sqlite_database, "anna").source_seen_at
        assert after == before

    def test_that_a_record_was_seen_again_is_written_once_a_day(
        self, sqlite_database: Database
    ) -> None:
        read(sqlite_database, ANNA, BERT)
        before = account(sqlite_database, "anna")
        with sqlite_database.write() as session:
            session.execute(update(CustomerUser).values(source_seen_at=now() - timedelta(days=2)))
        assert read(sqlite_database, ANNA, BERT).unchanged == 2
        after = account(sqlite_database, "anna")
        assert after.source_seen_at is not None
        assert now() - after.source_seen_at < timedelta(minutes=5)
        assert (after.version, after.changed_at) == (before.version, before.changed_at)

    def test_audit_events_of_a_batch(self, database: Database) -> None:
        read(database, *people(30))
        with database.read() as session:
            events = session.query(AuditEvent).all()
            ids = {each.id for each in session.query(CustomerUser)}
        accounts = [each for each in events if each.object_kind == "customer-user"]
        assert {each.object_id for each in accounts} == ids
        assert [each.object_kind for each in events].count("customer") == 3
        assert accounts[0].after is not None
        assert accounts[0].after["email"] == f"{accounts[0].object_name}@muster.example"


class TestOneBatch:
    """Records of one batch want what others of it have, or give it up."""

    @pytest.fixture(autouse=True)
    def _copies(self, database: Database) -> None:
        read(database, ANNA, BERT)

    def test_a_login_that_is_given_up(self, database: Database) -> None:
        ids = account(database, "anna").id, account(database, "bert").id
        read(database, replace(ANNA, login="anna.m"), replace(BERT, login="anna"))
        assert (account(database, "anna.m").id, account(database, "anna").id) == ids
        assert conflicts(database) == []

    def test_a_login_that_is_given_up_for_one_who_has_an_older_account(
        self, database: Database
    ) -> None:
        read(database, replace(BERT, login="bert.m"), replace(ANNA, login="bert"))
        assert account(database, "bert").source_key == ANNA.key

    def test_a_login_that_is_given_up_for_a_new_one(self, database: Database) -> None:
        carl = replace(BERT, key="3", login="anna", email="carl@muster.example")
        assert read(database, replace(ANNA, login="anna.m"), carl, BERT).new == 1
        assert account(database, "anna").source_key == "3"

    def test_the_first_record_with_a_key_counts(self, database: Database) -> None:
        anna = replace(ANNA, customer_name="")
        tally = read(database, replace(anna, phone="0228 1"), anna, BERT)
        assert (tally.changed, tally.unchanged, tally.refused) == (1, 1, 1)
        assert account(database, "anna").phone == "0228 1"

    def test_a_login_that_is_given_up_later(self, database: Database) -> None:
        records = replace(BERT, login="anna"), replace(ANNA, login="anna.m")
        assert read(database, *records).refused == 1
        assert read(database, *records).refused == 0
        assert account(database, "anna").source_key == BERT.key

    def test_an_address_that_is_given_up(self, database: Database) -> None:
        carl = replace(BERT, key="3", login="carl", email=ANNA.email)
        read(database, replace(ANNA, email="new@muster.example"), carl, BERT)
        assert [row.shared for row in account(database, "carl").addresses] == [False]
        assert conflicts(database) == []

    def test_an_address_of_somebody_who_leaves(self, database: Database) -> None:
        carl = replace(BERT, key="3", login="carl", email=ANNA.email)
        read(database, replace(ANNA, valid=False), carl, BERT)
        assert [row.exclusive for row in account(database, "carl").addresses] == [True]
        assert logins(database)["anna"] == (AD, INVALID)

    def test_an_address_that_two_new_ones_want(self, database: Database) -> None:
        carl = replace(BERT, key="3", login="carl", email="info@muster.example")
        read(database, ANNA, BERT, carl, replace(carl, key="4", login="dora"))
        assert [row.shared for row in account(database, "carl").addresses] == [False]
        assert [row.shared for row in account(database, "dora").addresses] == [True]
        assert conflicts(database) == [(AD, "4", "address", "info@muster.example (carl)")]

    def test_a_shared_address_that_is_shared_no_more(self, database: Database) -> None:
        dora = replace(BERT, key="4", login="dora", email=ANNA.email)
        read(database, ANNA, BERT, dora)
        assert [row.shared for row in account(database, "dora").addresses] == [True]
        read(database, replace(ANNA, email="new@muster.example"), BERT, dora)
        read(database, replace(ANNA, email="new@muster.example"), BERT, dora)
        assert [row.shared for row in account(database, "dora").addresses] == [False]
        assert conflicts(database) == []

    def test_an_address_of_more_than_are_looked_at(self, database: Database) -> None:
        """Who has it alone is known in any case: two of that would be one too many."""
        shared = [replace(each, email="info@muster.example") for each in people(FEW + 1)]
        read(database, ANNA, BERT, *shared)
        with database.write() as session:
            rows = session.query(CustomerUserAddress).filter_by(address="info@muster.example")
            first, *_others, last = rows.order_by(CustomerUserAddress.customer_user_id)
            first.shared, first.exclusive = True, False
            session.flush()
            last.shared, last.exclusive = False, True
        gone = [replace(each, valid=False) for each in shared[:FEW]]
        news = replace(BERT, key="new", login="new", email="info@muster.example")
        look_up(database, *gone, news)
        assert [row.shared for row in account(database, "new").addresses] == [True]
        detail = f"info@muster.example (user{FEW})"
        assert (AD, "new", "address", detail) in conflicts(database)

    def test_a_new_customer_of_several(self, database: Database) -> None:
        news = [replace(each, customer_number="K-9") for each in people(3)]
        read(database, ANNA, BERT, *news)
        customers = {account(database, each.login).customer.id for each in news}
        assert len(customers) == 1
        assert account(database, "user2").customer.name == "Firma 0"

    def test_a_name_that_rows_disagree_about_stays(self, database: Database) -> None:
        other = replace(BERT, customer_name="Muster AG")
        for _time in range(3):
            read(database, ANNA, other)
            assert account(database, "bert").customer.name == "Muster GmbH"
        read(database, replace(ANNA, customer_name="Muster SE"), other)
        assert account(database, "bert").customer.name == "Muster SE"
        assert read(database, replace(ANNA, customer_name="Muster SE"), other).unchanged == 2

    def test_what_is_not_as_it_is_stored_is_unchanged_all_the_same(
        self, database: Database
    ) -> None:
        untidy = replace(ANNA, email="anna@MUSTER.example", first_name=" Anna ")
        tally = read(database, untidy, BERT)
        assert (tally.changed, tally.unchanged) == (0, 2)

    def test_who_becomes_invalid_is_signed_out(self, database: Database) -> None:
        with database.write() as session:
            for login in ("anna", "bert"):
                found = session.query(CustomerUser).filter_by(login=login).one()
                start_session(session, found, peer="192.0.2.1", agent="")
        read(database, replace(ANNA, valid=False), BERT)
        with database.read() as session:
            assert session.query(WebSession).count() == 1
        read(database, ANNA)
        with database.read() as session:
            assert session.query(WebSession).count() == 0


class TestListOfConflicts:
    """It is what the last records say, and the last pass."""

    def test_one_whose_record_is_gone(self, sqlite_database: Database) -> None:
        read(sqlite_database, ANNA, replace(BERT, email=""))
        assert len(conflicts(sqlite_database)) == 1
        read(sqlite_database, ANNA)
        assert conflicts(sqlite_database) == []

    def test_one_whose_cause_is_gone_is_news(self, sqlite_database: Database) -> None:
        """The record equals its copy again, and nothing else would take it off the list."""
        read(sqlite_database, ANNA)
        look_up(sqlite_database, replace(ANNA, email=""))
        assert len(conflicts(sqlite_database)) == 1
        mirror = Mirror(AD, [AD], complete=False)
        with sqlite_database.read() as session:
            assert mirror.news(session, [ANNA]) == [ANNA]
        look_up(sqlite_database, ANNA)
        assert conflicts(sqlite_database) == []


def test_who_returns_invalid_has_no_reason_of_before(sqlite_database: Database) -> None:
    read(sqlite_database, ANNA, BERT)
    read(sqlite_database, BERT)
    assert account(sqlite_database, "anna").invalid_reason
    read(sqlite_database, replace(ANNA, valid=False), BERT)
    anna = account(sqlite_database, "anna")
    assert (anna.valid.value, anna.invalid_reason, anna.source_gone_at) == (INVALID, "", None)


def test_what_has_no_key_of_its_own_is_listed_a_few_times_only(sqlite_database: Database) -> None:
    for key in ("", "same"):
        records = [replace(each, key=key) for each in people(60)]
        for _time in range(2):
            tally = read(sqlite_database, *records, ANNA)
            assert tally.refused == (60 if not key else 59)
        assert len([each for each in conflicts(sqlite_database) if each[1] == key]) == 20


class TestLoss:
    """A source that lacks most of its records is more likely broken."""

    def test_nobody_becomes_invalid(self, database: Database) -> None:
        records = people(60)
        read(database, *records)
        with pytest.raises(SourceAway, match="schalter sources sync ad --accept-loss"):
            read(database, replace(records[0], phone="1"), *records[1:29])
        assert {word for _source, word in logins(database).values()} == {VALID}
        assert account(database, "user0").phone == "1"
        with database.read() as session:
            state = session.get_one(SourceState, AD)
        assert "31" in state.last_error
        assert state.records == 60

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (60, 30),  # half of them
            (20, 1),  # few
        ],
    )
    def test_what_is_no_great_loss(
        self, sqlite_database: Database, before: int, after: int
    ) -> None:
        records = people(before)
        read(sqlite_database, *records)
        assert read(sqlite_database, *records[:after]).vanished == before - after

    def test_who_was_invalid_before_is_no_loss(self, sqlite_database: Database) -> None:
        records = [*people(10), *(replace(each, valid=False) for each in people(60)[10:])]
        read(sqlite_database, *records)
        assert read(sqlite_database, *records[:10]).vanished == 50

    def test_it_is_accepted_when_somebody_says_so(self, sqlite_database: Database) -> None:
        records = people(60)
        read(sqlite_database, *records)
        listed = Listed(AD, records[:2])
        tally = read_all(sqlite_database, listed, [AD], listed.all_records(), accept_loss=True)
        assert tally.vanished == 58


class TestOthersMeanwhile:
    """Another process, and being told to stop."""

    def test_a_source_is_read_by_one_at_a_time(self, database: Database) -> None:
        with claimed(database, "source-ad") as is_ours:
            assert is_ours
            with pytest.raises(Busy, match="another process"):
                read(database, ANNA)
            read(database, ANNA, source="other")
        assert read(database, replace(ANNA, login="later")).new == 1

    def test_a_claim_is_given_up_after_a_failure(self, database: Database) -> None:
        with pytest.raises(SourceAway):
            read(database)
        with claimed(database, "source-ad") as is_ours:
            assert is_ours

    def test_a_lock_file_that_cannot_be_written(self, sqlite_database: Database) -> None:
        with claimed(sqlite_database, "x"):
            pass
        assert sqlite_database.file is not None
        (file,) = sqlite_database.file.parent.glob("*.x.lock")
        file.chmod(0o444)
        with claimed(sqlite_database, "x") as is_ours:
            assert is_ours

    @pytest.mark.parametrize("unchanged", [True, False])
    def test_stopping_ends_a_pass_between_two_batches(
        self, sqlite_database: Database, unchanged: bool
    ) -> None:
        few = people(3 * COMPARED_AT_ONCE if unchanged else 0)
        same = [replace(each, customer_number=ANNA.customer_number) for each in few]
        read(sqlite_database, ANNA, *same)
        given: list[str] = []

        def records() -> Iterator[SourceRecord]:
            for record in people(3 * COMPARED_AT_ONCE):
                given.append(record.key)
                yield replace(record, customer_number=ANNA.customer_number)

        listed = Listed(AD, [])
        with pytest.raises(Stopped):
            read_all(sqlite_database, listed, [AD], records(), stops=lambda: len(given) > 600)
        assert len(given) == 2 * COMPARED_AT_ONCE
        assert logins(sqlite_database)["anna"] == (AD, VALID)
        assert len(logins(sqlite_database)) == 1 + (3 if unchanged else 1) * COMPARED_AT_ONCE

    def test_somebody_saves_at_the_same_moment(self, database: Database) -> None:
        """The batch is brought in again, and each record counts once."""
        read(database, ANNA, BERT)
        failures = iter([Stale("somebody was faster"), None])

        def before_flush(session: Session, *_given: object) -> None:
            if not any(isinstance(each, CustomerUser) for each in session.dirty):
                return
            failure = next(failures, None)
            if failure is not None:
                raise failure

        event.listen(Session, "before_flush", before_flush)
        try:
            tally = read(database, replace(ANNA, phone="1"), BERT)
        finally:
            event.remove(Session, "before_flush", before_flush)
        assert (tally.changed, tally.unchanged) == (1, 1)
        assert account(database, "anna").phone == "1"
