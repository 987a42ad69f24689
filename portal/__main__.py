"""The portal as a program: ``python -m portal [--config FILE]``, until SIGTERM."""

import argparse
import logging
import signal
import sys
from functools import partial
from types import FrameType
from urllib.parse import urlsplit

from flask import g
from waitress import create_server
from waitress.server import MultiSocketServer, WSGIServer

from core.config import Config, load_config
from core.db import Database
from core.errors import SchalterError
from core.logs import set_up_logging
from core.organisation import Organisation
from core.revision import check_revision
from core.settings import Settings, load_settings
from portal.app import FORM_OVERHEAD, create_app

log = logging.getLogger(__name__)

THREADS = 8
MAX_CONNECTIONS = 400
IDLE_SECONDS = 60
MAX_HEADER_BYTES = 32 * 1024
# A body somewhat over the limit is read to its end, so that the browser shows our page about it
# and not a broken connection; one beyond this is cut off.
BODY_TOLERANCE = 2


def main() -> int:
    """Serve the pages; return the exit status: 0 stopped, 1 could not start."""
    parser = argparse.ArgumentParser(prog="portal", description="Serve the pages of Schalter.")
    parser.add_argument("--config", metavar="FILE", help="configuration file")
    options = parser.parse_args()
    set_up_logging("portal")
    try:
        config = load_config(options.config)
        server = make_server(
            config, Database(config.database.url, managed_groups=config.managed_groups)
        )
    except SchalterError as error:
        print(f"portal: {error}", file=sys.stderr)  # noqa: T201 - a program tells why it ends
        return 1
    except OSError as error:
        reason = f"web.listen {config.web.listen}: {error.strerror}"
        print(f"portal: {reason}", file=sys.stderr)  # noqa: T201 - a program tells why it ends
        return 1
    signal.signal(signal.SIGTERM, _stop)
    log.info("listening on %s", config.web.listen)
    server.run()  # returns after SIGTERM, when running requests are answered
    log.info("stopped")
    return 0


def make_server(config: Config, database: Database) -> WSGIServer | MultiSocketServer:
    """Return the server, listening.

    Raises ``DatabaseUnavailable``, ``ConfigError``, and ``OSError`` when the port is taken.
    """
    check_revision(database)
    app = create_app(config, database)
    with database.read() as session:
        settings = load_settings(session)
    proxies = config.web.trusted_proxies
    behind_proxies = {
        "trusted_proxy": "*",
        "trusted_proxy_count": proxies,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"},
    }
    server = create_server(
        app,
        listen=config.web.listen,
        threads=THREADS,
        url_prefix=urlsplit(config.public_url).path,
        connection_limit=MAX_CONNECTIONS,
        channel_timeout=IDLE_SECONDS,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=_longest_body(settings),
        clear_untrusted_proxy_headers=True,
        ident=None,
        **(behind_proxies if proxies else {}),
    )
    app.before_request(partial(_follow_upload_limit, server))
    return server


def _longest_body(settings: Settings) -> int:
    return BODY_TOLERANCE * (settings.upload_max_bytes + FORM_OVERHEAD)


def _follow_upload_limit(server: WSGIServer | MultiSocketServer) -> None:
    """Let waitress read as much as the settings allow now: an admin may have changed them."""
    known: Organisation | None = g.get("organisation")
    if known is None:  # a file of ours, for which nobody has asked the database
        return
    limit = _longest_body(known.settings)
    is_one = isinstance(server, WSGIServer)
    for listener in [server] if is_one else server.map.values():  # "localhost" may be two
        if isinstance(listener, WSGIServer):
            listener.adj.max_request_body_size = limit


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)  # waitress ends its loop, then waits for its threads


if __name__ == "__main__":
    sys.exit(main())
