"""Cutting a table into ranges of its integer key, without counting it.

The least and the greatest key cost nothing with an index. Equal ranges between them would be mostly empty where one
key lies far out, so each range is shrunk to the keys that are in it, and cut again while there are too few.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from workbench.kit.ranges import integer_ranges

__all__ = ["OVER", "SMALL", "conditions"]

SMALL = 200_000
"""Rows under which a second connection costs more than it brings."""
OVER = 4
"""Splits for each worker: the one who is done takes the next."""
_LEAST = 50_000
_ROUNDS = 6

Ask = Callable[[str], Sequence[tuple[Any, ...]]]


def parts_for(rows: int, workers: int) -> int:
    return max(1, min(OVER * workers, rows // _LEAST))


def conditions(ask: Ask, target: str, column: str, nullable: bool, parts: int) -> list[str]:
    """Conditions that are disjoint and complete, also for rows that come while the scan runs: the outer ranges are
    open, and there is one for NULL where the column may hold it. Empty when there is nothing to cut."""
    low, high = ask(f"select min({column}), max({column}) from {target}")[0]
    if low is None or parts < 2:
        return []
    ranges = [(int(low), int(high))]
    for _ in range(_ROUNDS):
        each = -(-parts // len(ranges))
        ranges = _occupied(ask, target, column, [cut for whole in ranges for cut in integer_ranges(*whole, each)])
        if len(ranges) >= parts * 3 // 4 or not ranges:
            break
    starts = [first for first, _ in ranges]
    if len(starts) < 2:
        return []
    middle = [f"{column} >= {first} and {column} < {after}" for first, after in itertools.pairwise(starts[1:])]
    found = [f"{column} < {starts[1]}", *middle, f"{column} >= {starts[-1]}"]
    return [f"{column} is null", *found] if nullable else found


def _occupied(ask: Ask, target: str, column: str, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each range shrunk to its keys; without the empty ones. Two look-ups in the index for each."""
    ends = [
        f"(select {end}({column}) from {target} where {column} between {first} and {last})"
        for first, last in ranges
        for end in ("min", "max")
    ]
    found = ask("select " + ", ".join(ends))[0]
    pairs = zip(found[::2], found[1::2], strict=True)
    return [(int(first), int(last)) for first, last in pairs if first is not None and last is not None]
