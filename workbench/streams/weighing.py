"""About how many bytes of memory a value takes. The standard library only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from sys import getsizeof
from typing import Any

__all__ = ["weight"]

LOOKED_AT = 8
"""Values of a container within a row that are weighed; the others count as these do."""
DEEPEST = 4
UNKNOWN = 64
_SMALL = frozenset((int, float, bool, type(None)))
_LISTS = (tuple, list, set, frozenset, deque)


def weight(item: Any) -> int:
    """Of a row, or of a batch (`streams.tuples.Batch`)."""
    if isinstance(item, tuple):
        size = 64
        for value in item:
            kind = value.__class__
            size += 36 if kind in _SMALL else 60 + len(value) if kind is str else 8 + _weight(value, DEEPEST)
        return size
    if item.columnar:
        return int(item.nbytes)
    return 64 + _sampled(item.rows, len(item.rows), DEEPEST + 1)


def _weight(value: Any, deep: int) -> int:
    try:
        return _asked(value, deep)
    except Exception:  # noqa: BLE001  # what a value says of itself is anybody's code
        return UNKNOWN


def _asked(value: Any, deep: int) -> int:
    size = getsizeof(value, UNKNOWN)
    if not deep:
        return size
    if isinstance(value, _LISTS):
        return size + _sampled(value, len(value), deep)
    if isinstance(value, dict):
        return size + _sampled(value.items(), len(value), deep)
    inside = getattr(value, "__dict__", None)
    return size + (_sampled(inside.values(), len(inside), deep) if isinstance(inside, dict) else 0)


def _sampled(values: Iterable[Any], number: int, deep: int) -> int:
    some = list(islice(values, LOOKED_AT))
    return sum(_weight(one, deep - 1) for one in some) * number // len(some) if some else 0
