"""What every command shares: configuration, database, and how a failure is told.

A failure is one line on stderr and exit status 1; wrong use is click's business and status 2.
"""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any

import click
from sqlalchemy.exc import DBAPIError

from core.audit import Actor
from core.config import Config, load_config
from core.db import Database
from core.errors import SchalterError
from core.models import Staff
from core.revision import check_revision
from core.words import ActorKind, Role


class Failure(click.ClickException):
    """A command that could not do what it was asked to; the message is shown as one line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the reason."""
        click.echo(f"schalter: {self.message}", file=file or sys.stderr)


class Console:
    """The surroundings of a command: made once per run, nothing is read before it is needed."""

    def __init__(self, config_file: str | None) -> None:
        self.config_file = config_file

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ``ConfigError``."""
        return load_config(self.config_file)

    @contextmanager
    def open_database(self) -> Iterator[Database]:
        """Give the database, whatever its revision. Raises ``DatabaseUnavailable``."""
        database = Database(self.config.database.url, managed_groups=self.config.managed_groups)
        try:
            yield database
        finally:
            database.dispose()

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Give the database at the revision that this program needs.

        Raises ``DatabaseUnavailable``; a missing SQLite file is not made by looking at it.
        """
        with self.open_database() as database:
            check_database(database)
            yield database


def check_database(database: Database) -> None:
    """Raise ``DatabaseUnavailable`` unless the database is there and at the needed revision."""
    database.check_file()
    check_revision(database)


pass_console = click.make_pass_decorator(Console)


def console_actor(command: str) -> Actor:
    """Return who acts when a command changes something: the audit log names the system account."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return Actor(ActorKind.SYSTEM, None, f"schalter {command} ({name})")


def console_reader() -> Staff:
    """Return whom core sees reading when a command reads: an admin that is stored nowhere.

    Whoever may run the command may read the database anyway.
    """
    return Staff(login="console", role=Role.ADMIN, valid=True)


def reason_of(error: Exception) -> str:
    """Return the one line that tells a failure."""
    if isinstance(error, DBAPIError):
        return f"database: {str(error.orig).strip().splitlines()[0]}"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, SchalterError):
        return str(error)
    return f"internal error, please report it: {type(error).__name__}: {error}"
