"""The database sessions of a request: one to read in, and one to write in where it writes.

A GET reads. A POST reads as well, for who asks; its view opens ``writing()`` when it begins to
change something, after everything slow (hashing, parsing an upload), because SQLite has one
writer and intake would wait for it. What was written is committed before the answer is sent, and
undone when the answer is an error.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from flask import current_app, g, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.db import Database

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset(["GET", "HEAD", "OPTIONS"])
_KEY = "schalter_database"


def set_database(database: Database) -> None:
    """Make this the database of the app at hand."""
    current_app.extensions[_KEY] = database


def database() -> Database:
    """Return the database of the app: for core functions that open transactions themselves."""
    found = current_app.extensions[_KEY]
    assert isinstance(found, Database)
    return found


def reading() -> Session:
    """Return the session in which this request reads."""
    if "reading" not in g:
        g.reading_stack = ExitStack()
        g.reading = g.reading_stack.enter_context(database().read())
    session: Session = g.reading
    return session


def writing() -> Session:
    """Return the session in which this request writes; what was read before belongs to another.

    Raises ``RuntimeError`` in a request that only reads: a link must not change anything.
    """
    if "writing" not in g:
        if request.method in SAFE_METHODS:
            raise RuntimeError("a GET changes nothing: make it a form, or use bookkeeping()")
        end_reading()
        g.writing_stack = ExitStack()
        g.writing = g.writing_stack.enter_context(database().write())
    session: Session = g.writing
    return session


@contextmanager
def bookkeeping() -> Iterator[Session]:
    """Give a short writing transaction of its own, for what a GET notes down."""
    with database().write() as session:
        yield session


def note_down(what: str, work: Callable[[Session], None]) -> None:
    """Note something that a page can do without: what was seen, when somebody was here.

    The page is shown even when the database has no time for the note.
    """
    try:
        with bookkeeping() as session:
            work(session)
    except OperationalError:
        log.warning("not noted, the database is busy: %s", what)


def finish_writing(*, keep: bool) -> None:
    """End the writing transaction if there is one: commit it, or undo it."""
    stack: ExitStack | None = g.pop("writing_stack", None)
    g.pop("writing", None)
    if stack is None:
        return
    if keep:
        stack.close()
    else:
        stack.__exit__(_Undone, _Undone(), None)


def close_sessions(_error: BaseException | None = None) -> None:
    """Close what the request has opened; work that nobody has finished is undone."""
    finish_writing(keep=False)
    end_reading()


def end_reading() -> None:
    """Close the reading session, before something slow or a change; reading again opens another."""
    stack: ExitStack | None = g.pop("reading_stack", None)
    g.pop("reading", None)
    if stack is not None:
        stack.close()


class _Undone(Exception):
    """Tells the transaction that its work is not wanted."""
