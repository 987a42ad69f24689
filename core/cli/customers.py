"""``schalter customers``: customers and customer users as CSV files."""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from core.cli.console import Console, Failure, console_actor, pass_console
from core.cli.output import json_option, print_json, printable, progress, shown
from core.db import Database
from core.exchange.bring import Refused, bring_about, try_out
from core.exchange.columns import KINDS, Kind
from core.exchange.entries import (
    Columns,
    Entries,
    guess_columns,
    guess_kind,
    read_entries,
)
from core.exchange.plan import Action, Plan, Row, undo_states
from core.exchange.reading import MAX_BYTES, FileRefused, Sheet, read_sheet
from core.exchange.writing import export, record_export, write_sheet

MAX_FAULTS = 100  # that are told; the rest are counted

kind_option = click.option(
    "--kind", "kind_name", type=click.Choice(list(KINDS)), help="What the file is about."
)


@click.group("customers", short_help="Import and export customers and customer users (CSV).")
def command() -> None:
    """Import and export customers and customer users as CSV files."""


@command.command("import", short_help="Create and change what a file names.")
@click.argument("file", type=click.Path(path_type=Path))
@kind_option
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option(
    "--undo",
    type=click.Path(path_type=Path),
    help="Write a file that brings back how things were. It must not exist yet.",
)
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar='"COLUMN=FIELD"',
    help="What a column of the file stands for; COLUMN= leaves it out. May be repeated.",
)
@json_option
@pass_console
def import_(
    console: Console,
    file: Path,
    kind_name: str | None,
    dry_run: bool,
    undo: Path | None,
    maps: Sequence[str],
    as_json: bool,
) -> None:
    """Create and change customers or customer users as FILE says.

    A file with a column login is about customer users, any other about customers. Encoding
    (UTF-8, UTF-16, Windows-1252) and separator are found out, columns are known by their names in
    English and German. Fields without a column stay as they are. All or nothing: with any fault,
    which is told with its line and column, nothing is imported.
    """
    if dry_run and undo is not None:
        raise click.UsageError("--undo: a dry run changes nothing that could be undone")
    try:
        wanted = _read(file, kind_name, maps)
    except FileRefused as refused:
        raise Failure(f"{file}: {refused}") from None
    with console.database() as database:
        plan = _carry_out(database, wanted, dry_run=dry_run, undo=undo)
    if as_json:
        print_json(_as_json(plan, dry_run=dry_run))
    if plan.faults:
        _tell_faults(plan)
        raise Failure(f"{file}: {Refused(plan)}")
    if not as_json:
        _tell(plan, dry_run=dry_run)


@command.command("export", short_help="Write everything to a file.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--kind",
    "kind_name",
    type=click.Choice(list(KINDS)),
    default="users",
    show_default=True,
    help="What to write.",
)
@pass_console
def export_(console: Console, file: Path, kind_name: str) -> None:
    """Write all customer users, or all customers, to FILE ("-" is standard output).

    UTF-8 separated by semicolons, as Excel opens it. Passwords are never written. What import
    reads from such a file is what was exported.
    """
    kind = KINDS[kind_name]
    with console.database() as database:
        with database.write() as session:
            record_export(session, console_actor("customers"), kind)
        with database.read() as session:
            if str(file) == "-":
                sys.stdout.buffer.writelines(export(session, kind))
            else:
                _replace(file, export(session, kind))


def _read(file: Path, kind_name: str | None, maps: Sequence[str]) -> Entries:
    if file.stat().st_size > MAX_BYTES:
        raise FileRefused(f"larger than {MAX_BYTES} bytes")
    sheet = read_sheet(file.read_bytes())
    kind = KINDS[kind_name] if kind_name else guess_kind(sheet)
    return read_entries(sheet, kind, _columns(sheet, kind, maps))


