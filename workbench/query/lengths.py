"""Lengths of time in a result. DuckDB has one type for them, INTERVAL, in months, days and microseconds, which frames,
Parquet and stores do not take: a result has `duration[us]` instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from workbench.contract.errors import Unsupported

__all__ = ["durations", "with_durations"]

_DAY = 86_400_000_000
_LENGTH = pa.duration("us")


def durations(schema: pa.Schema) -> pa.Schema:
    """The schema with `duration[us]` for each column of intervals; those inside of lists and structs stay."""
    return pa.schema(
        [field.with_type(_LENGTH) if _is_interval(field.type) else field for field in schema], schema.metadata
    )


def with_durations(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches under `durations(schema)`. A day is 24 hours. Raises Unsupported for months, which have no length,
    and for what is longer than a duration can be."""
    intervals = [index for index, field in enumerate(schema) if _is_interval(field.type)]
    if not intervals:
        yield from batches
        return
    wanted = durations(schema)
    for batch in batches:
        columns = list(batch.columns)
        for index in intervals:
            columns[index] = _duration(columns[index], schema.names[index])
        yield pa.RecordBatch.from_arrays(columns, schema=wanted)


def _is_interval(kind: pa.DataType) -> bool:
    return bool(pa.types.is_interval(kind))


def _duration(column: pa.Array, name: str) -> pa.Array:
    """A value is 16 bytes: months and days of 32 bits each, nanoseconds of 64, low end first."""
    if len(column) == column.null_count:
        return pa.nulls(len(column), _LENGTH)
    end = column.offset + len(column)
    halves = pa.Array.from_buffers(pa.int32(), end * 4, [None, column.buffers()[1]])
    wholes = pa.Array.from_buffers(pa.int64(), end * 2, [None, column.buffers()[1]])
    months = pc.list_element(pa.FixedSizeListArray.from_arrays(halves, 4), 0).slice(column.offset)
    days = pc.list_element(pa.FixedSizeListArray.from_arrays(halves, 4), 1).slice(column.offset)
    nanos = pc.list_element(pa.FixedSizeListArray.from_arrays(wholes, 2), 1).slice(column.offset)
    valid = column.is_valid()
    if pc.any(pc.and_(valid, pc.not_equal(months, 0))).as_py():
        hint = f'Write "{name}"::varchar to see it as text, or add it to a date.'
        raise Unsupported(f"Column `{name}`", "be given as a duration, for it has months, which have no length", hint)
    none = pa.scalar(None, pa.int64())  # what lies in the place of a NULL may be anything
    days, nanos = (pc.if_else(valid, part, none) for part in (days.cast(pa.int64()), nanos))
    try:
        micros = pc.add_checked(pc.multiply_checked(days, _DAY), pc.divide(nanos, 1000))
    except pa.ArrowInvalid:
        hint = f'Write "{name}"::varchar to see it as text.'
        raise Unsupported(
            f"Column `{name}`", "be given as a duration, for it is longer than 292,000 years", hint
        ) from None
    return micros.cast(_LENGTH)
