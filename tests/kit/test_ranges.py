from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from workbench.kit.ranges import integer_ranges

WIDE = st.integers(-(2**63), 2**64 - 1)


@given(WIDE, WIDE, st.integers(1, 64))
def test_ranges_are_just_the_whole(a: int, b: int, parts: int) -> None:
    low, high = min(a, b), max(a, b)
    ranges = integer_ranges(low, high, parts)
    assert ranges[0][0] == low
    assert ranges[-1][1] == high
    assert all(first <= last for first, last in ranges)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(ranges))
    sizes = {last - first for first, last in ranges}
    assert max(sizes) - min(sizes) <= 1
    assert len(ranges) == min(parts, high - low + 1)


def test_nothing_and_nonsense() -> None:
    assert integer_ranges(5, 4, 3) == []
    assert integer_ranges(7, 7, 3) == [(7, 7)]
    with pytest.raises(ValueError, match="at least 1"):
        integer_ranges(1, 2, 0)
