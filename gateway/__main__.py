"""The gateway as a program: ``python -m gateway``, configured as ``core.config`` says.

Ends with status 0 on SIGTERM or SIGINT, after everything accepted is committed; with status 1 and
one line on stderr when it cannot start.
"""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from core.config import UNIX, Config, load_config, split_host_port
from core.db import Database
from core.errors import ConfigError, SchalterError
from core.logs import set_up_logging
from core.revision import check_revision
from gateway.memory import return_big_blocks
from gateway.server import Gateway

PRIVILEGED_PORTS = 1024

log = logging.getLogger("gateway")


def main() -> None:
    """Run until told to stop."""
    set_up_logging("gateway")
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the gateway logs what matters itself
    return_big_blocks()
    try:
        config = load_config()
        check_account(config)
        database = Database(config.database.url, managed_groups=config.managed_groups)
        check_revision(database)
        uvloop.run(serve(config, database))
    except SchalterError as error:
        sys.exit(f"schalter gateway: {error}")


async def serve(config: Config, database: Database) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopped.set)
    gateway = Gateway(config, database)
    await gateway.start()
    await stopped.wait()
    log.info("stopping")
    await gateway.stop()
    database.dispose()


def check_account(config: Config) -> None:
    """Refuse to take mail from the internet as root (threat O5).

    A low port needs no root: systemd hands the capability over, a container lowers
    ``net.ipv4.ip_unprivileged_port_start``, or a mail server in front delivers to a high port.
    On a high port, as in a container for a first look, root is only complained about.
    """
    if os.geteuid() != 0:
        return
    for key in ("listen", "lmtp_listen"):
        address: str = getattr(config.smtp, key)
        if not address or address.startswith(UNIX):
            continue
        if 0 < split_host_port(address)[1] < PRIVILEGED_PORTS:
            raise ConfigError(
                f"smtp.{key} {address}: not as root; give the program's own account the "
                "capability CAP_NET_BIND_SERVICE, or listen on a high port behind a mail server"
            )
    log.warning("running as root: give the gateway an account of its own")


if __name__ == "__main__":
    main()
