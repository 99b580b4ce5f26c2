"""Types of another look with the same bytes: what Arrow's own checks and Python's values have no room for is looked at
through them (`pa.Array.view`, which copies nothing)."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

__all__ = ["bare", "mapped", "sound"]


def mapped(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with `change` made to each type in it that has no parts, at any depth; dictionaries stay as they are."""
    if pt.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return pa.struct([one.with_type(mapped(one.type, change)) for one in fields])
    if pt.is_map(kind):
        return pa.map_(kind.key_field.with_type(mapped(kind.key_type, change)),
                       kind.item_field.with_type(mapped(kind.item_type, change)))  # fmt: skip
    if pt.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(mapped(kind.value_type, change)), kind.list_size)
    if pt.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(mapped(kind.value_type, change)))
    if pt.is_list(kind):
        return pa.list_(kind.value_field.with_type(mapped(kind.value_type, change)))
    return kind if pt.is_nested(kind) or pt.is_dictionary(kind) else change(kind)


def bare(kind: pa.DataType) -> pa.DataType:
    """The type that a value has for its bytes alone."""
    if pt.is_decimal(kind):
        return pa.binary(kind.byte_width)
    if pt.is_time32(kind):
        return pa.int32()
    return pa.int64() if pt.is_time64(kind) else kind


def sound(column: pa.Array) -> None:
    """Raises ArrowInvalid where the column's bytes are not an array: offsets that lead outside, text that is no UTF-8,
    codes without a name. A value that its type should not have, as the time 24:00:00 of MySQL and DuckDB, or a number
    of 39 digits among those of 38, is no fault of the bytes."""
    kind = mapped(column.type, bare)
    (column if kind == column.type else column.view(kind)).validate(full=True)
