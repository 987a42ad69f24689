"""How the drivers of other people's databases are held to a time, and to what is safe.

None of the servers is trusted to answer: one that is stopped half-way keeps its connections open,
so every wait has an end of its own on our side, beside the limit that the server is told.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

import psycopg
import pymysql
from psycopg.abc import PQGen
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from sqlalchemy import URL, Connection, Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

MYSQL_NAMES = frozenset({"mysql", "mariadb"})  # of one protocol and one driver

# Seconds that we wait longer than the server is told: it can say what has taken it so long.
_LONGER = 0.5
# Strict, so that no value is cut to fit, and in this form whatever the server has for others:
# how a text is quoted hangs on it.
_MYSQL_MODE = "TRADITIONAL"


def postgresql_arguments(seconds: float, *, writes: bool) -> dict[str, Any]:
    """Return what a connection to PostgreSQL is opened with."""
    options = f"-c statement_timeout={ceil(seconds * 1000)}"
    if not writes:
        options += " -c default_transaction_read_only=on"
    return {"connect_timeout": max(2, ceil(seconds)), "options": options}


def limit_waiting(engine: Engine, seconds: float) -> None:
    """Let no connection of PostgreSQL wait longer for any answer."""

    def connect(
        _dialect: Dialect, _entry: ConnectionPoolEntry, given: tuple[Any], named: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        connection = _LimitedConnection.connect(*given, **named)
        connection.seconds = seconds
        return connection

    event.listen(engine, "do_connect", connect)


class _LimitedConnection(psycopg.Connection[Any]):
    """Gives a server up that does not answer; ``seconds`` may be any positive number."""

    seconds = 10.0

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        allowed = self.seconds + _LONGER if timeout is None else timeout
        try:
            return super().wait(gen, interval, allowed)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer in time") from None


def mysql_arguments(url: URL, password: str | None, seconds: float) -> dict[str, Any]:
    """Return what a connection to MariaDB or MySQL is opened with.

    With ``ssl_ca`` the server must have a certificate of it, and for its host name.
    """
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": seconds,
        "read_timeout": seconds + _LONGER,
        "write_timeout": seconds,
        "sql_mode": _MYSQL_MODE,
        "local_infile": False,  # a server could ask for any file of ours
        "conv": _CONVERSIONS,
    }
    if "ssl_ca" not in url.query:
        arguments["auth_plugin_map"] = dict.fromkeys(_PLAIN_PASSWORD, _Refused)
    if password is not None:
        arguments["password"] = password.encode()
    return arguments


def prepare_mysql(engine: Engine, seconds: float, *, writes: bool) -> None:
    """Tell each new connection of MariaDB or MySQL how long, and whether it only reads."""

    def prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(_statement_limit("MariaDB" in connection.server_version, seconds))
        if writes:
            cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {ceil(seconds)}")
        else:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.close()

    event.listen(engine, "connect", prepare)


def take_time(connection: Connection) -> None:
    """Let what is read bit by bit on this connection take as long as its reader.

    MariaDB counts the time in which the reader does something else. The connection is not used
    again afterwards.
    """
    dialect: Any = connection.dialect
    if dialect.name in MYSQL_NAMES:
        connection.detach()
        connection.exec_driver_sql(_statement_limit(dialect.is_mariadb, 0))


def _statement_limit(is_mariadb: bool, seconds: float) -> str:
    if is_mariadb:
        return f"SET SESSION max_statement_time = {seconds}"
    return f"SET SESSION max_execution_time = {ceil(seconds * 1000)}"


class _Refused:
    """Stands for each way of signing in that sends the password as it is."""

    def __init__(self, _connection: object) -> None:
        pass

    def authenticate(self, _packet: object) -> None:
        raise pymysql.OperationalError(
            "the server asks for the password in plain text, which it gets with ssl_ca only"
        )


def _bits(value: bytes) -> int:
    return int.from_bytes(value, "big")


_PLAIN_PASSWORD = ("mysql_clear_password", "dialog")
# A column of bits is a number, as one that is 0 or 1 says whether an account is valid.
_CONVERSIONS: Mapping[Any, Any] = {**conversions, FIELD_TYPE.BIT: _bits}
