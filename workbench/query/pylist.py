"""Arrow's values as Python's, where Python has not all of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

__all__ = ["pylist"]


def pylist(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values; dates and times are text where one of them has no value in Python, as before year 1."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = column.cast(_without_times(column.type)).to_pylist()
    return values


def _without_times(kind: pa.DataType) -> pa.DataType:
    """The type with text for each date and time, at any depth."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return _without_times(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct(
            [kind.field(at).with_type(_without_times(kind.field(at).type)) for at in range(kind.num_fields)]
        )
    if pa.types.is_map(kind):
        return pa.map_(_without_times(kind.key_type), _without_times(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_without_times(kind.value_type)), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_times(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_times(kind.value_type)))
    return kind
