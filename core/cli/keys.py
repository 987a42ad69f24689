"""``schalter keys``: replace the secret key, and see which keys are still believed."""

from collections.abc import Iterator
from datetime import date

import click

from core.cli.console import Console, pass_console
from core.cli.output import json_option, print_json, print_table
from core.models import now
from core.secret_key import KeyRing, believed_until, load_key_ring, rotate_secret_key


@click.group("keys", short_help="Replace the secret key, or list the keys that are believed.")
def command() -> None:
    """Replace the secret key, or list the keys that are believed."""


@command.command("rotate", short_help="Replace the secret key by a new one.")
@pass_console
def rotate(console: Console) -> None:
    """Replace the secret key by a new one.

    Nothing is cut off: mail under way and links in it are believed for two years more. Running
    programs sign mail with the new key at once. Browsers' forms go on with the key that the
    portal started with; after its next start it takes the new one, and forms that are open then
    still work.
    """
    today = now().date()
    ring = rotate_secret_key(console.config.secret_key_file, today)
    click.echo(f"Secret key: {console.config.secret_key_file} has a new key")
    click.echo(
        f"What the one before it signed is believed until {believed_until(today)}; "
        f"keys in the file: {len(ring.retired) + 1}"
    )


@command.command("list", short_help="List the keys that are believed, without showing them.")
@json_option
@pass_console
def list_keys(console: Console, as_json: bool) -> None:
    """List the keys, the newest first: when each was replaced, and until when it is believed.

    The keys themselves are never shown.
    """
    rows = list(_rows(load_key_ring(console.config.secret_key_file), now().date()))
    if as_json:
        names = ("state", "replaced", "believed_until")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(("STATE", "REPLACED", "BELIEVED UNTIL"), rows)


def _rows(ring: KeyRing, today: date) -> Iterator[tuple[str, date | None, date | None]]:
    yield "in use", None, None
    for _key, replaced in ring.retired:
        until = believed_until(replaced)
        yield "believed" if today <= until else "expired", replaced, until
