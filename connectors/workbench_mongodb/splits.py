"""Parts of a collection, by its `_id`: disjoint and complete whatever types the ids have.

Servers compare values of one type only (numbers are one), so each type that the ids of a sample have is cut at
quantiles of its own. All else is one more part. Each part says its types, so that none depends on how a server compares
values of different ones; the last of each type is said as what is not below it, for NaN is neither below nor above.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from typing import Any

__all__ = ["between", "ranges"]

_TYPES = {
    "number": ["int", "long", "double", "decimal"],
    "string": ["string"],
    "objectId": ["objectId"],
    "date": ["date"],
    "binData": ["binData"],
}
"""BSON's names of the types that are compared with each other, by what we call them."""


def ranges(keys: Sequence[Any], parts: int) -> list[dict[str, Any]]:
    """About `parts` filters on `_id`, made from a sample of the ids; a single one that keeps all where there are no
    cuts."""
    brackets: dict[str, list[Any]] = {}
    for key in keys:
        if bracket := _bracket(key):
            brackets.setdefault(bracket, []).append(key)
    found: list[dict[str, Any]] = []
    cut: list[str] = []
    for bracket, some in brackets.items():
        wanted = round(parts * len(some) / len(keys))
        if wanted > 1 and (at := _cuts(some, wanted)):
            cut += _TYPES[bracket]
            found += _within(_TYPES[bracket], at)
    if not found:
        return [{}]
    return [*found, {"_id": {"$not": {"$type": cut}}}]


def between(low: Any, high: Any, count: int) -> list[Any]:
    """Ids as they may lie between the least and the greatest, for a server that gives no sample; none where that cannot
    be said, as of text."""
    import bson

    bracket = _bracket(low)
    if bracket is None or bracket != _bracket(high):
        return []
    match low:
        case int() | float() if max(abs(low), abs(high)) < 2**63:
            return [bson.Int64(value) for value in _steps(int(low), int(high), count)]
        case bson.DatetimeMS():
            return [bson.DatetimeMS(value) for value in _steps(int(low), int(high), count)]
        case bson.ObjectId():
            first, last = (int.from_bytes(one.binary, "big") for one in (low, high))
            return [bson.ObjectId(value.to_bytes(12, "big")) for value in _steps(first, last, count)]
        case _:
            return []


def _steps(low: int, high: int, count: int) -> list[int]:
    return [low + (high - low) * number // count for number in range(count)]


def _bracket(key: Any) -> str | None:
    """The type of an id that can be cut: one whose order is known to be the same here and there."""
    import bson

    match key:
        case bool():
            return None
        case int() | float():
            return "number" if key == key else None
        case str():
            return "string" if key.isascii() and type(key) is str else None
        case bson.ObjectId():
            return "objectId"
        case bson.DatetimeMS() | datetime.datetime():
            return "date"
        case bytes():
            return "binData" if _order(key)[:2] == (16, 4) else None
        case _:
            return None


def _order(key: Any) -> Any:
    return (len(key), getattr(key, "subtype", 0), bytes(key)) if isinstance(key, bytes) else key


def _cuts(keys: Sequence[Any], parts: int) -> list[Any]:
    """At most `parts - 1` of them, ascending and different."""
    ordered = sorted(keys, key=_order)
    found: list[Any] = []
    for number in range(1, parts):
        cut = ordered[len(ordered) * number // parts]
        if cut != ordered[0] and (not found or cut != found[-1]):
            found.append(cut)
    return found


def _within(types: list[str], at: Sequence[Any]) -> list[dict[str, Any]]:
    first = {"_id": {"$lt": at[0], "$type": types}}
    middle = [{"_id": {"$gte": low, "$lt": high, "$type": types}} for low, high in itertools.pairwise(at)]
    return [first, *middle, {"_id": {"$not": {"$lt": at[-1]}, "$type": types}}]
