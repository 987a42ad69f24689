"""At which revision a database is, and which one this program needs.

Every program asks when it starts, so this does without Alembic, which takes longer to import than
all of its own code; only ``core.migrate`` needs that.
"""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, inspect, select
from sqlalchemy.exc import DBAPIError

from core.db import Database
from core.errors import DatabaseUnavailable

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_FILE_NAME = re.compile(r"(\d{4})_\w+\.py")  # a revision is called by the number of its file
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32)))


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
            if not inspect(connection).has_table(_VERSION.name):
                return None
            return connection.scalars(select(_VERSION.c.version_num)).one_or_none()
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseUnavailable(f"database {database.address}: {reason}") from None


@cache
def newest_revision() -> str:
    """Return the revision that this program needs."""
    names = (_FILE_NAME.fullmatch(path.name) for path in VERSIONS.iterdir())
    return max(found[1] for found in names if found)
