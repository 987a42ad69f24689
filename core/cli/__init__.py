"""The console command ``schalter``."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from core.cli.console import Console, Failure, reason_of

MODULES: Mapping[str, str] = {
    "init": "core.cli.init",
    "serve": "core.cli.serve",
    "demo": "core.cli.demo",
    "apply": "core.cli.apply",
    "deliver": "core.cli.deliver",
    "explain": "core.cli.explain",
    "ticket": "core.cli.tickets",
    "mail": "core.cli.mails",
    "permissions": "core.cli.permissions",
    "customers": "core.cli.customers",
    "sources": "core.cli.sources",
    "check": "core.cli.check",
    "keys": "core.cli.keys",
}


class Commands(click.Group):
    """The commands, in the order in which one needs them.

    Each is imported when it is used: a mail server's pipe starts ``deliver`` for every mail and
    should not wait for the rest.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None for an unknown name."""
        if cmd_name not in MODULES:
            return None
        command: click.Command = importlib.import_module(MODULES[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever fails becomes one line."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click tells these itself
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            raise Failure(reason_of(error)) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    metavar="FILE",
    help="Configuration file. Default: SCHALTER_CONFIG, else schalter.toml here, else defaults.",
)
@click.option("--traceback", is_flag=True, help="Show where in the program a failure happened.")
@click.version_option(package_name="schalter")
@click.pass_context
def main(context: click.Context, config: str | None, traceback: bool) -> None:
    """Take in support mail, and file it only where its customer's groups allow.

    A first look, on this machine only: schalter demo. A real installation: init, then apply or
    the pages, then check, then serve.

    Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong use.
    """
    context.obj = Console(config)
