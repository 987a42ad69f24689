"""Nothing that a ticket refers to is ever deleted: the database itself refuses it."""

import pytest
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from core.accounts.matrix import CellChange, save_customer_user_cells
from core.db import Database
from core.intake.pipeline import take_in
from core.models import AuditEvent, Base, Customer, Ticket
from core.words import Permission
from tests.accounts.people import ADMIN
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

NEVER_DELETED = ("customers", "customer_users", "staff", "groups", "queues", "tickets", "articles")


@pytest.fixture
def filled(database: Database) -> Database:
    """An organisation with a ticket and an audit event."""
    firm = a_firm(database, sender_policy="open")
    with database.write() as session:
        take_in(session, [a_mail()])
        change = CellChange(
            firm.customer_users["anna"], firm.groups["technik"], Permission.RW, Permission.RO
        )
        save_customer_user_cells(session, ADMIN, [change])
    return database


def test_the_database_refuses_to_delete(filled: Database) -> None:
    for table in NEVER_DELETED:
        orders = [f"DELETE FROM {table}", f"DELETE FROM {table} WHERE id = 1"]
        if not filled.is_sqlite:
            orders.append(f"TRUNCATE {table} CASCADE")
        for order in orders:
            with pytest.raises(DBAPIError, match="never deleted"), filled.write() as session:
                session.execute(text(order))
        with filled.read() as session:
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) > 0


def test_the_orm_is_no_way_around_it(filled: Database) -> None:
    models: tuple[type[Base], ...] = (Customer, Ticket)
    for model in models:
        with pytest.raises(DBAPIError), filled.write() as session:
            session.delete(session.scalars(select(model)).first())


def test_what_was_done_can_be_neither_changed_nor_deleted(filled: Database) -> None:
    for order in ("UPDATE audit_events SET actor_name = 'x'", "DELETE FROM audit_events"):
        with pytest.raises(DBAPIError), filled.write() as session:
            session.execute(text(order))
    with filled.read() as session:
        assert session.scalar(select(func.count(AuditEvent.id))) == 2


def test_every_table_that_tickets_refer_to_is_guarded(database: Database) -> None:
    """What a new foreign key of tickets or articles points to must be guarded as well."""
    guarded = {*NEVER_DELETED, "mails", "raw_mails"}  # kept by the foreign keys that refer to them
    referred = {
        key["referred_table"]
        for table in ("tickets", "articles", "customer_users", "queues")
        for key in inspect(database.reader).get_foreign_keys(table)
    }
    assert referred <= guarded
