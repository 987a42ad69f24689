"""What the address of a page asks for: words, ids and days, which anybody can type.

What is none of ours is as if it were not there: a page never fails for its address.
"""

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar

from flask import request

from core.mail.text import one_line
from core.models import MAX_ID
from portal.languages import time_zone

Word = TypeVar("Word", bound=StrEnum)

MAX_TEXT = 200  # characters of a search


def text_of_request(name: str) -> str:
    """Return a text as one line, "" for none."""
    return one_line(request.args.get(name, "")[:MAX_TEXT])


def word_of_request(name: str, words: type[Word]) -> Word | None:
    """Return one of our words."""
    return next((word for word in words if word == request.args.get(name)), None)


def id_of_request(name: str) -> int | None:
    """Return the id of something; whether it exists is asked elsewhere."""
    found = request.args.get(name, type=int)
    return found if found is not None and 0 < found <= MAX_ID else None


def day_of_request(name: str) -> date | None:
    """Return a day."""
    try:
        found = date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
    return found if 2000 <= found.year <= 2999 else None  # no clock of ours tells others


def begin(day: date | None) -> datetime | None:
    """Return when a day begins for the reader of this page."""
    return None if day is None else datetime.combine(day, time.min, tzinfo=time_zone())


def end(day: date | None) -> datetime | None:
    """Return when a day is over for the reader of this page."""
    return begin(None if day is None else day + timedelta(days=1))
