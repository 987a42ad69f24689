"""Writing files: everything stored of one kind, or what undoes an import.

UTF-8 with a byte order mark and semicolons: Excel opens that in every language but shows umlauts
as they are only with the mark. Lines end as RFC 4180 has it.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, exists, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload

from core import audit
from core.accounts.customer_users import customer_user_values
from core.accounts.customers import customer_values
from core.audit import Actor
from core.exchange.cells import guarded
from core.exchange.columns import USERS, Kind
from core.exchange.plan import State
from core.exchange.stock import CHUNK
from core.models import (
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
)

SEPARATOR = ";"
_MARK = "\ufeff"

Stored = TypeVar("Stored", Customer, CustomerUser)


def write_sheet(kind: Kind, states: Iterable[State]) -> Iterator[bytes]:
    """Give the bytes of a file piece by piece: the header, then a row for each state."""
    yield f"{_MARK}{_line(column.name for column in kind.columns)}".encode()
    for state in states:
        values = state.as_dict()
        cells = (guarded(column.cell(values[column.name])) for column in kind.columns)
        yield _line(cells).encode()


def record_export(session: Session, actor: Actor, kind: Kind) -> None:
    """Write that somebody takes everything stored of one kind out of our hands."""
    audit.record(session, actor, "exported", kind.object_kind, None)


def export(session: Session, kind: Kind) -> Iterator[bytes]:
    """Give the file with everything stored of one kind, a few hundred rows in memory at a time.

    The session must be of its own: what was read is forgotten. Accounts with shared addresses
    come last, so that the file can be imported where nobody has them yet.
    """
    return write_sheet(kind, _users(session) if kind is USERS else _customers(session))


def _customers(session: Session) -> Iterator[State]:
    statement = select(Customer).options(
        selectinload(Customer.domains),
        selectinload(Customer.permissions).joinedload(CustomerGroup.group),
    )
    for customer in _in_turn(session, statement, Customer.id):
        yield State(
            customer_values(customer),
            {row.group.name: row.permission for row in customer.permissions},
        )


def _users(session: Session) -> Iterator[State]:
    statement = select(CustomerUser).options(
        joinedload(CustomerUser.customer),
        selectinload(CustomerUser.addresses),
        selectinload(CustomerUser.permissions).joinedload(CustomerUserGroup.group),
    )
    shares = exists().where(
        CustomerUserAddress.customer_user_id == CustomerUser.id, CustomerUserAddress.shared
    )
    for wanted in (~shares, shares):
        for account in _in_turn(session, statement, CustomerUser.id, wanted):
            yield State(
                customer_user_values(account),
                {row.group.name: row.permission for row in account.permissions},
            )


def _in_turn(
    session: Session,
    statement: Select[Stored],
    key: InstrumentedAttribute[int],
    wanted: ColumnElement[bool] | None = None,
) -> Iterator[Stored]:
    last = 0
    condition = true() if wanted is None else wanted
    while True:
        page = statement.where(key > last, condition).order_by(key).limit(CHUNK)
        found = session.scalars(page).all()
        yield from found
        if len(found) < CHUNK:
            return
        last = found[-1].id
        session.expunge_all()


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=SEPARATOR).writerow(list(cells))
    return text.getvalue()
