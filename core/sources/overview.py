"""What is known of the customer sources: their state, what of them is here, and their conflicts.

All of it is read from our tables; no source is asked anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, case, func, make_url, or_, select
from sqlalchemy.orm import Session

from core.accounts.logins import login_key
from core.config import AnySourceSection, LdapSourceSection, SourceSection, SqlSourceSection
from core.models import Customer, CustomerUser, RecordConflict, now
from core.models import CustomerSource as SourceState
from core.paging import Page, read_page
from core.words import SourceConflict, Validity

OVERDUE_ON_REQUEST = timedelta(days=1)  # where a source is not read by itself
MAX_PAGE = 200


class Standing(StrEnum):
    """How a source stands, as far as it is known without asking it."""

    ANSWERS = "answers"
    AWAY = "away"
    NEVER_READ = "never-read"


@dataclass(frozen=True, slots=True)
class Copies:
    """How much is kept under one name; ``invalid`` and ``gone`` are of the accounts.

    ``gone`` are those whose record the source has no more.
    """

    accounts: int = 0
    invalid: int = 0
    gone: int = 0
    customers: int = 0


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source of the configuration with all that is known of it."""

    section: AnySourceSection
    state: SourceState
    copies: Copies
    conflicts: int

    @property
    def standing(self) -> Standing:
        """How it stands: a failure counts until the source has answered again."""
        if self.state.last_error:
            return Standing.AWAY
        return Standing.ANSWERS if self.state.last_contact_at else Standing.NEVER_READ

    @property
    def is_overdue(self) -> bool:
        """Whether all of it was last read too long ago."""
        return is_overdue(self.section, self.state)


@dataclass(frozen=True, slots=True)
class ShownConflict:
    """A conflict with the account that holds the login, and the copy of the record, if any."""

    conflict: RecordConflict
    holder: CustomerUser | None
    copy: CustomerUser | None


def known_sources(session: Session, sections: Sequence[AnySourceSection]) -> list[KnownSource]:
    """Return what is known of these sources, in their order."""
    names = [section.name for section in sections]
    states = {
        state.name: state
        for state in session.scalars(select(SourceState).where(SourceState.name.in_(names)))
    }
    copies, conflicts = copies_by_source(session), _conflicts_by_source(session)
    return [
        KnownSource(
            section,
            states.get(section.name)
            or SourceState(name=section.name, records=0, last_error="", read_error=""),
            copies.get(section.name, Copies()),
            conflicts.get(section.name, 0),
        )
        for section in sections
    ]


def copies_by_source(session: Session) -> Mapping[str | None, Copies]:
    """Return how much is kept under the name of each source, None for what is kept here."""
    accounts = session.execute(
        select(
            CustomerUser.source,
            func.count(),
            func.sum(case((CustomerUser.valid != Validity.VALID, 1), else_=0)),
            func.sum(case((CustomerUser.source_gone_at.is_not(None), 1), else_=0)),
        ).group_by(CustomerUser.source)
    ).all()
    customers: dict[str | None, int] = dict(
        session.execute(select(Customer.source, func.count()).group_by(Customer.source)).all()
    )
    counts = {
        name: (int(count), int(invalid), int(gone)) for name, count, invalid, gone in accounts
    }
    return {
        name: Copies(*counts.get(name, (0, 0, 0)), customers.get(name, 0))
        for name in {*counts, *customers}
    }


def place_of(section: SourceSection) -> str:
    """Return where a source is, without a password or anything that may hold one."""
    if isinstance(section, LdapSourceSection):
        return f"{', '.join(section.servers)} · {section.base}"
    assert isinstance(section, SqlSourceSection)
    url = make_url(section.url).set(query={}).render_as_string(hide_password=True)
    table = ".".join(filter(None, (section.table_schema, section.table)))
    return f"{url} · {table}"


def is_overdue(section: AnySourceSection, state: SourceState) -> bool:
    """Whether all records were last read more than two of its rounds ago, or never."""
    if state.last_pass_at is None:
        return True
    longest = (
        2 * timedelta(minutes=section.sync_minutes) if section.sync_minutes else OVERDUE_ON_REQUEST
    )
    return now() - state.last_pass_at > longest


def count_conflicts_of(session: Session, source: str) -> Mapping[SourceConflict, int]:
    """Return how many conflicts of each kind a source has."""
    rows = session.execute(
        select(RecordConflict.kind, func.count())
        .where(RecordConflict.source == source)
        .group_by(RecordConflict.kind)
    )
    return dict(rows.all())


def find_conflicts(
    session: Session,
    source: str,
    *,
    query: str = "",
    kind: SourceConflict | None = None,
    cursor: str | None = None,
    limit: int = 25,
) -> Page[ShownConflict]:
    """Return a page of the conflicts of a source in the order in which they were found."""
    statement = select(RecordConflict).where(_matches(source, query, kind))
    page: Page[RecordConflict] = read_page(
        session,
        statement,
        (RecordConflict.id,),
        descending=False,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )
    return Page(tuple(_with_accounts(session, source, page.items)), page.previous, page.next)


def count_conflicts_found(
    session: Session, source: str, *, query: str = "", kind: SourceConflict | None = None
) -> int:
    """Return how many conflicts a list has in all its pages."""
    statement = select(func.count(RecordConflict.id)).where(_matches(source, query, kind))
    return session.scalars(statement).one()


def _matches(source: str, query: str, kind: SourceConflict | None) -> ColumnElement[bool]:
    wanted: list[ColumnElement[bool]] = [RecordConflict.source == source]
    if kind is not None:
        wanted.append(RecordConflict.kind == kind)
    if query:
        columns = (RecordConflict.login, RecordConflict.detail, RecordConflict.source_key)
        wanted.append(or_(*(column.icontains(query, autoescape=True) for column in columns)))
    return and_(*wanted)


def _with_accounts(
    session: Session, source: str, conflicts: Sequence[RecordConflict]
) -> list[ShownConflict]:
    keys = {each.id: login_key(each.login) for each in conflicts}
    accounts = session.scalars(
        select(CustomerUser).where(
            or_(
                CustomerUser.login_key.in_(set(keys.values())),
                and_(
                    CustomerUser.source == source,
                    CustomerUser.source_key.in_({each.source_key for each in conflicts}),
                ),
            )
        )
    ).all()
    holders = {account.login_key: account for account in accounts}
    copies = {account.source_key: account for account in accounts if account.source == source}
    return [
        ShownConflict(each, holders.get(keys[each.id]), copies.get(each.source_key))
        for each in conflicts
    ]


def _conflicts_by_source(session: Session) -> Mapping[str, int]:
    rows = session.execute(
        select(RecordConflict.source, func.count()).group_by(RecordConflict.source)
    )
    return dict(rows.all())
