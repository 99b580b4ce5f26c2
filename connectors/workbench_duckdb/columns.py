"""Columns: how each is selected, and what it is in Arrow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.types as pt

from workbench.contract import TableRef

__all__ = ["Columns", "identifier", "qualified", "sql_type"]

_AS_IT_IS = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|BLOB|DATE|TIME|TIME_NS|TIMESTAMP"
    r'|TIMESTAMP_S|TIMESTAMP_MS|TIMESTAMP_NS|TIMESTAMP WITH TIME ZONE|INTERVAL|JSON|"NULL"|STRUCT\(.*|MAP\(.*|.*\]',
    re.DOTALL,
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table or a query: `types` are DuckDB's, `schema` is what our SELECT gives."""

    types: Mapping[str, str]
    schema: pa.Schema

    @classmethod
    def of(cls, cursor: duckdb.DuckDBPyConnection, source: str) -> Columns:
        """`source` is what stands behind FROM."""
        relation = cursor.sql(f"select * from {source}")
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        listed = ", ".join(f"{expression(name, kind)} as {identifier(name)}" for name, kind in types.items())
        return cls(types, cursor.sql(f"select {listed} from {source} limit 0").to_arrow_table().schema)

    def expression(self, name: str) -> str:
        return expression(name, self.types[name])

    def selected(self, names: list[str]) -> str:
        return ", ".join(f"{self.expression(name)} as {identifier(name)}" for name in names)


def expression(name: str, kind: str) -> str:
    """The column as Arrow can hold it: what has no type there is text; 128-bit integers are decimals, and one of
    39 digits is an error."""
    if kind in ("HUGEINT", "UHUGEINT"):
        return f"{identifier(name)}::decimal(38,0)"
    return identifier(name) if _AS_IT_IS.fullmatch(kind) else f"{identifier(name)}::varchar"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def qualified(table: TableRef) -> str:
    return f"{identifier(table.schema or 'main')}.{identifier(table.name)}"


def sql_type(kind: pa.DataType) -> str | None:
    """The DuckDB type whose values are just those of an Arrow type that we compare; None for the others."""
    if pt.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pt.is_timestamp(kind):
        if kind.tz is not None:
            return "timestamptz" if kind.unit == "us" else None
        return {"s": "timestamp_s", "ms": "timestamp_ms", "us": "timestamp", "ns": "timestamp_ns"}[kind.unit]
    return _PLAIN.get(kind)


_PLAIN = {
    pa.bool_(): "boolean",
    pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint",
    pa.uint8(): "utinyint", pa.uint16(): "usmallint", pa.uint32(): "uinteger", pa.uint64(): "ubigint",
    pa.float32(): "float", pa.float64(): "double",
    pa.string(): "varchar", pa.binary(): "blob", pa.date32(): "date", pa.time64("us"): "time",
}  # fmt: skip
