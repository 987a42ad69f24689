"""Values and helpers for tests of accounts; a test says only what differs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.customer_users import CustomerUserValues, save_customer_user
from core.accounts.customers import CustomerValues, save_customer
from core.accounts.staff import StaffValues, save_staff
from core.audit import Actor
from core.db import Database
from core.errors import InvalidFields, SchalterError
from core.models import AuditEvent, Customer, CustomerUser, Staff, now
from core.words import ActorKind, Role

T = TypeVar("T")

ADMIN = Actor(ActorKind.STAFF, 1, "root", "192.0.2.9")

MUSTER = CustomerValues(number="K-1000", name="Muster GmbH")
ACME = CustomerValues(number="K-2000", name="Acme Ltd")

ANNA = CustomerUserValues(
    login="anna",
    customer_number="K-1000",
    email="anna@muster.example",
    first_name="Anna",
    last_name="Müller",
)
BERT = CustomerUserValues(
    login="bert",
    customer_number="K-1000",
    email="bert@muster.example",
    first_name="Bert",
    last_name="Groß",
)
ROOT = StaffValues(login="root", email="root@example.org", role=Role.ADMIN)
JONAS = StaffValues(login="jonas", email="jonas@example.org", role=Role.AGENT)


def customers(database: Database) -> None:
    """Store the two customers that the accounts of these tests belong to."""
    with database.write() as session:
        save_customer(session, ADMIN, MUSTER)
        save_customer(session, ADMIN, ACME)


def saved(database: Database, *values: CustomerUserValues) -> CustomerUser:
    """Store customer users as they are; return the last one."""
    with database.write() as session:
        accounts = [save_customer_user(session, ADMIN, each) for each in values]
        return accounts[-1]


def staff_saved(database: Database, values: StaffValues) -> Staff:
    """Store a member of staff."""
    with database.write() as session:
        return save_staff(session, ADMIN, values)


def the_account(session: Session, login: str) -> CustomerUser:
    """Return the customer user with exactly this login."""
    return session.scalars(select(CustomerUser).where(CustomerUser.login == login)).one()


def the_customer(session: Session, number: str) -> Customer:
    """Return the customer with exactly this Kunden#."""
    return session.scalars(select(Customer).where(Customer.number == number)).one()


def in_days(days: int) -> date:
    """Return a day so many from today, asked for when it is needed: tests run past midnight."""
    return now().date() + timedelta(days=days)


def fields_of(error: InvalidFields) -> list[str]:
    """Return the names of the fields that were refused."""
    return [problem.field for problem in error.errors]


def events(database: Database, kind: str) -> list[AuditEvent]:
    """Return what the audit log says of one kind of thing, the oldest first."""
    with database.read() as session:
        statement = select(AuditEvent).where(AuditEvent.object_kind == kind)
        return list(session.scalars(statement.order_by(AuditEvent.id)))


def at_the_same_time(*works: Callable[[], T]) -> list[T | SchalterError]:
    """Do things in threads that start together; return each one's result or readable error."""
    start = Barrier(len(works))

    def run(work: Callable[[], T]) -> T | SchalterError:
        start.wait(timeout=10)
        try:
            return work()
        except SchalterError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))
