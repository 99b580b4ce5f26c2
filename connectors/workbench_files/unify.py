"""One schema for the parts of a table: by name, in order of first appearance; a type that holds all values exactly,
or an error. A column that a part does not have is NULL there."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.types as pt

__all__ = ["Conflict", "key_type", "key_value", "named_type", "normal", "settled", "unified", "wider"]

_UNITS = ("s", "ms", "us", "ns")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_NAMED = {
    "bool": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    "uint8": pa.uint8(), "uint16": pa.uint16(), "uint32": pa.uint32(), "uint64": pa.uint64(),
    "float": pa.float32(), "double": pa.float64(), "string": pa.string(), "binary": pa.binary(),
    "date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"), "timestamp_ns": pa.timestamp("ns"),
}  # fmt: skip


class Conflict(Exception):
    """Two types of one column that have no common one; the text says which."""


def normal(kind: pa.DataType) -> pa.DataType:
    """The type as we hand it on: values instead of dictionaries and runs."""
    while pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def unified(parts: Sequence[tuple[str, pa.Schema]], guessed: bool) -> pa.Schema:
    """`parts` are names and schemas. `guessed`: types come from text, so that text is what all can be read as."""
    fields: dict[str, tuple[pa.Field, str]] = {}
    for part, schema in parts:
        for column in schema:
            kind = normal(column.type)
            if column.name not in fields:
                fields[column.name] = column.with_type(kind).with_nullable(True), part
                continue
            known, first = fields[column.name]
            if known.type == kind:
                continue
            try:
                common = wider(known.type, kind)
            except Conflict:
                if not guessed:
                    raise Conflict(f"column `{column.name}` is {known.type} in {first}, and {kind} in {part}") from None
                common = pa.string()
            fields[column.name] = known.with_type(common), first
    return pa.schema([column for column, _ in fields.values()])


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds the values of both; raises Conflict."""
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if pt.is_integer(one) and pt.is_integer(other):
        return _wider_integer(one, other)
    if (pt.is_floating(one) or pt.is_integer(one)) and (pt.is_floating(other) or pt.is_integer(other)):
        return pa.float64()
    if pt.is_decimal(one) and pt.is_decimal(other):
        scale = max(one.scale, other.scale)
        digits = scale + max(one.precision - one.scale, other.precision - other.scale)
        if digits <= 38:
            return pa.decimal128(digits, scale)
    for is_kind, common in ((_is_text, pa.large_string()), (_is_bytes, pa.large_binary())):
        if is_kind(one) and is_kind(other):
            return common
    if pt.is_timestamp(one) and pt.is_timestamp(other) and (one.tz is None) == (other.tz is None):
        unit = max(one.unit, other.unit, key=_UNITS.index)
        return pa.timestamp(unit, one.tz if one.tz == other.tz else "UTC")
    for day, instant in ((one, other), (other, one)):
        if pt.is_date32(day) and pt.is_timestamp(instant) and instant.tz is None:
            return instant
    raise Conflict(f"{one} and {other}")


def _wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    signed = pt.is_signed_integer(one) or pt.is_signed_integer(other)
    bits = max(kind.bit_width * (2 if signed and pt.is_unsigned_integer(kind) else 1) for kind in (one, other))
    if bits > 64:
        raise Conflict(f"{one} and {other}")
    return _NAMED[f"{'' if signed else 'u'}int{bits}"]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind)
    )


def settled(kind: pa.DataType) -> pa.DataType:
    """Text where a sample has only NULLs: any value can be read as that."""
    if pt.is_null(kind):
        return pa.string()
    if pt.is_struct(kind):
        return pa.struct([inner.with_type(settled(inner.type)) for inner in kind])
    return pa.list_(settled(kind.value_type)) if pt.is_list(kind) else kind


def named_type(name: str) -> pa.DataType | None:
    """The Arrow type of a name in `types`; None when there is none."""
    if match := re.fullmatch(r"decimal\((\d{1,2}),\s*(\d{1,2})\)", name):
        precision, scale = (int(digits) for digits in match.groups())
        return pa.decimal128(precision, scale) if 1 <= precision <= 38 and scale <= precision else None
    return _NAMED.get(name)


def key_type(values: Iterable[str | None]) -> pa.DataType:
    """What the values of a `name=value` folder are: whole numbers, dates, else text."""
    known = [value for value in values if value is not None]
    if known and all(_INTEGER.fullmatch(value) for value in known):
        return pa.int64()
    if known and all(_is_date(value) for value in known):
        return pa.date32()
    return pa.string()


def key_value(text: str | None, kind: pa.DataType) -> int | str | datetime.date | None:
    if text is None or pt.is_string(kind):
        return text
    return int(text) if pt.is_integer(kind) else datetime.date.fromisoformat(text)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
