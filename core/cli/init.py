"""``schalter init``: secret key, database, first admin."""

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.passwords import hash_password, new_one_time_password, set_password
from core.accounts.staff import StaffValues, save_staff
from core.audit import Actor
from core.cli.console import Console, console_actor, pass_console
from core.cli.prepare import prepare
from core.db import Database
from core.models import Staff
from core.words import Role

FIRST_ADMIN = "admin"
NOBODYS_ADDRESS = "admin@schalter.example"  # RFC 2606: until the admin enters their own


@click.command("init", short_help="Create or migrate the database, make the first admin.")
@click.option(
    "--admin-email", metavar="ADDRESS", default=NOBODYS_ADDRESS, help="Address of the first admin."
)
@pass_console
def command(console: Console, admin_email: str) -> None:
    """Create the database or bring it to the newest version, and make the first admin.

    Makes the secret key file, too. Repeatable: what is there already stays. The admin's one-time
    password is printed once and stored nowhere.
    """
    with console.open_database() as database:
        done = prepare(console.config, database)
        password = make_first_admin(database, console_actor("init"), admin_email)
    made = "made" if done.key_made else "is there already"
    click.echo(f"Secret key: {console.config.secret_key_file} {made}")
    click.echo(f"Database: {database.address} {done.database}")
    if password is None:
        click.echo("Admin: there is one already")
        return
    click.echo(f'Admin: login "{FIRST_ADMIN}", one-time password {password}')
    click.echo("Note the password now: it is stored nowhere, and must be changed at first sign-in.")
    click.echo('Next: "schalter check", then "schalter serve".')


def make_first_admin(database: Database, actor: Actor, email: str) -> str | None:
    """Make an admin unless there is one; return the one-time password of a new one."""
    with database.read() as session:
        if _has_admin(session):
            return None
    password = new_one_time_password()
    password_hash = hash_password(password)
    with database.write() as session:
        if _has_admin(session):  # somebody else ran this at the same moment
            return None
        values = StaffValues(login=FIRST_ADMIN, email=email, role=Role.ADMIN)
        admin = save_staff(session, actor, values)
        set_password(session, actor, admin, password_hash, one_time=True)
    return password


def _has_admin(session: Session) -> bool:
    """Whether there is an admin who needs no directory."""
    is_here = Staff.directory_key.is_(None)
    statement = select(Staff.id).where(Staff.role == Role.ADMIN, Staff.valid, is_here)
    return session.scalars(statement.limit(1)).one_or_none() is not None
