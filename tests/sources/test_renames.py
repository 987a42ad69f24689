"""Accounts and customers that are called differently in their source, and stay what they were."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from core.accounts.customer_users import customer_user_values, save_customer_user
from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import CellChange, save_customer_user_cells
from core.accounts.permissions import customer_user_access
from core.accounts.queues import QueueValues, save_queue
from core.accounts.sessions import start_session
from core.db import Database
from core.intake import submission
from core.intake.pipeline import take_in
from core.models import Customer, CustomerUser, Group, Ticket, WebSession
from core.organisation import load_organisation
from core.sources.records import SourceRecord
from core.words import Permission
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
        self, database: Database, changed: dict[str, Any], is_she: bool
    ) -> None:
        other: SourceRecord = replace(ANNA, key="x-1", **changed)
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


class TestTheSameKey:
    """A record is called differently; its key tells that it is the same."""

    @pytest.fixture
    def anna(self, database: Database) -> CustomerUser:
        """Anna, who may see the tickets of her firm, has settings of her own and is signed in."""
        read(database, ANNA, BERT)
        with database.write() as session:
            save_group(session, people.ADMIN, GroupValues(name="technik"))
            save_queue(session, people.ADMIN, QueueValues(name="Technik", group="technik"))
            anna = people.the_account(session, "anna")
            kept = replace(
                customer_user_values(anna), language="de", comment="VIP", sees_customer_tickets=True
            )
            save_customer_user(session, people.ADMIN, kept, anna)
            group_id = session.scalars(select(Group.id)).one()
            for account_id in session.scalars(select(CustomerUser.id)):
                change = CellChange(account_id, group_id, None, Permission.RW)
                save_customer_user_cells(session, people.ADMIN, [change])
            start_session(session, anna, peer="192.0.2.1", agent="browser")
        for login in ("anna", "bert"):
            self.open_ticket(database, login)
        return account(database, "anna")

    def open_ticket(self, database: Database, login: str) -> None:
        with database.write() as session:
            (queue,) = load_organisation(session).queues
            holder = people.the_account(session, login)
            take_in(session, [submission.new_ticket(holder, queue, f"of {login}", "text", [])])

    def sees(self, database: Database, login: str) -> set[str]:
        with database.read() as session:
            holder = people.the_account(session, login)
            access = customer_user_access(session, load_organisation(session), holder)
            return set(session.scalars(select(Ticket.subject).where(access.visible_tickets())))

    def test_a_new_login_keeps_everything_but_sessions(
        self, database: Database, anna: CustomerUser
    ) -> None:
        assert read(database, replace(ANNA, phone="1"), BERT).changed == 1
        with database.read() as session:
            assert session.query(WebSession).count() == 1
        read(database, replace(ANNA, login="hanna", last_name="Schmidt"), BERT)
        hanna = account(database, "hanna")
        assert (hanna.id, hanna.language, hanna.comment) == (anna.id, "de", "VIP")
        assert hanna.sees_customer_tickets is True
        assert self.sees(database, "hanna") == {"of anna", "of bert"}
        with database.read() as session:
            assert session.query(WebSession).count() == 0

    def test_with_another_firm_old_tickets_are_seen_and_nobody_elses(
        self, database: Database, anna: CustomerUser
    ) -> None:
        carol = replace(ANNA, key="9", login="carol", email="carol@acme.example")
        acme: dict[str, Any] = {"customer_number": "K-2000", "customer_name": "Acme Ltd"}
        carol = replace(carol, **acme)
        read(database, ANNA, BERT, carol)
        with database.write() as session:
            holder = people.the_account(session, "carol")
            group_id = session.scalars(select(Group.id)).one()
            change = CellChange(holder.id, group_id, None, Permission.RW)
            save_customer_user_cells(session, people.ADMIN, [change])
        self.open_ticket(database, "carol")
        read(database, replace(ANNA, **acme), BERT, carol)
        moved_to = account(database, "anna")
        assert (moved_to.id, moved_to.customer.number) == (anna.id, "K-2000")
        assert self.sees(database, "anna") == {"of anna"}
        assert self.sees(database, "bert") == {"of bert"}

    def test_with_another_number_the_firm_sees_its_tickets(
        self, database: Database, anna: CustomerUser
    ) -> None:
        read(database, *moved(ANNA, BERT))
        assert account(database, "anna").sees_customer_tickets is True
        assert self.sees(database, "anna") == {"of anna", "of bert"}
        with database.read() as session:
            numbers = {
                ticket.customer.number for ticket in session.query(Ticket) if ticket.customer
            }
        assert numbers == {"K-9"}


def moved(*records: SourceRecord, number: str = "K-9", **values: Any) -> list[SourceRecord]:
    return [replace(each, customer_number=number, **values) for each in records]


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

    def test_a_customer_of_whom_most_are_missing_stays(self, database: Database) -> None:
        zorn = replace(CARL, customer_number="K-7", customer_name="Zorn KG")
        read(database, ANNA, BERT, DORA, zorn)
        read(database, *moved(ANNA), zorn)
        with database.read() as session:
            assert the_customer(session, "K-1000").id != the_customer(session, "K-9").id

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
