"""Making what every installation needs before it can be used: secret key and database."""

import importlib
import os
from dataclasses import dataclass

from core.cli.instance import refuse_network_file_system
from core.config import Config
from core.db import Database
from core.revision import current_revision, newest_revision
from core.secret_key import ensure_secret_key


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``prepare`` did; ``database`` says what became of that."""

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
        revision = current_revision(database)
        if revision == newest_revision():
            return Prepared(key_made, "is up to date")
        # Imported when it is needed, once a release: every other start is faster for it.
        importlib.import_module("core.migrate").upgrade(database)
    finally:
        os.umask(before)
    return Prepared(key_made, "created" if revision is None else "migrated")
