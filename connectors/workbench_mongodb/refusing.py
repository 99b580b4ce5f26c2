"""Which rows of a bulk the server has refused, and which it only has already."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["refused_apart"]

_TWICE = frozenset((11000, 11001))
_OF_A_ROW = _TWICE | {
    2,  # BadValue
    14,  # TypeMismatch
    28,  # PathNotViable
    52,  # DollarPrefixedFieldName
    53,  # InvalidIdField
    57,  # DottedFieldName
    66,  # ImmutableField
    121,  # DocumentValidationFailure
    171,  # CannotIndexParallelArrays
    10334,  # BSONObjectTooLarge
    16755,  # an index of places on a sphere cannot take it
    17280,  # KeyTooLong
    17419,  # too large once it is updated
}
"""Codes (the server's `error_codes.yml`) that say something of a document, not of the server or the account."""


def refused_apart(
    collection: Any, key: Sequence[str], bulk: Sequence[Mapping[str, Any]], details: Mapping[str, Any]
) -> dict[int, str] | None:
    """By their place in the bulk, which was sent unordered: the rows that are refused, and why; all others are there.
    None where the refusal is not one of rows.

    A row whose key is there with the row's own values is none of them: a commit before this one, whose end nobody
    saw, has written it. What the server refused and did not refuse then cannot be told apart otherwise.
    """
    import bson

    errors = details.get("writeErrors") or []
    if not errors or details.get("writeConcernErrors") or any(one.get("code") not in _OF_A_ROW for one in errors):
        return None
    refused = {int(one["index"]): str(one.get("errmsg", "no reason given"))[:500] for one in errors}
    twice = {
        place: bson.decode(bulk[place]["insert"].raw)
        for place in (int(one["index"]) for one in errors if one["code"] in _TWICE)
        if "insert" in bulk[place]
    }
    for place in _there(collection, tuple(key) or ("_id",), twice):
        del refused[place]
    return refused


def _there(collection: Any, key: tuple[str, ...], rows: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """The places of rows whose key is there with their values. What others have added to the document does not
    matter."""
    import pymongo

    asked = {place: row for place, row in rows.items() if all(name in row for name in key)}
    if not asked:
        return []
    names = dict.fromkeys(name for row in asked.values() for name in row)
    if len(key) == 1:
        condition: dict[str, Any] = {key[0]: {"$in": [row[key[0]] for row in asked.values()]}}
    else:
        condition = {"$or": [{name: row[name] for name in key} for row in asked.values()]}
    primary = collection.with_options(read_preference=pymongo.ReadPreference.PRIMARY)
    found = {_plain([one.get(name) for name in key]): one for one in primary.find(condition, dict.fromkeys(names, 1))}
    same = []
    for place, row in asked.items():
        there = found.get(_plain([row[name] for name in key]))
        if there is not None and all(_plain(value) == _plain(there.get(name)) for name, value in row.items()):
            same.append(place)
    return same


def _plain(value: Any) -> Hashable:
    """Two values are the same document content, as the server compares, when these are: numbers by what they are
    worth, for a column's type may have been told otherwise by another sample."""
    import bson

    if isinstance(value, Mapping):
        return ("document", *((name, _plain(one)) for name, one in value.items()))
    if isinstance(value, list):
        return ("array", *map(_plain, value))
    if isinstance(value, bson.Decimal128):
        number: Decimal = value.to_decimal()
        return "nan" if number.is_nan() else number
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    encoded: bytes = bson.encode({"": value})
    return encoded
