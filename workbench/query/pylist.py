"""Arrow's values as Python's, where Python has not all of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.execution.layouts import bare, mapped
from workbench.query.arrays import texts

__all__ = ["clock", "pylist"]

_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def pylist(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values. Dates and times are text where one of them has no value in Python, as before year 1; 24:00:00 is
    text. Times of a zone that is not known here are UTC. Fields of one name get a number behind it."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in pylist(chunk)]
    if pt.is_time(column.type) and _late(column):
        return _clock(column)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, KeyError):  # KeyError: pytz's word for a zone that it does not know
        kind = mapped(_named(column.type), _without_zone)
        column = column if kind == column.type else column.view(kind)
        try:
            values = column.to_pylist()
        except (ValueError, OverflowError):
            values = column.cast(_without_times(column.type)).to_pylist()
    return values


def clock(column: pa.Array) -> pa.Array:
    """Times of day as text, 24:00:00 too, of which Arrow's own cast makes none."""
    return texts(_clock(column)) if _late(column) else column.cast(pa.large_string())


def _late(column: pa.Array) -> bool:
    last = pc.max(column.view(bare(column.type))).as_py()
    return last is not None and last >= _DAY[column.type.unit]


def _clock(column: pa.Array) -> list[str | None]:
    second = _DAY[column.type.unit] // 86_400
    digits = len(str(second)) - 1
    shown: list[str | None] = []
    for value in column.view(bare(column.type)).to_pylist():
        if value is None:
            shown.append(None)
            continue
        whole, part = divmod(value, second)
        minutes, seconds = divmod(whole, 60)
        fraction = f".{part:0{digits}d}" if part else ""
        shown.append(f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}")
    return shown


def _without_zone(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pt.is_timestamp(kind) else kind


def _named(kind: pa.DataType) -> pa.DataType:
    """The type with a name of its own for each field, at any depth."""
    if pt.is_struct(kind):
        fields, seen = [], set[str]()
        for at in range(kind.num_fields):
            one = kind.field(at)
            name, number = one.name, 1
            while name in seen:
                number += 1
                name = f"{one.name} ({number})"
            seen.add(name)
            fields.append(one.with_name(name).with_type(_named(one.type)))
        return pa.struct(fields)
    if pt.is_map(kind):
        return pa.map_(kind.key_field.with_type(_named(kind.key_type)),
                       kind.item_field.with_type(_named(kind.item_type)))  # fmt: skip
    if pt.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_named(kind.value_type)), kind.list_size)
    if pt.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_named(kind.value_type)))
    return pa.list_(kind.value_field.with_type(_named(kind.value_type))) if pt.is_list(kind) else kind


def _without_times(kind: pa.DataType) -> pa.DataType:
    """The type with text for each date and time, at any depth."""
    if pt.is_dictionary(kind):
        return _without_times(kind.value_type)
    return mapped(kind, lambda one: pa.string() if pt.is_temporal(one) else one)
