"""Claims: what only one process may do at a time, of all that use one database.

A claim ends with the process that has it, however that ends, so none is ever left behind.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import func, select

from core.db import Database


@contextmanager
def claimed(database: Database, what: str) -> Iterator[bool]:
    """Give whether ``what`` is ours while the block lasts; False says that it is another's.

    On PostgreSQL that is an advisory lock, which its server gives up with our connection. On
    SQLite, which one machine uses, it is the lock of an empty file beside the database. ``what``
    is part of the name of that file.
    """
    with _file(database.file, what) if database.file else _advisory(database, what) as is_ours:
        yield is_ours


@contextmanager
def _file(database: Path, what: str) -> Iterator[bool]:
    # Whoever may read it may lock it: a command of root must not shut our own account out.
    descriptor = os.open(f"{database}.{what}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def _advisory(database: Database, what: str) -> Iterator[bool]:
    key = int.from_bytes(sha256(f"schalter {what}".encode()).digest()[:8], signed=True)
    with database.writer.connect() as connection:
        # Without a transaction: one that is open for long keeps the server from cleaning up.
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        is_ours = connection.scalar(select(func.pg_try_advisory_lock(key)))
        try:
            yield bool(is_ours)
        finally:
            if is_ours:
                connection.scalar(select(func.pg_advisory_unlock(key)))
