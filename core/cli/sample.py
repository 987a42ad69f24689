"""Loading the sample organisation: once, into a database that nobody uses."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.apply.bring import bring_about
from core.apply.wanted import read_wanted
from core.audit import Actor
from core.cli.apply import hash_passwords
from core.cli.console import Failure
from core.db import Database
from core.models import Customer, Queue, Staff


def load_sample(database: Database, actor: Actor, file: Path, mark: tuple[str, str]) -> None:
    """Load the organisation of a file, and mark that by an audit event (action, object kind).

    Raises ``Failure`` for a database with anything else in it: the passwords are known.
    """
    wanted = read_wanted(file)
    with database.read() as session:
        if not _is_empty(session):
            raise Failure(
                f"database {database.address}: it is in use, and the sample organisation has "
                'passwords that everybody knows: name another database, or use "schalter serve"'
            )
        passwords = hash_passwords(session, wanted, "Sample organisation")
    with database.write() as session:
        for _change in bring_about(session, actor, wanted, passwords):
            pass
        action, kind = mark
        audit.record(session, actor, action, kind, None, file.name)


def _is_empty(session: Session) -> bool:
    """Whether nobody has begun to work with the database, apart from ``schalter init``."""
    return not any(
        session.scalars(statement.limit(1)).first()
        for statement in (
            select(Customer.id),
            select(Queue.id),
            select(Staff.id).where(~Staff.must_change_password),
        )
    )
