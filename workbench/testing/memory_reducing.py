"""What the in-memory connector does beyond dropping rows: the first by an order, and sums; by pyarrow's own kernels,
for types about which pyarrow and DuckDB agree."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.contract.reduction import Aggregate, Top

__all__ = ["can_add_up", "can_order", "summed", "topmost"]


def can_order(top: Top, schema: pa.Schema) -> bool:
    return all(_ordered(schema.field(one.column).type) for one in top.order)


def topmost(rows: pa.Table, top: Top) -> pa.Table:
    keys: list[tuple[str, str]] = []
    columns: dict[str, pa.ChunkedArray] = {}
    for number, one in enumerate(top.order):
        column = rows.column(one.column)
        columns |= {f"null {number}": column.is_null().cast(pa.int8()), str(number): column}
        keys.append((f"null {number}", "descending" if one.nulls_first else "ascending"))
        keys.append((str(number), "descending" if one.descending else "ascending"))
    return rows.take(pc.sort_indices(pa.table(columns), keys)[: top.rows])


def can_add_up(aggregate: Aggregate, schema: pa.Schema) -> bool:
    keys = all(_ordered(schema.field(name).type) or pt.is_boolean(schema.field(name).type) for name in aggregate.keys)
    return keys and all(_can(one.kind, one.column, schema) for one in aggregate.measures)


def summed(rows: pa.Table, aggregate: Aggregate, schema: pa.Schema) -> pa.Table:
    """The groups of these rows, each once. `schema` is the aggregate's."""
    names = [*aggregate.keys]
    columns = [rows.column(name) for name in names]
    asked: list[Any] = []
    for number, measure in enumerate(aggregate.measures):
        if measure.column is None:
            columns.append(pa.chunked_array([pa.repeat(1, rows.num_rows)]))
            asked.append((str(number), "sum", pc.ScalarAggregateOptions(min_count=0)))
        else:
            column = rows.column(measure.column)
            kind = schema.field(len(aggregate.keys) + number).type
            columns.append(column.cast(kind) if measure.kind == "sum" else column)
            asked.append((str(number), measure.kind, None))
    positions = [f"key {at}" for at in range(len(names))]
    whole = pa.table(columns, [*positions, *(str(number) for number in range(len(aggregate.measures)))])
    found = whole.group_by(positions, use_threads=False).aggregate(asked)
    values = [f"{name}_{kind}" for name, kind, _ in asked]
    made = [found.column(name) for name in (*positions, *values)]
    return pa.table([one.cast(field.type) for one, field in zip(made, schema, strict=True)], schema=schema)


def _can(kind: str, column: str | None, schema: pa.Schema) -> bool:
    if column is None or kind == "count":
        return True
    of = schema.field(column).type
    if kind == "sum":
        return bool(pt.is_integer(of) or (pt.is_decimal128(of) and of.precision <= 28))
    return _ordered(of)


def _ordered(kind: pa.DataType) -> bool:
    plain = (pt.is_integer, pt.is_decimal128, pt.is_date32, pt.is_timestamp, pt.is_string)
    return any(one(kind) for one in plain)
