"""How far a long answer has come, for the page that waits for it.

Kept in the memory of this process: where several portals share the work, the one that is asked may
not know, and then the page shows a bar without an end.
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from portal.visitors import the_viewer

MAX_FOLLOWED = 100  # answers in the making; the oldest are forgotten
_TOKEN_BYTES = 12

T = TypeVar("T")

_Whose = tuple[int | None, str]

_lock = Lock()
_shares: OrderedDict[_Whose, float] = OrderedDict()  # by account and token


def new_token() -> str:
    """Return a name for an answer that a form on this page may ask for."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@contextmanager
def followed(items: Sequence[T], token: str) -> Iterator[Iterator[T]]:
    """Give the items one by one, so that ``share_done`` knows how far they have been taken."""
    whose = (the_viewer().actor.id, token)
    _note(whose, 0.0)

    def in_turn() -> Iterator[T]:
        for done, item in enumerate(items, 1):
            yield item
            _note(whose, done / len(items))

    try:
        yield in_turn()
    finally:
        with _lock:
            _shares.pop(whose, None)


def share_done(token: str) -> float | None:
    """Return how much of an answer to this account is done, 0 to 1; None where nobody knows."""
    with _lock:
        return _shares.get((the_viewer().actor.id, token))


def _note(whose: _Whose, share: float) -> None:
    with _lock:
        _shares[whose] = share
        while len(_shares) > MAX_FOLLOWED:
            _shares.popitem(last=False)
