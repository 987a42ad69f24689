"""Customers whose accounts are all with another one now."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from core.accounts.customers import customer_values, save_customer
from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import customer_changes, save_customer_cells
from core.accounts.queues import QueueValues, save_queue
from core.db import Database
from core.models import AuditEvent, Base, Group, Ticket, now
from core.sources.matching import customer_merges
from core.sources.matching.customer_merges import left_customers, merge_customers
from core.sources.records import SourceRecord
from core.words import Permission
from tests.accounts import people
from tests.accounts.people import ADMIN, saved, the_account, the_customer
from tests.sources.records import ANNA, BERT, look_up, read


def at_acme(record: SourceRecord) -> SourceRecord:
    return replace(record, customer_number="K-2000", customer_name="Acme Ltd")


CAROL = at_acme(replace(ANNA, key="9", login="carol", email="carol@acme.example"))


def left(database: Database) -> list[tuple[str, int, list[tuple[str, int]]]]:
    with database.read() as session:
        return [
            (each.customer.number, each.tickets, [(to.number, count) for to, count in each.moved])
            for each in left_customers(session)
        ]


@pytest.fixture
def merged(database: Database) -> Database:
    """Muster GmbH, whose accounts have moved to Acme one after the other; it has one ticket."""
    with database.write() as session:
        for name in ("technik", "vertrieb"):
            save_group(session, ADMIN, GroupValues(name=name))
        save_queue(session, ADMIN, QueueValues(name="Technik", group="technik"))
    read(database, ANNA, BERT, CAROL)
    with database.write() as session:
        muster, acme = the_customer(session, "K-1000"), the_customer(session, "K-2000")
        ids = dict(session.execute(select(Group.name, Group.id)).all())
        for customer, groups in (
            (muster, {ids["technik"]: Permission.RW, ids["vertrieb"]: Permission.RO}),
            (acme, {ids["technik"]: Permission.RO}),
        ):
            save_customer_cells(session, ADMIN, customer_changes(session, customer, groups))
            session.expire(customer)
        for customer, domains in ((muster, ("muster.example",)), (acme, ("acme.example",))):
            values = replace(customer_values(customer), domains=domains)
            save_customer(session, ADMIN, values, customer)
        session.add(
            Ticket(
                public_id="t1",
                queue_id=1,
                customer_id=muster.id,
                customer_user_id=the_account(session, "anna").id,
                requester="anna@muster.example",
                subject="old",
                created_at=now(),
                changed_at=now(),
            )
        )
    read(database, at_acme(ANNA), BERT, CAROL)
    assert left(database) == []
    read(database, at_acme(ANNA), at_acme(BERT), CAROL)
    return database


def test_it_is_known_where_they_went(merged: Database) -> None:
    assert left(merged) == [("K-1000", 1, [("K-2000", 2)])]


@pytest.mark.parametrize("what", ["kept here", "back", "gone", "invalid"])
def test_who_counts(merged: Database, what: str) -> None:
    if what == "kept here":
        saved(merged, replace(people.BERT, login="here", email="here@muster.example"))
    elif what == "back":
        look_up(merged, ANNA)
    elif what == "gone":
        look_up(merged, replace(ANNA, key="5", login="x", email="x@muster.example"))
        assert left(merged) == []
        read(merged, at_acme(ANNA), at_acme(BERT), CAROL)
    else:
        with merged.write() as session:
            muster = the_customer(session, "K-1000")
            save_customer(session, ADMIN, replace(customer_values(muster), valid=False), muster)
    assert bool(left(merged)) is (what == "gone")


def test_one_gets_what_the_other_has(merged: Database) -> None:
    with merged.write() as session:
        ids = [the_customer(session, number).id for number in ("K-1000", "K-2000")]
        assert merge_customers(session, ADMIN, *ids).number == "K-2000"
    with merged.read() as session:
        acme, muster = the_customer(session, "K-2000"), the_customer(session, "K-1000")
        assert {row.domain for row in acme.domains} == {"acme.example", "muster.example"}
        assert {row.group.name: row.permission.value for row in acme.permissions} == {
            "technik": "rw",
            "vertrieb": "ro",
        }
        assert session.query(Ticket).one().customer_id == acme.id
        assert (muster.valid, muster.domains) == (False, [])
        events = session.query(AuditEvent).filter(
            AuditEvent.action.in_(["matched-up", "dissolved"])
        )
        assert [(each.object_id, each.after) for each in events.order_by(AuditEvent.id)] == [
            (acme.id, {"number": "K-1000", "tickets": 1}),
            (muster.id, {"number": "K-2000"}),
        ]
    assert left(merged) == []
    assert read(merged, at_acme(ANNA), at_acme(BERT), CAROL).unchanged == 3


@pytest.mark.parametrize("numbers", [("K-2000", "K-1000"), ("K-1000", "K-1000")])
def test_others_are_not_merged(merged: Database, numbers: tuple[str, str]) -> None:
    with merged.write() as session:
        ids = [the_customer(session, number).id for number in numbers]
        with pytest.raises(Exception, match=r"have not all moved|no such customer"):
            merge_customers(session, ADMIN, *ids)


def test_every_reference_is_decided() -> None:
    decided = {
        f"{column.class_.__tablename__}.{column.key}"
        for column in (
            *customer_merges.GOES_OVER,
            *customer_merges.IS_GIVEN,
            *customer_merges.STAYS,
        )
    }
    assert decided == {
        f"{table.name}.{key.parent.name}"
        for table in Base.metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name == "customers"
    }
