"""A database server that is stopped half-way: its connections stay open, and nothing comes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from core.config import SqlSourceSection
from core.sources.kinds.sql import SqlSource
from core.sources.source import By, SourceAway
from tests.sources.crm import COLUMNS
from tests.support import mariadb, postgresql
from tests.support.processes import RunningProcess

WITHIN = 30.0  # seconds: a lost connection of the pool, then a new one, on a busy machine


@contextmanager
def on_mariadb() -> Iterator[tuple[str, str, RunningProcess]]:
    with mariadb.run_mariadb() as (server, process):
        yield server.tcp_url("information_schema"), mariadb.PASSWORD, process


@contextmanager
def on_postgresql() -> Iterator[tuple[str, str, RunningProcess]]:
    with postgresql.run_postgresql() as server:
        yield server.url("postgres"), "", server.process


Server = Callable[[], AbstractContextManager[tuple[str, str, RunningProcess]]]
SERVERS = [
    pytest.param(on_mariadb, "TABLES", "TABLE_NAME", marks=pytest.mark.mariadb),
    pytest.param(on_postgresql, "pg_tables", "tablename", marks=pytest.mark.postgresql),
]


@pytest.mark.slow
@pytest.mark.parametrize(("run", "table", "column"), SERVERS)
def test_is_given_up(run: Server, table: str, column: str) -> None:
    with run() as (url, password, process):
        columns = COLUMNS | dict.fromkeys(COLUMNS, column) | {"more_addresses": []}
        section = SqlSourceSection(name="crm", kind="sql", url=url, table=table, columns=columns)
        with closing(SqlSource(section, password)) as source:
            assert source.count() > 0
            for _time in range(2):  # with a connection that stands, and with none
                with stopped(process):
                    began = time.monotonic()
                    with pytest.raises(SourceAway):
                        source.find(By.LOGIN, ["anna"], 5)
                    assert time.monotonic() - began < WITHIN
            assert source.count() > 0


@contextmanager
def stopped(process: RunningProcess) -> Iterator[None]:
    """Stop a server and all that it has started while the block lasts."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    pids = [process.pid, *map(int, children.split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # one that had only just begun
                os.kill(pid, signal.SIGCONT)
