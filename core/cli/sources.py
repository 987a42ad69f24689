"""``schalter sources``: customer data that is kept in other databases."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import click
from sqlalchemy import select

from core.cli.console import Console, Failure, console_actor, pass_console
from core.cli.output import json_option, print_json, print_table, printable, progress
from core.cli.source_renames import match, renames
from core.models import RecordConflict, now
from core.sources.adopt import Adoption, adopt, plan_adoption
from core.sources.configured import open_sources
from core.sources.mirroring.passes import Busy, read_all
from core.sources.mirroring.schedule import due_at
from core.sources.mirroring.verdicts import Tally
from core.sources.overview import KnownSource, known_sources
from core.sources.source import CustomerSource, SourceAway


@click.group("sources", short_help="Customer data that is kept in other databases.")
def command() -> None:
    """Read the customer sources of the configuration, and tell how they are.

    An earlier source is preferred to a later one, and what is kept in Schalter to any.
    """


@command.command("sync")
@click.argument("name", required=False)
@click.option(
    "--accept-loss", is_flag=True, help="Believe a source that lacks most of what it had."
)
@json_option
@pass_console
def sync(console: Console, name: str | None, accept_loss: bool, as_json: bool) -> None:
    """Read all records of the source NAME, or of every source in their order.

    New and changed records are brought in; accounts whose records are gone become invalid and
    keep their tickets, but not if that were more than half of all. The worker does the same by
    itself every sync_minutes, and when an admin asks for it on the page of customer sources. Exit
    status 1 if a source failed: then no account of that source has become invalid for want of a
    record.
    """
    if accept_loss and name is None:
        raise click.UsageError("--accept-loss needs the NAME of a source")
    tallies: dict[str, Tally] = {}
    failed: list[str] = []
    with console.database() as database, open_sources(console.config) as sources:
        names = [source.name for source in sources]
        for source in _chosen(sources, name):
            try:
                count = source.count()
                with progress(source.all_records(), count, source.name) as records:
                    tallies[source.name] = read_all(
                        database, source, names, records, accept_loss=accept_loss
                    )
            except (SourceAway, Busy) as error:
                failed.append(str(error))
                continue
            if not as_json:
                click.echo(f"{source.name}: {_told(tallies[source.name])}")
    if as_json:
        print_json({"sources": {name: asdict(tally) for name, tally in tallies.items()}})
    if failed:
        raise Failure(printable("; ".join(failed)))


@command.command("list")
@json_option
@pass_console
def list_(console: Console, as_json: bool) -> None:
    """List the sources in their order, with what is known of each; none of them is asked.

    READ tells how long ago all records were read, NEXT when the worker does it again.
    """
    with console.database() as database, database.read() as session:
        known = known_sources(session, console.config.customer_sources)
    if as_json:
        print_json({"sources": [_source(each) for each in known]})
    elif known:
        headings = ("NAME", "STATE", "RECORDS", "CONFLICTS", "READ", "NEXT", "ERROR")
        print_table(headings, map(_source_row, known))
    else:
        click.echo("No customer sources are configured.")


def _source(known: KnownSource) -> dict[str, object]:
    state, read = known.state, known.state.last_pass_at
    return {
        "name": known.section.name,
        "state": known.standing,
        "records": state.records,
        "accounts": known.copies.accounts,
        "gone": known.copies.gone,
        "conflicts": known.conflicts,
        "contact": state.last_contact_at,
        "read": read,
        "age_seconds": int((now() - read).total_seconds()) if read is not None else None,
        "next": due_at(known.section, state),
        "error": state.last_error or None,
    }


def _source_row(known: KnownSource) -> Sequence[object]:
    state, due = known.state, due_at(known.section, known.state)
    read = f"{_span(now() - state.last_pass_at)} ago" if state.last_pass_at else "never"
    return (
        known.section.name,
        known.standing,
        state.records,
        known.conflicts,
        read,
        "when asked" if due is None else "now" if due <= now() else f"in {_span(due - now())}",
        state.last_error,
    )


def _span(time: timedelta) -> str:
    """Return a span of time as people say it, in the largest unit that fits."""
    seconds = max(0, int(time.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@command.command("conflicts")
@json_option
@pass_console
def conflicts(console: Console, as_json: bool) -> None:
    """List the records that could not be brought in, and addresses that several accounts have."""
    order = {section.name: place for place, section in enumerate(console.config.customer_sources)}
    with console.database() as database, database.read() as session:
        found = session.scalars(select(RecordConflict).order_by(RecordConflict.id)).all()
    rows = [
        {
            "source": each.source,
            "key": each.source_key,
            "login": each.login,
            "kind": each.kind,
            "detail": each.detail,
        }
        for each in sorted(found, key=lambda each: order.get(each.source, len(order)))
    ]
    if as_json:
        print_json({"conflicts": rows})
    elif rows:
        print_table([heading.upper() for heading in rows[0]], [list(row.values()) for row in rows])
    else:
        click.echo("There are no conflicts.")


@command.command("adopt")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@json_option
@pass_console
def adopt_(console: Console, name: str, dry_run: bool, as_json: bool) -> None:
    """Keep the accounts and customers of the source NAME here from now on, for good.

    They keep their tickets, groups and preferences; who has signed in while the source had
    keep_passwords keeps the password, and the others get one by "forgot password". Afterwards
    remove the source from the configuration: it takes no account back, and its records would be
    listed as conflicts.
    """
    with console.database() as database:
        with database.read() as session:
            plan = plan_adoption(session, name)
        is_configured = name in {section.name for section in console.config.customer_sources}
        if not (plan.accounts or plan.customers or is_configured):
            raise Failure(printable(f"there is no customer source {name}"))
        if not dry_run:
            plan = adopt(database, console_actor("sources adopt"), name)
    if as_json:
        print_json({"dry_run": dry_run, **asdict(plan)})
        return
    click.echo(f"{name}: {_told(plan)}")
    if dry_run:
        click.echo("Nothing was changed: this was a dry run.")
    elif is_configured:
        click.echo("Now remove this source from the configuration, and restart the services.")


command.add_command(renames)
command.add_command(match)


def _chosen(sources: Sequence[CustomerSource], name: str | None) -> Sequence[CustomerSource]:
    chosen = [source for source in sources if name in (None, source.name)]
    if chosen:
        return chosen
    if name is None:
        raise Failure("no customer sources are configured")
    raise Failure(f"there is no customer source {name}")


def _told(tally: Tally | Adoption) -> str:
    return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in asdict(tally).items())
