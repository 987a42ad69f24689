"""Many things taken a limited number at a time: values of a query, rows of a transaction."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of ``size``, the last one shorter; read on only as they are taken.

    (``itertools.batched`` came with Python 3.12.)
    """
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
