"""Giving memory back to the system (glibc)."""

import ctypes

from gateway.limits import MIB

_M_MMAP_THRESHOLD = -3  # malloc.h


def return_big_blocks() -> None:
    """Let the memory of a big message go as soon as it is freed.

    glibc raises the size from which it asks the system for a block of its own to that of the
    largest block freed so far; big messages would then leave holes in the heap. Other C libraries
    need nothing: they do not know ``mallopt``.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, MIB)
