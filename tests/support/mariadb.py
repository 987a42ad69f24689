"""A MariaDB server of our own: made for the test run, reachable by a socket and a free port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from pwd import getpwnam
from typing import Any

import pymysql
import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.processes import RunningProcess, free_port, run_process

ACCOUNT = "schalter"
PASSWORD = "Käse €1"  # not even in Latin-1: a driver must send it as it is
# The data does not outlive the server, so nothing needs to reach the disk.
UNSAFE_BUT_FAST = (
    "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0",
    "--skip-innodb-doublewrite", "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--skip-name-resolve",
)  # fmt: skip


class MariadbServer:
    """A running server and its databases. ``ca_file`` is who has signed its certificate."""

    def __init__(self, folder: Path, port: int, certificate: Certificate) -> None:
        self.port = port
        self.ca_file = certificate.file
        self.socket = folder / "socket"
        self._numbers = count(1)

    def url(self, name: str) -> str:
        """Return the SQLAlchemy address of the database ``name`` for its owner."""
        return f"mysql+pymysql://root@/{name}?unix_socket={self.socket}"

    def tcp_url(self, name: str, host: str = "127.0.0.1", options: str = "") -> str:
        """Return an address for ``ACCOUNT``, who has ``PASSWORD`` and may read everything."""
        return f"mariadb://{ACCOUNT}@{host}:{self.port}/{name}{options}"

    def create(self) -> str:
        """Make a database and return its name."""
        name = f"crm_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        return name

    def drop(self, name: str) -> None:
        """Remove a database."""
        self.execute(f"DROP DATABASE {name}")

    def execute(self, statement: str, *values: str) -> None:
        """Let the administrator of the server do something."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _connect(self) -> Any:
        return pymysql.connect(user="root", unix_socket=str(self.socket), autocommit=True)


@contextmanager
def run_mariadb() -> Iterator[tuple[MariadbServer, RunningProcess]]:
    """Make and run a server while the block lasts; skip the test where none is installed.

    It has a certificate for 127.0.0.1, not for localhost.
    """
    program, install = _program("mariadbd"), _program("mariadb-install-db")
    owner = getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="schalter-my-"))  # a socket's path must be short
    try:
        certificate = make_certificate(folder, "IP:127.0.0.1")
        if owner is not None:
            for path in (folder, certificate.file, certificate.key):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        user, groups = (owner.pw_uid, [owner.pw_gid]) if owner is not None else (None, [])
        data = f"--datadir={folder}/data"
        subprocess.run(
            [install, "--no-defaults", data, "--auth-root-authentication-method=normal",
             "--skip-test-db", *UNSAFE_BUT_FAST],
            user=user, group=groups[0] if groups else None, extra_groups=groups or None,
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        port = free_port()
        with run_process(
            program, "--no-defaults", data, f"--socket={folder}/socket", f"--port={port}",
            "--bind-address=127.0.0.1", f"--pid-file={folder}/pid",
            f"--ssl-cert={certificate.file}", f"--ssl-key={certificate.key}", *UNSAFE_BUT_FAST,
            cwd=folder, owner=user, groups=groups or None,
        ) as process:  # fmt: skip
            server = MariadbServer(folder, port, certificate)
            process.wait_for_port(port)
            server.execute(f"CREATE USER {ACCOUNT} IDENTIFIED BY %s", PASSWORD)
            server.execute(f"GRANT SELECT ON *.* TO {ACCOUNT}")
            yield server, process
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("MariaDB tests: mariadb-server-core or mariadb-client-core is not installed")
    return found
