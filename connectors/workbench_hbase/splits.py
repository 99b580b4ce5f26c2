"""Cutting rows into parts that are read side by side: a region each, and large regions in several.

Where to cut is decided by the rows that are there: between the first and the last one, and again where these lie
close together. It costs two rows from each part that is tried.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from workbench_hbase.encoding import Range
from workbench_hbase.keys import cut
from workbench_hbase.route import Region

__all__ = ["Ends", "halves", "occupied_parts", "share", "tiled", "touched", "within"]

Ends = Callable[[bytes, bytes | None], tuple[bytes, bytes] | None]
"""The first and the last row of a range, or None when it is empty."""
_ROUNDS = 6
_DIGITS = 8


def tiled(regions: Sequence[Region]) -> list[tuple[Region, Range]]:
    """Each region with the rows from its beginning to that of the next one: all rows lie in just one, also where the
    list has a hole or two that overlap, as in the middle of a split. Without a region all are nobody's."""
    firsts = {region.start: region for region in sorted(regions, key=lambda one: one.start)}
    if not firsts:
        return [(Region(b"", b"", b"", "", 0), (b"", None))]
    later = list(firsts)[1:]
    spans = zip([b"", *later], [*later, None], strict=True)
    return list(zip(firsts.values(), spans, strict=True))


def touched(regions: Sequence[Region], rows: Range) -> Sequence[Region]:
    """Of regions in order those that have such rows."""
    first = bisect_right(regions, rows[0], key=lambda region: region.start)
    last = len(regions) if rows[1] is None else bisect_left(regions, rows[1], key=lambda region: region.start)
    return regions[max(first - 1, 0) : last]


def within(ranges: Sequence[Range], rows: Range) -> list[Range]:
    """What of ranges in order, of which none touch, lies in another one."""
    first = bisect_right(ranges, rows[0], key=lambda one: one[0])
    last = len(ranges) if rows[1] is None else bisect_left(ranges, rows[1], key=lambda one: one[0])
    return cut(ranges[max(first - 1, 0) : last], [rows])


def halves(first: bytes, last: bytes, parts: int) -> list[bytes]:
    """At most `parts - 1` keys, ascending, greater than `first` and at most `last`: as evenly between them as their
    bytes say."""
    common = _common(first, last)
    low, high = _number(first, common), _number(last, common)
    found: list[bytes] = []
    for number in range(1, parts):
        place = low + (high - low) * number // parts
        key = first[:common] + place.to_bytes(_DIGITS, "big").rstrip(b"\0")
        if first < key <= last and (not found or found[-1] < key):
            found.append(key)
    return found


def occupied_parts(whole: Range, parts: int, ends: Ends) -> list[Range]:
    """`whole` in about so many ranges, in order, that are disjoint and cover it, each with rows in it. The ranges
    also cover rows that come while they are read."""
    start, stop = whole
    found = ends(start, stop)
    if found is None or parts < 2:
        return [whole]
    filled = [found]
    for _ in range(_ROUNDS):
        each = -(-parts // len(filled))
        if each < 2:
            break
        again = [one for first, last in filled for one in _cut(first, last, each, ends)]
        if len(again) == len(filled):
            break
        filled = again
        if len(filled) >= parts * 3 // 4:
            break
    starts = [first for first, _ in filled]
    return [
        (start if index == 0 else first, stop if index + 1 == len(starts) else starts[index + 1])
        for index, first in enumerate(starts)
    ]


def share(whole: tuple[bytes, bytes], part: tuple[bytes, bytes]) -> float:
    """How much of what lies between two rows lies between two others, by their bytes; rows are seldom so even."""
    first, last = whole
    common = _common(first, last)
    low, high = _number(first, common), _number(last, common)
    return min(1.0, (_number(part[1], common) - _number(part[0], common) + 1) / (high - low + 1))


def _common(first: bytes, last: bytes) -> int:
    """How many bytes are the same at the beginning."""
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return length


def _number(key: bytes, start: int) -> int:
    return int.from_bytes(key[start : start + _DIGITS].ljust(_DIGITS, b"\0"), "big")


def _cut(first: bytes, last: bytes, parts: int, ends: Ends) -> Sequence[tuple[bytes, bytes]]:
    """The first and last rows of the parts between these two that have rows."""
    edges = [first, *halves(first, last, parts), None]
    found = []
    for index, low in enumerate(edges[:-1]):
        high = edges[index + 1]
        assert low is not None
        one = ends(low, last + b"\0" if high is None else high)
        if one is not None:
            found.append(one)
    return found
