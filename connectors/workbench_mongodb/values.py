"""Arrow values as BSON's: what a document is written of."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter
from workbench_mongodb.types import Shape

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Unwritable", "target", "values"]

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_FITTING = {
    "long": {"long", "double", "decimal"},
    "double": {"double"},
    "decimal": {"decimal"},
    "string": {"string", "objectId", "decimal"},
}
"""What a kind may be written as, by the kind that a column of the collection has; any other only as itself."""


class Unwritable(str):
    """In the place of a value: why it cannot be written."""


def target(field: pa.Field, there: Shape | None, path: str = "") -> Shape:
    """As what values of the field are written, fields and elements in them included, to a column that is `there` (None:
    a new one). Raises InvalidParameter where there is no such type, or where the values do not belong there."""
    name = f"{path}{field.name}"
    plain = _plain(field.type)
    if plain is None:
        said = f"has column `{name}` of type {field.type}, for which MongoDB has no type: cast it to text"
        raise InvalidParameter("schema", said)
    kind = plain if there is None or plain == "null" or there.kind == "json" else there.kind
    if there is not None and there.kind == "json" and plain == "string":
        kind = "json"
    if kind not in _FITTING.get(plain, {plain}) | ({"json"} if plain == "string" else set()):
        raise InvalidParameter("schema", f"has column `{name}` of type {field.type}, which is {kind} there")
    inner = {child.name: child for child in there.children} if there is not None and there.kind == plain else {}
    return Shape(field.name, kind, tuple(target(one, inner.get(one.name), f"{name}.") for one in _inside(field.type)))


def _inside(kind: pa.DataType) -> list[pa.Field]:
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(kind):
        return _inside(kind.value_type)
    if pt.is_struct(kind):
        return [kind.field(at) for at in range(kind.num_fields)]
    listed = pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)
    return [pa.field("", kind.value_type)] if listed else []  # as a shape's only child is named


def _plain(kind: pa.DataType) -> str | None:
    import pyarrow.types as pt

    if pt.is_dictionary(kind):
        return _plain(kind.value_type)
    for name, tests in (
        ("null", (pt.is_null,)),
        ("bool", (pt.is_boolean,)),
        ("long", (pt.is_integer,)),
        ("double", (pt.is_floating,)),
        ("decimal", (pt.is_decimal,)),
        ("date", (pt.is_date, pt.is_timestamp)),
        ("string", (pt.is_string, pt.is_large_string, pt.is_string_view)),
        ("binData", (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)),
    ):
        if any(test(kind) for test in tests):
            return name
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return None if _plain(kind.value_type) is None else "array"
    if pt.is_struct(kind):
        inner = [kind.field(at) for at in range(kind.num_fields)]
        return None if any(_plain(field.type) is None for field in inner) else "object"
    return None


def values(column: pa.Array, shape: Shape) -> list[Any]:
    """A value of BSON for each of Arrow's, as the shape says; None for NULL, `Unwritable` for what has none."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(column.type):
        return values(column.dictionary_decode(), shape)
    if pt.is_struct(column.type):
        return _documents(column, shape)
    if shape.children:
        return _arrays(column, shape)
    if pt.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pt.is_timestamp(column.type):
        unit = _PER_SECOND[column.type.unit]
        return _each(column.cast(pa.int64()).to_pylist(), lambda count: _date(count, unit))
    return _each(column.to_pylist(), _makers()[shape.kind])


def _each(found: Sequence[Any], make: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else make(value) for value in found]


def _makers() -> dict[str, Callable[[Any], Any]]:
    return {
        "bool": bool,
        "long": _long,
        "double": _double,
        "decimal": _decimal,
        "string": str,
        "binData": bytes,
        "objectId": _object_id,
        "json": _from_json,
        "null": str,
    }


def _long(value: int) -> Any:
    import bson

    return bson.Int64(value) if value < 2**63 else Unwritable(f"{value} is beyond 64 bits with a sign")


def _double(value: float) -> Any:
    made = float(value)
    return made if made == value or made != made else Unwritable(f"no double is {value}")


def _decimal(value: Any) -> Any:
    import bson

    try:
        return bson.Decimal128(decimal.Decimal(value))
    except decimal.DecimalException:
        return Unwritable(f"{str(value)[:60]} is no decimal of up to 34 digits")


def _date(count: int, per_second: int) -> Any:
    import bson

    milliseconds, lost = divmod(count * 1000, per_second)
    return (
        Unwritable("its dates have milliseconds, no more: write date_trunc('milliseconds', …)")
        if lost
        else bson.DatetimeMS(milliseconds)
    )


def _object_id(value: str) -> Any:
    import bson

    fits = _OBJECT_ID.fullmatch(value)
    return bson.ObjectId(value) if fits else Unwritable(f"`{value[:40]}` is no ObjectId of 24 hexadecimal digits")


def _from_json(value: str) -> Any:
    """What JSON text says, as it is read from such a column."""
    from bson import json_util

    try:
        return json_util.loads(value, json_options=json_util.RELAXED_JSON_OPTIONS)
    except (ValueError, TypeError, RecursionError):
        return Unwritable(f"`{value[:40]}` is no JSON, which the column's text is")


def _documents(column: pa.Array, shape: Shape) -> list[Any]:
    names = [child.name for child in shape.children]
    inner = [values(part, child) for part, child in zip(column.flatten(), shape.children, strict=True)]
    rows: list[Any] = []
    for at, there in enumerate(column.is_valid().to_pylist()):
        parts = [part[at] for part in inner]
        rows.append(_whole(dict(zip(names, parts, strict=True)), parts) if there else None)
    return rows


def _arrays(column: pa.Array, shape: Shape) -> list[Any]:
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    inner, ends = values(column.values, shape.children[0]), column.offsets.to_pylist()
    rows: list[Any] = []
    for at, there in enumerate(column.is_valid().to_pylist()):
        parts = inner[ends[at] : ends[at + 1]]
        rows.append(_whole(parts, parts) if there else None)
    return rows


def _whole(made: Any, parts: Sequence[Any]) -> Any:
    return next((part for part in parts if type(part) is Unwritable), made)
