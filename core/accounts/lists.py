"""Lists of customers and customer users: searched, filtered, counted, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, contains_eager, selectinload

from core.accounts.search_text import contains_words
from core.models import Customer, CustomerGroup, CustomerUser, CustomerUserGroup
from core.paging import Page, read_page
from core.words import Validity

MAX_PAGE = 200
KEPT_HERE = "-"  # instead of the name of a source: what comes from none

Row = TypeVar("Row", Customer, CustomerUser)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerUserFilter:
    """Which customer users a list shows; the default is all of them.

    ``query`` are words that must all be found in login, names, addresses, Kunden# or the name of
    the customer. ``group_id`` asks for a permission in that group, the account's own or its
    customer's. ``source`` is the name of a customer source, or ``KEPT_HERE``.
    """

    query: str = ""
    valid: Validity | None = None
    group_id: int | None = None
    customer_id: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFilter:
    """Which customers a list shows.

    ``query`` looks at Kunden#, name, city and domains, ``source`` is as for customer users.
    """

    query: str = ""
    valid: bool | None = None
    group_id: int | None = None
    source: str = ""


def find_customer_users(
    session: Session, wanted: CustomerUserFilter, *, cursor: str | None = None, limit: int = 25
) -> Page[CustomerUser]:
    """Return a page of customer users by last and first name, with customers and addresses."""
    statement = (
        select(CustomerUser)
        .join(CustomerUser.customer)
        .options(contains_eager(CustomerUser.customer), selectinload(CustomerUser.addresses))
    )
    keys = (CustomerUser.sort_key, CustomerUser.id)
    return _page(session, statement, keys, _matches(wanted), wanted.query, cursor, limit)


def count_customer_users(session: Session, wanted: CustomerUserFilter) -> int:
    """Return how many customer users a list has in all its pages."""
    return _count(session, select(func.count(CustomerUser.id)).where(_matches(wanted)))


def find_customers(
    session: Session, wanted: CustomerFilter, *, cursor: str | None = None, limit: int = 25
) -> Page[Customer]:
    """Return a page of customers by name, with their domains."""
    statement = select(Customer).options(selectinload(Customer.domains))
    keys = (Customer.sort_key, Customer.id)
    matches = _customer_matches(wanted)
    return _page(session, statement, keys, matches, wanted.query, cursor, limit)


def count_customers(session: Session, wanted: CustomerFilter) -> int:
    """Return how many customers a list has in all its pages."""
    return _count(session, select(func.count(Customer.id)).where(_customer_matches(wanted)))


def customer_user_counts(session: Session, customer_ids: list[int]) -> dict[int, int]:
    """Return how many customer users each of these customers has, invalid ones included."""
    rows = session.execute(
        select(CustomerUser.customer_id, func.count())
        .where(CustomerUser.customer_id.in_(customer_ids))
        .group_by(CustomerUser.customer_id)
    )
    found: dict[int, int] = dict(rows.all())
    return {customer_id: found.get(customer_id, 0) for customer_id in customer_ids}


def _page(
    session: Session,
    statement: Select[Any],
    keys: Sequence[InstrumentedAttribute[Any]],
    matches: ColumnElement[bool],
    query: str,
    cursor: str | None,
    limit: int,
) -> Page[Any]:
    """Return a page of a list; words are looked for by reading the table."""
    is_searched = bool(query.strip())
    return read_page(
        session,
        statement if is_searched else statement.where(matches),
        keys,
        descending=False,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
        searched=matches if is_searched else None,
    )


def _matches(wanted: CustomerUserFilter) -> ColumnElement[bool]:
    conditions = [contains_words(CustomerUser.search_text, wanted.query)]
    conditions += _comes_from(CustomerUser.source, wanted.source)
    if wanted.valid is not None:
        conditions.append(CustomerUser.valid == wanted.valid)
    if wanted.customer_id is not None:
        conditions.append(CustomerUser.customer_id == wanted.customer_id)
    if wanted.group_id is not None:
        conditions.append(_has_permission_in(wanted.group_id))
    return and_(true(), *conditions)


def _comes_from(
    column: InstrumentedAttribute[str | None], source: str
) -> list[ColumnElement[bool]]:
    if not source:
        return []
    return [column.is_(None) if source == KEPT_HERE else column == source]


def _has_permission_in(group_id: int) -> ColumnElement[bool]:
    own = exists().where(
        CustomerUserGroup.customer_user_id == CustomerUser.id,
        CustomerUserGroup.group_id == group_id,
    )
    inherited = exists().where(
        CustomerGroup.customer_id == CustomerUser.customer_id, CustomerGroup.group_id == group_id
    )
    return or_(own, inherited)


def _customer_matches(wanted: CustomerFilter) -> ColumnElement[bool]:
    conditions = [contains_words(Customer.search_text, wanted.query)]
    conditions += _comes_from(Customer.source, wanted.source)
    if wanted.valid is not None:
        conditions.append(Customer.valid.is_(wanted.valid))
    if wanted.group_id is not None:
        conditions.append(
            exists().where(
                CustomerGroup.customer_id == Customer.id,
                CustomerGroup.group_id == wanted.group_id,
            )
        )
    return and_(true(), *conditions)


def _count(session: Session, statement: Select[int]) -> int:
    return session.scalars(statement).one()
