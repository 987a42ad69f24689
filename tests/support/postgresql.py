"""A PostgreSQL server of our own: made for the test run, reachable by a socket in its folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.processes import RunningProcess, run_process

ACCOUNT = "schalter"
# What a crash of the whole machine would cost does not matter here; time does.
UNSAFE_BUT_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class PostgresqlServer:
    """A running server and its databases."""

    def __init__(self, folder: Path, process: RunningProcess) -> None:
        self.folder = folder
        self.process = process
        self._numbers = count(1)

    def url(self, name: str) -> str:
        """Return the SQLAlchemy address of the database ``name``."""
        return f"postgresql+psycopg://{ACCOUNT}@/{name}?host={self.folder}"

    def create(self, *, template: str = "template1") -> str:
        """Make a database, a copy of ``template``, and return its name."""
        name = f"schalter_{next(self._numbers)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def answers(self) -> bool:
        """Say whether the server takes connections already."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: str, *names: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.folder), user=ACCOUNT, dbname="postgres", autocommit=True
        )


@contextmanager
def run_postgresql(*, durable: bool = False) -> Iterator[PostgresqlServer]:
    """Make and run a server while the block lasts; skip the test where none is installed.

    ``durable`` keeps the server's own promise about the disk, for whoever measures it.
    """
    programs = _programs()
    owner, groups = _account()
    # Not pytest's folder: only this account can enter that one, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="schalter-pg-"))
    try:
        if owner is not None:
            os.chown(folder, owner, groups[0])
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "--auth=trust", f"--username={ACCOUNT}", "--encoding=UTF8",
             "--locale=C.UTF-8", "--no-sync", "--no-instructions", data],
            user=owner, group=groups[0] if groups else None, extra_groups=groups or None,
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        with run_process(
            programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=",
            *(() if durable else UNSAFE_BUT_FAST),
            cwd=folder, owner=owner, groups=groups or None,
        ) as process:  # fmt: skip
            server = PostgresqlServer(folder, process)
            process.wait_for(server.answers, "connection to PostgreSQL")
            yield server
            process.stop(signal.SIGINT)  # its "fast shutdown": waits for no client
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: float(path.parts[-3]),
    )
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).resolve().parent
    pytest.skip("PostgreSQL tests: postgresql is not installed")


def _account() -> tuple[int | None, list[int]]:
    """Return whom the server runs as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None, []
    names = {entry.pw_name for entry in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return account.pw_uid, [account.pw_gid]
