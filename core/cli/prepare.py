"""Making what every installation needs before it can be used: secret key and database."""

import os
from dataclasses import dataclass

from core.cli.instance import refuse_network_file_system
from core.config import Config
from core.db import Database
from core.migrate import current_revision, upgrade
from core.secret_key import ensure_secret_key


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``prepare`` did; ``database`` is ``created``, ``migrated`` or ``up to date``."""

    key_made: bool
    database: str


def prepare(config: Config, database: Database) -> Prepared:
    """Make key and database, or bring the database to the newest revision.

    An SQLite file is readable by its owner only: it holds everybody's mail.
    """
    if database.file is not None:
        refuse_network_file_system(database.file)
    key_made = ensure_secret_key(config.secret_key_file)
    before = os.umask(0o077)
    try:
        is_new = current_revision(database) is None
        migrated = upgrade(database)
    finally:
        os.umask(before)
    return Prepared(key_made, "created" if is_new else "migrated" if migrated else "is up to date")
