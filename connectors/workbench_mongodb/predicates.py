"""Predicates as MongoDB's filters: only what is known to mean the same there, made from the tree by white-list.

Every condition on a column carries a `$type`, for a filter compares within one type and looks into arrays, while a
column's values of other types are NULL. NOT is pushed down to the leaves first, so FALSE and NULL need not be told
apart.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.contract.predicate import Applied, Column, Compare, In, IsNull, Literal, Predicate, Scalar
from workbench.kit.levels import folded
from workbench_mongodb.types import EARLIEST, LATEST, Shape

__all__ = ["Filter", "filtered", "guarded", "plain_name"]

_DEEPEST = 40
_MOST_LITERALS = 10_000
_MOST_BYTES = 1 << 20
"""Of a condition: a command has up to 16 MB, and a scan may have several."""
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_OPERATORS = {"=": "$eq", "<>": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_TYPES = {
    "bool": ["bool"],
    "long": ["int", "long"],
    "double": ["double", "int", "long"],
    "date": ["date"],
    "string": ["string"],
    "objectId": ["objectId"],
    "decimal": ["decimal"],
    "binData": ["binData"],
    "object": ["object"],
    "array": ["array"],
}
_NO_TEXT = "{}: what is not UTF-8 is kept there, and NULL here"
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Filter:
    """A predicate in MongoDB's words; `document` is empty where `applied` is NONE, and `reason` says why."""

    document: Mapping[str, Any]
    applied: Applied
    reason: str = ""


class _Cannot(Exception):
    """The text says why not."""


def plain_name(name: str) -> bool:
    """Whether a filter can name the field: dots lead into documents there, and `$` begins an operator."""
    return bool(name) and "." not in name and not name.startswith("$") and "\0" not in name


def filtered(predicate: Predicate, shapes: Mapping[str, Shape]) -> Filter:
    """The predicate for the server, and how far it is applied."""
    found, _ = folded(predicate, lambda leaf, negated: (_leaf(leaf, negated, shapes), 0), _joined)
    if found.applied is not Applied.NONE and (size := _size(found.document)) > _MOST_BYTES:
        return Filter({}, Applied.NONE, f"its constants have {size:,} bytes, which are compared here")
    return found


def _size(document: Mapping[str, Any]) -> int:
    import bson

    return len(bson.encode(document))


def _joined(parts: list[tuple[Filter, int]], both: bool) -> tuple[Filter, int]:
    filters, depth = [part for part, _ in parts], 1 + max(depth for _, depth in parts)
    reason = "; ".join(dict.fromkeys(part.reason for part in filters if part.reason))
    if depth > _DEEPEST:
        return Filter({}, Applied.NONE, f"nested deeper than {_DEEPEST}"), 0
    weakest = min(part.applied for part in filters)
    used = [part.document for part in filters if part.applied is not Applied.NONE]
    if not used or (not both and weakest is Applied.NONE):
        return Filter({}, Applied.NONE, reason), 0
    if both:
        level = Applied.EXACT if weakest is Applied.EXACT else Applied.SUPERSET
        return Filter({"$and": used} if len(used) > 1 else used[0], level, reason), depth
    return Filter({"$or": used}, weakest, reason), depth


def _leaf(leaf: Predicate, negated: bool, shapes: Mapping[str, Shape]) -> Filter:
    assert isinstance(leaf, Compare | In | IsNull)
    try:
        name, shape = _column(leaf.column, shapes)
        inside = len(leaf.column.path) > 1
        match leaf:
            case IsNull(negated=not_null):
                if inside:
                    raise _Cannot("whether a field inside a value is NULL is looked at here")
                return _is_null(name, shape, not_null != negated)
            case Compare(op=op, literal=literal):
                found = _compare(name, shape, _OPPOSITE[op] if negated else op, literal.value)
            case In(literals=literals):
                found = _member(name, shape, literals, negated)
        if inside and found.applied is Applied.EXACT:
            return Filter(found.document, Applied.SUPERSET, f"{leaf.column}: a field inside a value")
        return found
    except _Cannot as reason:
        return Filter({}, Applied.NONE, f"{leaf.column}: {reason}")


def _column(column: Column, shapes: Mapping[str, Shape]) -> tuple[str, Shape]:
    shape = shapes[column.name]
    for part in column.path[1:]:
        inner = next((child for child in shape.children if child.name == part), None)
        if shape.kind != "object" or inner is None:
            raise _Cannot("a field that is not in the sample")
        shape = inner
    if not all(plain_name(part) and not part.isdigit() for part in column.path):
        raise _Cannot("a name that a filter cannot say")
    return ".".join(column.path), shape


