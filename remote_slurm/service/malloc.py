"""What glibc's malloc keeps of freed memory, and when it gives that back; see mallopt(3). Elsewhere nothing happens."""

from __future__ import annotations

import ctypes
from typing import Any

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Pieces of a log come and go by the thousand, and are as large as this
PIECE_BYTES = 8 * 1024 * 1024
KEPT_BYTES = 32 * 1024 * 1024


def keep_pieces() -> bool:
    """Use memory again for the next piece of a log: else the system fills fresh pages with zeros for each of them.

    That was a quarter of the processor time of a long log. Returns whether it is so now.
    """
    mallopt = _of_libc("mallopt")
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, PIECE_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))


def trim() -> bool:
    """Whether memory went back: see malloc_trim(3). glibc alone keeps what was freed, between what lives on."""
    malloc_trim = _of_libc("malloc_trim")
    return bool(malloc_trim and malloc_trim(0))


def _of_libc(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
