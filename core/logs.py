"""Logging of every program: one JSON document per line on stderr.

JSON escapes control characters, so nothing that a client sends can forge a line (threat O2). What
libraries would log of a dialogue or a message stays off, whatever the level.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

# aiosmtpd logs whole lines of DATA and AUTH at DEBUG.
_NEVER_BELOW_INFO = ("mail.log", "mail.debug", "asyncio", "waitress")
# SQLAlchemy logs statements with their values at INFO: passwords and mail.
_NEVER_BELOW_WARNING = ("sqlalchemy", "alembic")


class JsonLines(logging.Formatter):
    """One event as one line; a traceback is a field of it."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as a JSON document without line ends."""
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "program": self._program,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event)


def set_up_logging(program: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send the events of this process to stderr (or ``stream``) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(program))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NEVER_BELOW_INFO:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    for name in _NEVER_BELOW_WARNING:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