def guarded(name: str, shape: Shape, condition: Mapping[str, Any]) -> dict[str, Any]:
    """The condition, for just the values that the column delivers."""
    guarded = {name: {**condition, "$type": _TYPES[shape.kind], "$not": {"$type": "array"}}}
    if shape.kind == "date":  # others are NULL: no column holds them
        import bson

        held = {"$gte": bson.DatetimeMS(EARLIEST), "$lte": bson.DatetimeMS(LATEST)}
        return {"$and": [{name: held}, guarded]}
    return guarded


def _is_null(name: str, shape: Shape, not_null: bool) -> Filter:
    if shape.kind not in _TYPES or shape.kind in ("string", "double"):
        raise _Cannot(f"whether {shape.kind} is NULL is looked at here")
    there = {name: {"$type": "array"}} if shape.kind == "array" else guarded(name, shape, {})
    return Filter(there if not_null else {"$nor": [there]}, Applied.EXACT)


def _compare(name: str, shape: Shape, op: str, value: Scalar) -> Filter:
    if shape.kind == "double":
        return _compare_double(name, op, value)
    if (
        shape.kind == "string"
        and isinstance(value, str)
        and op not in ("=", "<>")
        and max(value, default="") >= "\ud800"
    ):
        if op not in (">", ">="):
            raise _Cannot("text beyond the basic plane has another order on some servers")
        below = re.split("[\ud800-\U0010ffff]", value, maxsplit=1)[0]
        found = guarded(name, shape, {"$gte": below})
        return Filter(found, Applied.SUPERSET, f"{name}: text beyond the basic plane has another order on some servers")
    if shape.kind == "bool" and op not in ("=", "<>"):
        raise _Cannot("which of true and false is greater is decided here")
    found = guarded(name, shape, {_OPERATORS[op]: _writer(shape)(value)})
    if shape.kind == "string" and op != "=":
        return Filter(found, Applied.SUPERSET, _NO_TEXT.format(name))
    return Filter(found, Applied.EXACT)


def _compare_double(name: str, op: str, value: Scalar) -> Filter:
    """NaN is greater than all here and compares to nothing there: so it is among those that are not smaller. It is not
    named, nor are infinities: some servers end the connection at them."""
    why = f"{name}: a double is compared again here"
    if not isinstance(value, float) or not math.isfinite(value) or op == "<>":
        raise _Cannot("a double is compared here only in this way")
    condition: dict[str, Any] = {_OPERATORS[op]: value}
    if op in (">", ">="):
        condition = {"$type": _TYPES["double"], "$not": {_OPERATORS[_OPPOSITE[op]]: value}}
    return Filter({name: condition}, Applied.SUPERSET, why)


def _member(name: str, shape: Shape, literals: tuple[Literal, ...], negated: bool) -> Filter:
    if len(literals) > _MOST_LITERALS:
        raise _Cannot(f"more than {_MOST_LITERALS:,} constants")
    if shape.kind == "double":
        values = [literal.value for literal in literals]
        if negated or any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise _Cannot("a double is compared here only in this way")
        return Filter({name: {"$in": values}}, Applied.SUPERSET, f"{name}: a double is compared again here")
    write = _writer(shape)
    written = [write(literal.value) for literal in literals]
    found = guarded(name, shape, {"$nin" if negated else "$in": written})
    if negated and shape.kind == "string":
        return Filter(found, Applied.SUPERSET, _NO_TEXT.format(name))
    return Filter(found, Applied.EXACT)


def _writer(shape: Shape) -> Callable[[Scalar], Any]:
    writers: dict[str, Callable[[Scalar], Any]] = {
        "bool": _bool,
        "long": _long,
        "date": _date,
        "string": _text,
        "objectId": _object_id,
    }
    if shape.kind not in writers:
        raise _Cannot(f"{shape.kind} is compared here only")
    return writers[shape.kind]


def _bool(value: Scalar) -> bool:
    if not isinstance(value, bool):
        raise _Cannot("a constant of another type")
    return value


def _long(value: Scalar) -> Any:
    import bson

    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise _Cannot("a constant of another type")
    return bson.Int64(value)


def _date(value: Scalar) -> Any:
    import bson

    if not isinstance(value, datetime.datetime) or value.tzinfo is None or value.microsecond % 1000:
        raise _Cannot("a constant of another type")
    past = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return bson.DatetimeMS(past // datetime.timedelta(milliseconds=1))


def _text(value: Scalar) -> str:
    if not isinstance(value, str):
        raise _Cannot("a constant of another type")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Cannot("a constant that is not Unicode text") from None
    return value


def _object_id(value: Scalar) -> Any:
    import bson

    if not isinstance(value, str) or not _OBJECT_ID.fullmatch(value):
        raise _Cannot("a constant that is no ObjectId in lower case")
    return bson.ObjectId(value)
