"""Bringing a database to the revision that this program needs, and checking that it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

from core.db import Database
from core.errors import DatabaseUnavailable

_FOLDER = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> bool:
    """Bring the database to the newest revision, in one transaction; repeatable.

    Returns whether anything was done. Raises ``DatabaseUnavailable`` when there is no connection
    or when the database is newer than this program.
    """
    database.check_connection()
    before = current_revision(database)
    if before == newest_revision():
        return False
    try:
        with database.writer.begin() as connection:
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnavailable(f"database {database.address}: {error}") from None
    return True


def check_revision(database: Database) -> None:
    """Raise ``DatabaseUnavailable`` unless the database is at the newest revision."""
    database.check_connection()
    revision = current_revision(database)
    if revision != newest_revision():
        found = f"is at revision {revision}" if revision else "is empty"
        raise DatabaseUnavailable(
            f"database {database.address} {found}, this program needs {newest_revision()}: "
            'run "schalter init"'
        )


def current_revision(database: Database) -> str | None:
    """Return the revision the database is at, None for an empty one."""
    try:
        with database.reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseUnavailable(f"database {database.address}: {reason}") from None


def newest_revision() -> str:
    """Return the revision that this program needs."""
    return str(ScriptDirectory.from_config(_alembic_config()).get_current_head())


def _alembic_config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
