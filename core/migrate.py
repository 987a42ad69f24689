"""Bringing a database to the revision that this program needs."""

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError

from core.db import Database
from core.errors import DatabaseUnavailable
from core.revision import VERSIONS, current_revision, newest_revision


def upgrade(database: Database) -> bool:
    """Bring the database to the newest revision, in one transaction; repeatable.

    Returns whether anything was done. Raises ``DatabaseUnavailable`` when there is no connection
    or when the database is newer than this program.
    """
    database.check_connection()
    if current_revision(database) == newest_revision():
        return False
    try:
        with database.writer.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnavailable(f"database {database.address}: {error}") from None
    return True


def alembic_config() -> AlembicConfig:
    """Return Alembic's configuration: it has no file."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    return config
