"""``schalter check``: is everything in order?"""

from collections.abc import Iterator
from dataclasses import asdict

import click

from core.cli.console import Console, Failure, pass_console
from core.cli.output import json_option, print_json, printable
from core.errors import ConfigError, DatabaseUnavailable
from core.health import Check, State, check_all


@click.command("check", short_help="Check configuration, database, outbox, disk, relay and DNS.")
@json_option
@pass_console
def command(console: Console, as_json: bool) -> None:
    """Check configuration, database, migrations, outbox, disk, relay and DNS: one line each.

    Exit status 1 if any of them failed; a warning is no failure.
    """
    checks: list[Check] = []
    for check in _checks(console):
        checks.append(check)
        if not as_json:
            click.echo(printable(f"{check.name:<14} {check.state:<8} {check.text}"))
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    failed = [check.name for check in checks if check.state is State.FAILED]
    if failed:
        raise Failure(f"failed: {', '.join(failed)}")


def _checks(console: Console) -> Iterator[Check]:
    """Give the checks; what keeps the rest from being checked is one, too."""
    try:
        config = console.config
    except ConfigError as error:
        yield Check("configuration", State.FAILED, str(error))
        return
    try:
        with console.open_database() as database:
            yield from check_all(config, database)
    except DatabaseUnavailable as error:  # the address itself is none
        yield Check("database", State.FAILED, str(error))
