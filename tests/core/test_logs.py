"""One event, one line of JSON, whatever is in it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from core.logs import set_up_logging


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    set_up_logging("gateway", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json(lines: io.StringIO) -> None:
    logging.getLogger("gateway.smtp").info("connection from %s", "192.0.2.1")
    event = json.loads(lines.getvalue())
    assert event["level"] == "info"
    assert event["program"] == "gateway"
    assert event["event"] == "connection from 192.0.2.1"


def test_nothing_from_outside_begins_a_line(lines: io.StringIO) -> None:
    logging.getLogger("gateway").info("HELO %s", "a\r\n{}\x1b[2J\u2028forged")
    assert len(lines.getvalue().splitlines()) == 1
    assert json.loads(lines.getvalue())["event"] == "HELO a\r\n{}\x1b[2J\u2028forged"


def test_a_traceback_stays_on_its_line(lines: io.StringIO) -> None:
    try:
        raise RuntimeError("no database")
    except RuntimeError:
        logging.getLogger("core").exception("failed")
    assert lines.getvalue().count("\n") == 1
    assert "no database" in json.loads(lines.getvalue())["traceback"]


def test_dialogues_are_never_logged() -> None:
    set_up_logging("gateway", logging.DEBUG, io.StringIO())
    assert not logging.getLogger("mail.log").isEnabledFor(logging.DEBUG)
