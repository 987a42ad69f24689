"""Making the copies of a source's records accounts that are kept here, when a firm moves over.

Tickets, groups, preferences and passwords that were kept at a sign-in stay with them. A source
that is still configured does not take them back: an account that is kept here comes before any.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.customers import customer_label
from core.audit import Actor
from core.db import Database
from core.models import Customer, CustomerUser
from core.words import Validity

KEPT_HERE = "kept-here"  # as the audit log calls it
ROWS_AT_ONCE = 200  # in one transaction, for which intake waits


@dataclass(frozen=True, slots=True)
class Adoption:
    """How much is or would be kept here.

    ``with_password`` can sign in as before, ``without_password`` are valid and need a link.
    """

    accounts: int
    with_password: int
    without_password: int
    customers: int


def plan_adoption(session: Session, source: str) -> Adoption:
    """Return what ``adopt`` would do now."""
    theirs = select(func.count(CustomerUser.id)).where(CustomerUser.source == source)
    has_one = CustomerUser.password_hash.is_not(None)
    valid = CustomerUser.valid != Validity.INVALID
    customers = select(func.count(Customer.id)).where(Customer.source == source)
    return Adoption(
        accounts=session.scalars(theirs).one(),
        with_password=session.scalars(theirs.where(valid, has_one)).one(),
        without_password=session.scalars(theirs.where(valid, ~has_one)).one(),
        customers=session.scalars(customers).one(),
    )


def adopt(database: Database, actor: Actor, source: str) -> Adoption:
    """Make all copies of a source's records accounts and customers that are kept here.

    Works in many short transactions: one that was interrupted is completed by another run.
    """
    with database.read() as session:
        plan = plan_adoption(session, source)
    for adopt_some in (_adopt_customers, _adopt_accounts):
        is_done = False
        while not is_done:
            with database.write() as session:
                is_done = not adopt_some(session, actor, source)
    return plan


def _adopt_customers(session: Session, actor: Actor, source: str) -> bool:
    """Adopt some customers, and return whether there were any."""
    rows = session.scalars(
        select(Customer).where(Customer.source == source).limit(ROWS_AT_ONCE).with_for_update()
    ).all()
    for row in rows:
        row.source = None
        name = customer_label(row)
        audit.record(session, actor, KEPT_HERE, "customer", row.id, name, {"source": source})
    return bool(rows)


def _adopt_accounts(session: Session, actor: Actor, source: str) -> bool:
    """Adopt some accounts, and return whether there were any."""
    rows = session.scalars(
        select(CustomerUser)
        .where(CustomerUser.source == source)
        .limit(ROWS_AT_ONCE)
        .with_for_update()
    ).all()
    for row in rows:
        before = {"source": source, "key": row.source_key}
        row.source = row.source_key = row.source_seen_at = row.source_gone_at = None
        audit.record(session, actor, KEPT_HERE, "customer-user", row.id, row.login, before)
    return bool(rows)
