"""Accounts and customers that are called differently in their source, and stay what they were."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.db import Database
from core.models import Customer
from core.sources.records import SourceRecord
from tests.accounts import people
from tests.accounts.people import the_customer
from tests.sources.crm import account, conflicts, logins
from tests.sources.records import ANNA, BERT, look_up, read

VALID, INVALID = "valid", "invalid"


class TestANewKey:
    """The same login under another key, while the key that it had is gone."""

    @pytest.fixture(autouse=True)
    def _copies(self, database: Database) -> None:
        read(database, ANNA, BERT)

    def test_the_account_stays_and_has_the_new_key(self, database: Database) -> None:
        before = account(database, "anna")
        tally = read(database, replace(ANNA, key="x-1", phone="0228 1"), BERT)
        assert (tally.vanished, tally.refused, tally.new, tally.changed) == (0, 0, 0, 1)
        after = account(database, "anna")
        assert (after.id, after.source_key, after.phone) == (before.id, "x-1", "0228 1")
        assert (after.valid.value, after.source_gone_at) == (VALID, None)
        assert conflicts(database) == []

    def test_all_keys_may_change_at_once(self, database: Database) -> None:
        ids = {login: account(database, login).id for login in ("anna", "bert")}
        tally = read(database, replace(BERT, key="1"), replace(ANNA, key="2"))
        assert tally.refused == 2  # each key is still in use
        tally = read(database, replace(BERT, key="b"), replace(ANNA, key="a"))
        assert (tally.vanished, tally.refused) == (0, 0)
        assert {login: account(database, login).id for login in ids} == ids
        assert conflicts(database) == []

    def test_an_account_that_is_gone_comes_back_under_another_key(self, database: Database) -> None:
        before = account(database, "anna")
        read(database, BERT)
        assert account(database, "anna").source_gone_at is not None
        look_up(database, replace(ANNA, key="x-1"))
        after = account(database, "anna")
        assert (after.id, after.source_key) == (before.id, "x-1")
        assert (after.valid.value, after.source_gone_at) == (VALID, None)

    def test_a_look_up_takes_nothing_from_a_key_that_is_not_known_to_be_gone(
        self, database: Database
    ) -> None:
        assert look_up(database, replace(ANNA, key="x-1")).refused == 1
        assert account(database, "anna").source_key == "1"

    @pytest.mark.parametrize(
        ("changed", "is_she"),
        [
            ({"email": "new@muster.example"}, True),
            ({"last_name": "Schmidt"}, True),
            ({"email": "new@muster.example", "more_addresses": ("Anna@Muster.example",)}, True),
            ({"email": "new@muster.example", "last_name": "Schmidt"}, False),
        ],
    )
    def test_a_login_that_is_given_to_somebody_else(
        self, database: Database, changed: dict[str, str], is_she: bool
    ) -> None:
        other: SourceRecord = replace(ANNA, key="x-1", **changed)  # type: ignore[arg-type]
        for _time in range(2):
            read(database, other, BERT)
            anna = account(database, "anna")
            assert anna.source_key == ("x-1" if is_she else "1")
            assert anna.valid.value == (VALID if is_she else INVALID)
            assert len(conflicts(database)) == (0 if is_she else 1)

    def test_of_two_records_with_the_login_the_first_has_it(self, database: Database) -> None:
        read(database, replace(ANNA, key="x-1"), replace(ANNA, key="x-2"), BERT)
        assert account(database, "anna").source_key == "x-1"
        assert [each[:3] for each in conflicts(database)] == [("ad", "x-2", "login")]


def moved(*records: SourceRecord, number: str = "K-9", **values: str) -> list[SourceRecord]:
    return [replace(each, customer_number=number, **values) for each in records]  # type: ignore[arg-type]


CARL = replace(BERT, key="3", login="carl", email="carl@muster.example", last_name="Zorn")
DORA = replace(BERT, key="4", login="dora", email="dora@muster.example", last_name="Zorn")

# What the source has then, and whether the customer is called differently or another one is made.
AFTER: list[tuple[str, Sequence[SourceRecord], bool]] = [
    ("everybody", moved(ANNA, BERT), True),
    ("with a new colleague, who comes first", moved(DORA, ANNA, BERT), True),
    ("with a new colleague, who comes last", moved(ANNA, BERT, DORA), True),
    ("one, while the other is gone", moved(ANNA), True),
    ("no firm is named", moved(ANNA, BERT, customer_name=""), True),
    ("one stays", [*moved(ANNA), BERT], False),
    ("to different numbers", [*moved(ANNA), *moved(BERT, number="K-8")], False),
    ("to another firm", moved(ANNA, BERT, customer_name="Acme Ltd"), False),
    ("to a firm that is there", moved(ANNA, BERT, number="K-7"), False),
]


class TestANewNumber:
    """Everybody of a customer has another Kunden#, which was unknown."""

    @pytest.fixture(autouse=True)
    def _copies(self, database: Database) -> None:
        zorn = replace(CARL, customer_number="K-7", customer_name="Zorn KG")
        read(database, ANNA, BERT, zorn)

    @pytest.mark.parametrize(
        ("what", "records", "is_renamed"), AFTER, ids=[what for what, *_rest in AFTER]
    )
    def test_the_customer(
        self, database: Database, what: str, records: Sequence[SourceRecord], is_renamed: bool
    ) -> None:
        before = account(database, "anna").customer
        zorn = replace(CARL, customer_number="K-7", customer_name="Zorn KG")
        assert read(database, *records, zorn).refused == 0
        after = account(database, "anna").customer
        assert (after.id == before.id) is is_renamed
        assert after.number == records[-1 if "first" in what else 0].customer_number
        for record in records:
            assert account(database, record.login).customer.number == record.customer_number
        with database.read() as session:
            known = session.query(Customer).filter_by(number="K-1000").count()
        assert known == (0 if is_renamed else 1)

    def test_a_customer_with_somebody_who_is_kept_here_stays(self, database: Database) -> None:
        people.saved(database, replace(people.BERT, login="here", email="here@muster.example"))
        read(database, *moved(ANNA, BERT))
        with database.read() as session:
            assert the_customer(session, "K-1000").source == "ad"

    def test_a_customer_that_is_kept_here_stays(self, database: Database) -> None:
        with database.write() as session:
            the_customer(session, "K-1000").source = None
        read(database, *moved(ANNA, BERT))
        with database.read() as session:
            assert the_customer(session, "K-1000").id != the_customer(session, "K-9").id

    def test_two_that_become_one_are_left_to_an_admin(self, database: Database) -> None:
        read(database, *moved(ANNA, BERT, CARL, customer_name=""))
        with database.read() as session:
            numbers = {customer.number for customer in session.query(Customer)}
        assert numbers == {"K-1000", "K-7", "K-9"}

    def test_a_look_up_renames_nobody(self, database: Database) -> None:
        before = account(database, "anna").customer_id
        look_up(database, *moved(ANNA, BERT))
        assert account(database, "anna").customer_id != before

    def test_a_number_that_cannot_be_one_is_faulty(self, database: Database) -> None:
        assert read(database, *moved(ANNA, BERT, number="9" * 65)).refused == 2
        assert account(database, "anna").customer.number == "K-1000"
        assert logins(database)["anna"] == ("ad", VALID)
