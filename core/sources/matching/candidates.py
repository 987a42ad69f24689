"""Accounts that are gone from their source, and who may be the same person there today.

Where a source has no column for a key, the login is the key: somebody with a new login looks like
one account that is gone and another that is new. Who was there while the other still was is
nobody else's successor, so only accounts count that were first seen later.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, select, union
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload, selectinload

from core.accounts.search_text import contains_words, sort_key
from core.i18n import N_
from core.i18n import gettext as _
from core.models import CustomerUser, CustomerUserAddress
from core.paging import Page, read_page
from core.sources.mirroring.verdicts import UNKNOWN_NAME

MAX_CANDIDATES = 5  # of one account
MAX_FOUND = 20  # by a search


class Reason(StrEnum):
    """Why two accounts may be of one person, the strongest reason first."""

    MAIN_ADDRESS = "main-address"
    ADDRESS = "address"
    NAME = "name"
    NUMBER = "number"  # the Kunden#, never alone
    PHONE = "phone"  # never alone


_WEIGHTS: Mapping[Reason, int] = {
    Reason.MAIN_ADDRESS: 8,
    Reason.ADDRESS: 5,
    Reason.NAME: 4,
    Reason.NUMBER: 2,
    Reason.PHONE: 1,
}
_TEXTS: Mapping[Reason, str] = {
    Reason.MAIN_ADDRESS: N_("same mail address"),
    Reason.ADDRESS: N_("a common mail address"),
    Reason.NAME: N_("same name"),
    Reason.NUMBER: N_("same Kunden#"),
    Reason.PHONE: N_("same phone number"),
}

_Old = aliased(CustomerUser, name="old")
_New = aliased(CustomerUser, name="new")
_UNNAMED = sort_key(UNKNOWN_NAME, UNKNOWN_NAME)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that may be the same person, and why; the best one has the highest weight."""

    account: CustomerUser
    reasons: tuple[Reason, ...]

    @property
    def weight(self) -> int:
        """How much speaks for it."""
        return sum(_WEIGHTS[reason] for reason in self.reasons)


def reason_text(reason: Reason) -> str:
    """Return a reason as people read it."""
    return _(_TEXTS[reason])


def is_gone() -> ColumnElement[bool]:
    """Return the condition that an account is a copy whose record is no longer in its source."""
    return and_(
        CustomerUser.source.is_not(None),
        CustomerUser.source_key.is_not(None),
        CustomerUser.source_gone_at.is_not(None),
    )


def gone_accounts(
    session: Session,
    *,
    query: str = "",
    with_candidates: bool = False,
    cursor: str | None = None,
    limit: int = 25,
) -> Page[CustomerUser]:
    """Return a page of accounts that are gone, by name, with their customers and addresses."""
    statement = (
        select(CustomerUser)
        .join(CustomerUser.customer)
        .where(*_gone(query, with_candidates=with_candidates))
        .options(contains_eager(CustomerUser.customer), selectinload(CustomerUser.addresses))
    )
    keys = (CustomerUser.sort_key, CustomerUser.id)
    return read_page(session, statement, keys, descending=False, cursor=cursor, limit=limit)


def count_gone(session: Session, *, query: str = "", with_candidates: bool = False) -> int:
    """Return how many accounts are gone."""
    conditions = _gone(query, with_candidates=with_candidates)
    return session.scalars(select(func.count(CustomerUser.id)).where(*conditions)).one()


def candidates(
    session: Session, gone: Collection[CustomerUser]
) -> Mapping[int, Sequence[Candidate]]:
    """Return by the id of an account who may be the same person today, the likeliest first."""
    olds = {account.id: account for account in gone}
    pairs = session.execute(select(_pairs(_Old.id.in_(olds)))).all()
    news = {
        account.id: account
        for account in session.scalars(
            _loaded().where(CustomerUser.id.in_({new for _old, new in pairs}))
        )
    }
    found: dict[int, list[Candidate]] = defaultdict(list)
    for old_id, new_id in pairs:
        new = news[new_id]
        found[old_id].append(Candidate(new, reasons(olds[old_id], new)))
    return {
        old_id: sorted(each, key=lambda one: (-one.weight, one.account.id))[:MAX_CANDIDATES]
        for old_id, each in found.items()
    }


def other_accounts(session: Session, gone: CustomerUser, query: str) -> Sequence[Candidate]:
    """Return accounts of the same source that are found by these words, at most ``MAX_FOUND``."""
    if not query.strip():
        return []
    rows = session.scalars(
        _loaded()
        .where(
            CustomerUser.source == gone.source,
            CustomerUser.source_key.is_not(None),
            CustomerUser.source_gone_at.is_(None),
            contains_words(CustomerUser.search_text, query),
        )
        .order_by(CustomerUser.sort_key, CustomerUser.id)
        .limit(MAX_FOUND)
    )
    return [Candidate(account, reasons(gone, account)) for account in rows]


def reasons(old: CustomerUser, new: CustomerUser) -> tuple[Reason, ...]:
    """Return what two accounts have in common."""
    keys = [row.address_key for row in old.addresses]
    others = [row.address_key for row in new.addresses]
    agreed = {
        Reason.MAIN_ADDRESS: keys[0] == others[0],
        Reason.ADDRESS: keys[0] != others[0] and not set(keys).isdisjoint(others),
        Reason.NAME: old.sort_key == new.sort_key and old.sort_key != _UNNAMED,
        Reason.NUMBER: old.customer_id == new.customer_id,
        Reason.PHONE: bool(old.phone) and old.phone == new.phone,
    }
    return tuple(reason for reason, holds in agreed.items() if holds)


def _gone(query: str, *, with_candidates: bool) -> list[ColumnElement[bool]]:
    conditions = [is_gone(), contains_words(CustomerUser.search_text, query)]
    if with_candidates:
        conditions.append(CustomerUser.id.in_(select(_pairs().c.old)))
    return conditions


def _pairs(*conditions: ColumnElement[bool]) -> Subquery:
    """Return the ids of accounts that are gone beside those of who may be the same person.

    Two ways, each along an index: together in one condition they would compare all with all.
    """
    held, wanted = aliased(CustomerUserAddress), aliased(CustomerUserAddress)
    pair = select(_Old.id.label("old"), _New.id.label("new"))
    follows = (
        _Old.source_key.is_not(None),
        _Old.source_gone_at.is_not(None),
        # Not by itself: the index of it would be taken, and it holds all accounts of a source.
        func.coalesce(_New.source, "") == func.coalesce(_Old.source, ""),
        _New.source_key.is_not(None),
        _New.source_gone_at.is_(None),
        _New.created_at > _Old.source_seen_at,
        *conditions,
    )
    by_name = pair.join(_New, _New.sort_key == _Old.sort_key).where(
        _Old.sort_key != _UNNAMED, *follows
    )
    by_address = (
        pair.join(held, held.customer_user_id == _Old.id)
        .join(wanted, wanted.address_key == held.address_key)
        .join(_New, _New.id == wanted.customer_user_id)
        .where(*follows)
    )
    return union(by_name, by_address).subquery()


def _loaded() -> Select[CustomerUser]:
    return select(CustomerUser).options(
        joinedload(CustomerUser.customer), selectinload(CustomerUser.addresses)
    )
