"""Many things taken a limited number at a time, or a limited weight."""

from collections.abc import Iterator

import pytest

from core.portions import in_loads, in_portions

# What is taken, at most how many, the weight that ends a list, and the lists.
LOADS: list[tuple[list[int], int, int, list[list[int]]]] = [
    ([], 3, 10, []),
    ([1, 1, 1, 1], 3, 10, [[1, 1, 1], [1]]),
    ([4, 5, 1, 2], 3, 10, [[4, 5, 1], [2]]),
    ([4, 5, 7, 2], 9, 10, [[4, 5, 7], [2]]),
    ([99, 1, 99], 9, 10, [[99], [1, 99]]),
    ([0, 0], 9, 10, [[0, 0]]),
]


@pytest.mark.parametrize(("items", "size", "limit", "loads"), LOADS)
def test_loads(items: list[int], size: int, limit: int, loads: list[list[int]]) -> None:
    assert list(in_loads(items, size, int, limit)) == loads


def test_nothing_is_read_before_it_is_wanted() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            read.append(number)
            yield number

    assert next(in_loads(items(), 2, int, 100)) == [0, 1]
    assert read == [0, 1]
    read.clear()
    assert next(in_portions(items(), 3)) == [0, 1, 2]
    assert read == [0, 1, 2]
