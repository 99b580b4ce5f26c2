"""How the first part of a row key, which only spreads the rows, is made of what follows it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

__all__ = ["HASHES"]


def _phoenix(rest: bytes) -> int:
    """As Phoenix does it: Java's hash of an array of signed bytes, without its sign."""
    found = 1
    for byte in rest:
        found = (31 * found + byte - (byte >> 7 << 8)) & 0xFFFFFFFF
    return abs(found - (found >> 31 << 32))


HASHES: dict[str, Callable[[bytes], int]] = {"phoenix": _phoenix, "crc32": zlib.crc32}
"""By the name that a mapping says; the salt is the one with this number, as often as there are so many."""
