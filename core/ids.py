"""Public identifiers: unguessable, and close together in an index for rows made together."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PUBLIC_ID_LENGTH = 26


def new_public_id() -> str:
    """Return a new identifier of 26 letters and digits: 48 bits of time, then 80 random bits.

    The time part keeps inserts at the end of the index, so that the millionth ticket costs what
    the first did; the random part cannot be guessed.
    """
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
