"""``schalter serve``: gateway, portal and worker as child processes."""

import errno
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from core.cli.console import Console, check_database, pass_console
from core.cli.instance import PROGRAMS, refuse_network_file_system, served_once
from core.cli.supervisor import Program, Supervisor
from core.config import DEFAULT_FILE, UNIX, Config, split_host_port
from core.errors import ConfigError
from core.secret_key import load_secret_key

WORKER_DELAY = 2.0  # seconds: nobody waits for the worker, but for pages and mail


@click.command("serve", short_help="Run gateway, portal and worker until told to stop.")
@click.option(
    "--only",
    type=click.Choice(PROGRAMS),
    help="Run just this program, where systemd or containers look after each.",
)
@pass_console
def command(console: Console, only: str | None) -> None:
    """Run the programs of Schalter: gateway (mail), portal (pages) and worker (what is due).

    A program that crashes is started again, after a growing pause. SIGTERM or Ctrl-C stops all
    of them cleanly: what was accepted is committed first. Their logs go to stderr, one JSON
    document per line.

    Configuration, secret key, database and addresses are checked before anything starts.
    """
    names = (only,) if only else PROGRAMS
    with checked_to_serve(console, names):
        if os.geteuid() == 0:
            click.echo("Running as root: better give Schalter an account of its own.", err=True)
        Supervisor(programs(console.config, names), environment(console), say=click.echo).run()


@contextmanager
def checked_to_serve(console: Console, names: Sequence[str]) -> Iterator[None]:
    """Make sure that these programs can run; while the block lasts, nobody else may run them.

    Raises ``ConfigError`` or ``DatabaseUnavailable`` with what is in the way.
    """
    config = console.config
    load_secret_key(config.secret_key_file)
    with console.open_database() as database:
        check_database(database)
        file = database.file
    if file is None:
        check_addresses(config, names)
        yield
        return
    refuse_network_file_system(file)
    with served_once(file, names):
        check_addresses(config, names)
        yield


def programs(config: Config, names: Sequence[str]) -> Sequence[Program]:
    """Return the programs with these names."""
    lmtp = f", LMTP {config.smtp.lmtp_listen}" if config.smtp.lmtp_listen else ""
    every = {
        "gateway": Program("gateway", "gateway", f", SMTP {config.smtp.listen}{lmtp}"),
        "portal": Program("portal", "portal", f", {config.public_url}"),
        "worker": Program("worker", "core.worker", "", WORKER_DELAY if len(names) > 1 else 0.0),
    }
    return [every[name] for name in names]


def environment(console: Console) -> Mapping[str, str]:
    """Return what children need to know to read the same configuration."""
    chosen = console.config_file or os.environ.get("SCHALTER_CONFIG")
    if chosen is None and not Path(DEFAULT_FILE).exists():
        return {}
    return {"SCHALTER_CONFIG": str(Path(chosen or DEFAULT_FILE).absolute())}


def check_addresses(config: Config, names: Sequence[str]) -> None:
    """Raise ``ConfigError`` unless each address to listen on can be had."""
    addresses = {
        "gateway": (
            ("smtp.listen", config.smtp.listen),
            ("smtp.lmtp_listen", config.smtp.lmtp_listen),
        ),
        "portal": (("web.listen", config.web.listen),),
        "worker": (),
    }
    for name in names:
        for key, address in addresses[name]:
            if address.startswith(UNIX):
                _check_free(key, Path(address.removeprefix(UNIX)))
            elif address:
                _check_bindable(key, address)


def _check_bindable(key: str, address: str) -> None:
    """Listen there for an instant, as the program itself will."""
    host, port = split_host_port(address)
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
        raise ConfigError(f"{key}: cannot listen on {address}: {reason}") from None


def _check_free(key: str, path: Path) -> None:
    """Refuse a socket file on which somebody answers; one that a crash left is the gateway's."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        raise ConfigError(f"{key}: cannot listen on {path}: is in use")
