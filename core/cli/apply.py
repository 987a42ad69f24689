"""``schalter apply``: bring the organisation to what a file says."""

from collections.abc import Sequence
from pathlib import Path

import click
from sqlalchemy.orm import Session

from core.apply.bring import Change, NewPasswords, bring_about, new_passwords, password_count
from core.apply.wanted import Wanted, read_wanted
from core.audit import Actor
from core.cli.console import Console, console_actor, pass_console
from core.cli.output import json_option, print_json, printable, progress, shown
from core.db import Database


class _Undo(Exception):
    """Ends a transaction without keeping it: what a dry run was for."""


@click.command(
    "apply", short_help="Bring groups, queues, accounts and settings to what a file says."
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@json_option
@pass_console
def command(console: Console, file: Path, dry_run: bool, as_json: bool) -> None:
    """Bring groups, queues, customers, customer users, staff and settings to what FILE says.

    FILE is TOML with the tables [settings], [[groups]], [[queues]], [[customers]],
    [[customer_users]] and [[staff]]. What it does not mention stays as it is. Applying it again
    changes nothing. All or nothing: with the first mistake, which is told with its line and key,
    nothing is applied.
    """
    with console.database() as database:
        changes = apply_file(database, console_actor("apply"), file, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "changes": [_as_json(each) for each in changes]})
        return
    for change in changes:
        click.echo(_line(change))
    if not changes:
        click.echo("Nothing to change.")
    elif dry_run:
        click.echo("Dry run: nothing was changed.")


def apply_file(
    database: Database, actor: Actor, file: Path, *, dry_run: bool = False
) -> Sequence[Change]:
    """Apply a file in one transaction and return what changed.

    Raises ``ApplyError`` and what the database raises; then nothing was applied.
    """
    wanted = read_wanted(file)
    with database.read() as session:
        passwords = hash_passwords(session, wanted, "Passwords")
    changes: list[Change] = []
    length = 1 + sum(map(len, wanted.entries.values()))
    try:
        with (
            database.write() as session,
            progress(bring_about(session, actor, wanted, passwords), length, "Applying") as done,
        ):
            changes.extend(change for change in done if change is not None)
            if dry_run:
                raise _Undo
    except _Undo:
        pass
    return changes


def hash_passwords(session: Session, wanted: Wanted, label: str) -> NewPasswords:
    """Return the hashes of the passwords that are new, with progress on a terminal."""
    with progress(new_passwords(session, wanted), password_count(wanted), label) as hashes:
        return {(kind, key): new for kind, key, new in hashes if new is not None}


def _line(change: Change) -> str:
    name = f' "{printable(change.name)}"' if change.name else ""
    if change.action == "created":
        parts = [f"{field} {shown(new)}" for field, (_old, new) in change.fields.items()]
    else:
        parts = [
            f"{field} {shown(old)} -> {shown(new)}" if field != "password" else "password set"
            for field, (old, new) in change.fields.items()
        ]
    details = f": {'; '.join(parts)}" if parts else ""
    return f"{change.action} {change.kind}{name}{details}"


def _as_json(change: Change) -> dict[str, object]:
    return {
        "action": change.action,
        "kind": change.kind,
        "name": change.name,
        "fields": {field: {"old": old, "new": new} for field, (old, new) in change.fields.items()},
    }
