"""Walking through a list by pages gives every row once, in both directions."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import Database
from core.models import Group
from core.paging import Page, read_page

NAMES = [f"gruppe-{number:02d}" for number in range(25)]


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as session:
        session.add_all(Group(name=name) for name in NAMES)
    return database


def page(
    session: Session, cursor: str | None = None, *, limit: int = 10, descending: bool = False
) -> Page[Group]:
    return read_page(
        session,
        select(Group),
        [Group.name, Group.id],
        descending=descending,
        cursor=cursor,
        limit=limit,
    )


def names(found: Page[Group]) -> Sequence[str]:
    return [group.name for group in found.items]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 10, 24, 25, 26])
def test_forwards_and_back(filled: Database, descending: bool, limit: int) -> None:
    expected = NAMES[::-1] if descending else NAMES
    with filled.read() as session:
        pages = [page(session, limit=limit, descending=descending)]
        while (cursor := pages[-1].next) is not None:
            pages.append(page(session, cursor, limit=limit, descending=descending))
        assert [name for each in pages for name in names(each)] == expected
        assert pages[0].previous is None
        for before, after in zip(pages[-2::-1], pages[:0:-1], strict=True):
            back = page(session, after.previous, limit=limit, descending=descending)
            assert names(back) == names(before)
            assert back.next is not None


def test_an_empty_list_is_one_page(database: Database) -> None:
    with database.read() as session:
        assert page(session) == Page((), None, None)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "%%%", "bnVsbA", "W10", "WyJuIl0", "A" * 5000, "WyJuIiwxLDJd", "WyJuIixudWxsLDFd",
     "WyJ6IiwiYSIsMV0", "WyJuIiwiXHUwMDAwIiwxXQ", "WyJuIiwiXHVkODAwIiwxXQ"],
)  # fmt: skip
def test_a_broken_cursor_shows_the_first_page(filled: Database, cursor: str) -> None:
    with filled.read() as session:
        assert names(page(session, cursor)) == NAMES[:10]
