"""An installation for the console: a database, a key, an environment that names both."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core.cli import main
from core.db import Database
from core.secret_key import ensure_secret_key
from tests.support.processes import free_port

SCHALTER = Path(sys.executable).with_name("schalter")


@dataclass(frozen=True)
class Installation:
    """Where the console works. ``run`` is quick, ``process`` is the real program."""

    folder: Path
    database: Database
    env: Mapping[str, str]

    def run(self, *arguments: str | Path, stdin: bytes = b"", **env: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(
            main, [str(each) for each in arguments], input=stdin, env={**self.env, **env}
        )

    def json(self, *arguments: str | Path, stdin: bytes = b"") -> Any:
        """Run a command that must succeed, and return its JSON document."""
        result = self.run(*arguments, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def process(
        self, *arguments: str | Path, stdin: bytes = b"", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a program of its own, in the installation's folder."""
        done = subprocess.run(
            [SCHALTER, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, **self.env, **env},
            timeout=60,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def file(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def an_installation(folder: Path, database: Database) -> Installation:
    """Return an installation of this database, listening on free ports."""
    ensure_secret_key(str(folder / "secret.key"))
    env = {
        "SCHALTER_DATABASE__URL": database.url.render_as_string(hide_password=False),
        "SCHALTER_SECRET_KEY_FILE": str(folder / "secret.key"),
        "SCHALTER_SMTP__LISTEN": f"127.0.0.1:{free_port()}",
        "SCHALTER_WEB__LISTEN": f"127.0.0.1:{free_port()}",
    }
    return Installation(folder, database, env)


@pytest.fixture
def installation(database: Database, tmp_path: Path) -> Installation:
    """An installation on each system in turn."""
    return an_installation(tmp_path, database)


@pytest.fixture
def small_installation(sqlite_database: Database, tmp_path: Path) -> Installation:
    """An installation on SQLite, where the system does not matter."""
    return an_installation(tmp_path, sqlite_database)


def one_line(result: Result | subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed command has on stderr."""
    lines: Sequence[str] = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]
