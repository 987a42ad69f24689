"""The database: one engine for reading and one for writing, and the two kinds of transaction.

Core functions take a session and never commit; an edge opens ``read()`` or ``write()`` around
them. On SQLite a writing transaction takes the write lock at its start (``BEGIN IMMEDIATE``): a
transaction that first reads and then writes would fail at once when another writer got in between,
whatever the busy timeout.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Select,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from core import drivers
from core.errors import DatabaseUnavailable
from core.models import Base

BACKENDS = ("sqlite", "postgresql")
BUSY_TIMEOUT_MS = 10_000
SQLITE_CACHE_KIB = 16 * 1024
MANAGED_GROUPS = "managed_groups"  # under which a session knows them
FOREIGN_CONNECTIONS = 2  # that we keep open to a database of somebody else


class Database:
    """A database by its SQLAlchemy address, SQLite or PostgreSQL.

    Making one opens no connection. Raises ``DatabaseUnavailable`` when the address itself cannot
    be used. ``managed_groups`` of the configuration go along with every session, because they
    bind whoever changes permissions (``core.accounts.managed``).
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        managed_groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.managed_groups = managed_groups or {}
        try:
            self.url = make_url(url)
            if self.url.drivername == "postgresql":
                self.url = self.url.set(drivername="postgresql+psycopg")
            self.backend = self.url.get_backend_name()
            if self.backend not in BACKENDS:
                raise ArgumentError(f"{self.backend} is neither sqlite nor postgresql")
            if self.is_sqlite and self.file is None:
                raise ArgumentError("SQLite needs a file, as in sqlite:///var/schalter.db")
            self.reader, self.writer = self._engines(pool_size)
        except OSError as error:  # the folder of the file cannot be made
            raise DatabaseUnavailable(f"database {self.address}: {error.strerror}") from None
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            raise DatabaseUnavailable(f"database.url: {error}") from None
        self._read_sessions = sessionmaker(self.reader, expire_on_commit=False, autoflush=False)
        self._write_sessions = sessionmaker(self.writer, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.backend == "sqlite"

    @property
    def file(self) -> Path | None:
        """The file of an embedded database, None for any other."""
        named = self.is_sqlite and self.url.database not in (None, "", ":memory:")
        return Path(str(self.url.database)) if named else None

    @property
    def address(self) -> str:
        """The address without its password, for messages."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and changes nothing."""
        with self._read_sessions(info=self._info) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose work is committed when the block ends, or undone as a whole."""
        with self._write_sessions(info=self._info) as session, session.begin():
            yield session

    @property
    def _info(self) -> dict[str, object]:
        return {MANAGED_GROUPS: self.managed_groups}

    def check_file(self) -> None:
        """Raise ``DatabaseUnavailable`` where SQLite would make a file by being asked for one."""
        if self.file is not None and not self.file.exists():
            raise DatabaseUnavailable(
                f'database {self.address}: there is no such file yet: run "schalter init"'
            )

    def check_connection(self) -> None:
        """Raise ``DatabaseUnavailable`` with the driver's reason when there is no connection."""
        try:
            with self.reader.connect() as connection:
                connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise DatabaseUnavailable(f"database {self.address}: {reason}") from None

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.reader.dispose()
        self.writer.dispose()

    def _engines(self, pool_size: int) -> tuple[Engine, Engine]:
        if not self.is_sqlite:
            engine = create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_pre_ping=True,
                connect_args={"connect_timeout": 5},
            )
            return engine, engine
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        reader = create_engine(self.url, pool_size=pool_size, max_overflow=pool_size)
        writer = create_engine(self.url, pool_size=pool_size, max_overflow=pool_size)
        for engine, begin in ((reader, "BEGIN"), (writer, "BEGIN IMMEDIATE")):
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_with(begin))
        return reader, writer


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Set what SQLite forgets between connections; FULL makes a commit survive a power cut."""
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{SQLITE_CACHE_KIB}",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_with(statement: str) -> Any:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin


def foreign_engine(
    address: str, password: str | None, seconds: float, *, writes: bool = False
) -> Engine:
    """Return an engine for somebody else's database: SQLite, PostgreSQL, MariaDB or MySQL.

    ``address`` is an SQLAlchemy address that was checked before, ``seconds`` how long connecting
    and each statement may take. Unless it ``writes``, nothing can be written through it. A missing
    SQLite file is not made.
    """
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        return _foreign_sqlite(url, seconds, "rw" if writes else "ro")
    limits: dict[str, Any] = {"pool_size": FOREIGN_CONNECTIONS, "pool_timeout": seconds}
    if url.get_backend_name() in drivers.MYSQL_NAMES:
        engine = create_engine(
            url.set(drivername="mysql+pymysql"),
            pool_pre_ping=True,
            connect_args=drivers.mysql_arguments(url, password, seconds),
            **limits,
        )
        drivers.prepare_mysql(engine, seconds, writes=writes)
        return engine
    engine = create_engine(
        url.set(drivername="postgresql+psycopg", password=password or url.password),
        pool_pre_ping=True,
        connect_args=drivers.postgresql_arguments(seconds, writes=writes),
        **limits,
    )
    drivers.limit_waiting(engine, seconds)
    return engine


def _foreign_sqlite(url: URL, seconds: float, mode: str) -> Engine:
    file = f"file:{quote(str(Path(url.database or '').absolute()))}"
    engine = create_engine(
        url.set(database=file, query={"mode": mode, "uri": "true"}),
        pool_size=FOREIGN_CONNECTIONS,
        pool_timeout=seconds,
        connect_args={"timeout": seconds},
    )
    event.listen(engine, "connect", _fold_all_letters)
    return engine


def _fold_all_letters(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Make lower() know umlauts, as it does on the other systems; SQLite's own knows ASCII."""
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def reserve_ids(
    session: Session, needed: Sequence[tuple[type[Base], int]]
) -> list[range | list[int]]:
    """Return, for each ``(model, count)``, that many ids which nobody else will use.

    With the ids known beforehand a batch of mails is written with one statement per table. On
    SQLite the write lock makes the next numbers ours; on PostgreSQL they come from the sequences.
    """
    if session.get_bind().dialect.name == "sqlite":
        newest = (
            session.connection().execute(_newest_ids(tuple(model for model, _ in needed))).one()
        )
        return [
            range(last + 1, last + 1 + count)
            for last, (_model, count) in zip(newest, needed, strict=True)
        ]
    return [_next_from_sequence(session, model, count) for model, count in needed]


@cache
def _newest_ids(models: tuple[type[Base], ...]) -> Select[Any]:
    ids = [model.__table__.c.id for model in models]
    return select(*(select(func.coalesce(func.max(i), 0)).scalar_subquery() for i in ids))


def _next_from_sequence(session: Session, model: type[Base], count: int) -> list[int]:
    if not count:
        return []
    statement: Select[tuple[int]] = select(
        func.nextval(func.pg_get_serial_sequence(model.__tablename__, "id"))
    ).select_from(func.generate_series(1, count).alias("n"))
    return list(session.scalars(statement))