def _columns(sheet: Sheet, kind: Kind, maps: Sequence[str]) -> Columns:
    """Return the field of each column: as asked for, else by its name, which must be known."""
    asked = dict(_mapped(kind, each) for each in maps)
    for header in asked:
        if header not in sheet.header:
            raise click.UsageError(f'--map: the file has no column "{header}"')
    guessed = guess_columns(sheet, kind)
    found: list[str | None] = []
    for header, field in zip(sheet.header, guessed, strict=True):
        if header in asked:
            found.append(asked[header])
        elif field in asked.values():
            found.append(None)  # another column was said to stand for it
        elif field is None and header:
            raise FileRefused(
                f'the column "{header}" is not known: say what it is with --map "{header}=FIELD",'
                f' or leave it out with --map "{header}="'
            )
        else:
            found.append(field)
    return found


def _mapped(kind: Kind, text: str) -> tuple[str, str | None]:
    header, equals, field = text.rpartition("=")
    names = [column.name for column in kind.columns]
    if not equals or (field and field not in names):
        raise click.UsageError(
            f'--map "{text}": write COLUMN=FIELD, with one of {", ".join(names)}'
        )
    return " ".join(header.split()), field or None


def _carry_out(database: Database, wanted: Entries, *, dry_run: bool, undo: Path | None) -> Plan:
    """Return the plan; it was brought about unless there are faults or this is a dry run."""
    entries = wanted.entries
    if dry_run:
        with database.read() as session, progress(entries, len(entries), "Comparing") as each:
            return try_out(session, wanted, each)
    written: Path | None = None
    try:
        with ExitStack() as stack:
            session = stack.enter_context(database.write())
            each = stack.enter_context(progress(entries, len(entries), "Importing"))
            plan = bring_about(session, console_actor("customers"), wanted, in_turn=each)
            if undo is not None:
                _create(undo, write_sheet(plan.kind, undo_states(plan)))
                written = undo
    except Refused as refused:
        return refused.plan
    except BaseException:
        if written is not None:
            written.unlink(missing_ok=True)  # nothing was imported, so there is nothing to undo
        raise
    return plan


def _create(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file that only its owner can read. Raises ``OSError`` where there is one."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def _replace(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a file as a whole, or leave what was there; only its owner can read it."""
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
        try:
            for piece in pieces:
                out.write(piece)
            out.flush()
            Path(out.name).replace(file)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise


def _tell_faults(plan: Plan) -> None:
    for fault in plan.faults[:MAX_FAULTS]:
        click.echo(printable(str(fault)), file=sys.stderr)
    rest = len(plan.faults) - MAX_FAULTS
    if rest > 0:
        click.echo(f"and {rest} more", file=sys.stderr)


def _tell(plan: Plan, *, dry_run: bool) -> None:
    for row in plan.rows:
        if row.action is not Action.UNCHANGED:
            click.echo(_line(row))
    counts = ", ".join(f"{count} {action}" for action, count in plan.counts.items())
    click.echo(f"{counts}.")
    if dry_run:
        click.echo("Dry run: nothing was changed.")


def _line(row: Row) -> str:
    start = f'line {row.line}: {row.action} "{printable(row.key)}"'
    if row.action is Action.NEW:
        return start
    parts = [f"{name} {shown(old)} -> {shown(new)}" for name, (old, new) in row.fields.items()]
    return f"{start}: {'; '.join(parts)}"


def _as_json(plan: Plan, *, dry_run: bool) -> dict[str, object]:
    return {
        "kind": plan.kind.name,
        "dry_run": dry_run,
        "imported": not dry_run and not plan.faults,
        "counts": {action.value: count for action, count in plan.counts.items()},
        "rows": [
            {
                "line": row.line,
                "key": row.key,
                "action": row.action,
                "fields": {n: {"old": old, "new": new} for n, (old, new) in row.fields.items()},
            }
            for row in plan.rows
            if row.action is not Action.UNCHANGED
        ],
        "faults": [
            {"line": fault.line, "column": fault.column, "text": fault.text}
            for fault in plan.faults
        ],
    }
