"""Cutting a range of integers into parts, for splits."""

from __future__ import annotations

import itertools

__all__ = ["integer_ranges"]


def integer_ranges(low: int, high: int, parts: int) -> list[tuple[int, int]]:
    """At most `parts` ranges `(first, last)`, both ends included: in order, disjoint, none empty, and together just
    `low` to `high`. Their sizes differ by one at most. Exact at any size, unsigned 64-bit included; empty when
    `low > high`."""
    if parts < 1:
        raise ValueError(f"parts must be at least 1, not {parts}")
    count = high - low + 1
    if count < 1:
        return []
    parts = min(parts, count)
    edges = [low + count * number // parts for number in range(parts + 1)]
    return [(first, after - 1) for first, after in itertools.pairwise(edges)]
