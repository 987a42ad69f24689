"""Many things taken a limited number at a time: values of a query, rows of a transaction."""

from collections.abc import Callable, Iterable, Iterator
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


def in_loads(
    items: Iterable[T], size: int, weigh: Callable[[T], int], limit: int
) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``; the one that reaches ``limit`` ends its list.

    So a list weighs less than ``limit`` but for its last item.
    """
    load: list[T] = []
    weight = 0
    for item in items:
        load.append(item)
        weight += weigh(item)
        if len(load) == size or weight >= limit:
            yield load
            load, weight = [], 0
    if load:
        yield load
