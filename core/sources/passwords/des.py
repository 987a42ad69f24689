"""DES as crypt(3) uses it: for comparing with old hashes of passwords, and for nothing else.

The tables are those of FIPS 46-3, where bit 1 is the leftmost one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

_INITIAL = [first - 8 * step for first in (58, 60, 62, 64, 57, 59, 61, 63) for step in range(8)]
_LAST = [_INITIAL.index(place) + 1 for place in range(1, 65)]  # its inverse
_P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
      2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25]  # fmt: skip
_KEY_LEFT = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18,
             10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36]  # fmt: skip
_KEY_RIGHT = [63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22,
              14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4]  # fmt: skip
_ROUND_KEY = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13,
              2, 41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42,
              50, 36, 29, 32]  # fmt: skip
_SHIFTS = list(accumulate([1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1]))
# Four rows one after the other, each of sixteen values of four bits.
_BOXES = [
    "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
    "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
    "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
    "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
    "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
    "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
    "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
    "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
]


def des_blocks(key: bytes, salt: Sequence[int], times: int) -> int:
    """Encrypt a block of zeros so many times with a key of eight bytes; return its 64 bits.

    Where ``salt`` has a bit, from the left, the halves of each expanded block are exchanged.
    """
    swapped = _number(salt) << 12
    round_keys = list(_round_keys(int.from_bytes(key, "big")))
    block = _permuted(0, 64, _INITIAL)
    left, right = block >> 32, block & 0xFFFF_FFFF
    for _time in range(times):  # what ends one and begins the next would cancel out
        for round_key in round_keys:
            left, right = right, left ^ _round(right, round_key, swapped)
        left, right = right, left
    return _permuted(left << 32 | right, 64, _LAST)


def _round(half: int, round_key: int, swapped: int) -> int:
    ring = (half & 1) << 33 | half << 1 | half >> 31
    expanded = _number((ring >> place & 63 for place in range(28, -1, -4)), 6)
    exchanged = (expanded >> 24 ^ expanded) & swapped
    mixed = expanded ^ exchanged << 24 ^ exchanged ^ round_key
    found = 0
    for box, values in enumerate(_BOXES_MOVED):
        found |= values[mixed >> 42 - 6 * box & 63]
    return found


def _round_keys(key: int) -> Iterator[int]:
    left, right = _permuted(key, 64, _KEY_LEFT), _permuted(key, 64, _KEY_RIGHT)
    for shift in _SHIFTS:
        yield _permuted(_turned(left, shift) << 28 | _turned(right, shift), 56, _ROUND_KEY)


def _turned(half: int, shift: int) -> int:
    return (half << shift | half >> 28 - shift) & 0xFFF_FFFF


def _permuted(value: int, width: int, places: Iterable[int]) -> int:
    return _number(value >> width - place & 1 for place in places)


def _number(parts: Iterable[int], width: int = 1) -> int:
    """Return the number that these parts of so many bits make, the leftmost first."""
    number = 0
    for part in parts:
        number = number << width | part
    return number


def _moved(box: int, six: int) -> int:
    """Return what a box makes of six bits, where it ends up among all 32."""
    row = (six >> 4 & 2) | (six & 1)
    value = int(_BOXES[box][16 * row + (six >> 1 & 15)], 16)
    return _permuted(value << 28 - 4 * box, 32, _P)


_BOXES_MOVED = [[_moved(box, six) for six in range(64)] for box in range(8)]
