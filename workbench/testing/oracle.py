"""The answers that DuckDB gives on the same rows, and random questions to ask."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from workbench.contract import And, Column, Compare, In, IsNull, Literal, Not, Or, Predicate

__all__ = ["OPERATORS", "Oracle", "leaves", "random_predicate", "rows_of", "to_sql"]

OPERATORS = ("=", "<>", "<", "<=", ">", ">=")


class Oracle:
    """DuckDB over one Arrow table; `key` is a column that no two rows share."""

    def __init__(self, table: pa.Table, key: str) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        self._connection.register("wbt_given", table)
        self._connection.execute("create table wbt as from wbt_given")
        self._key = key

    def keys(self, predicate: Predicate | None) -> set[Any]:
        """The keys of the rows for which the predicate is TRUE."""
        where = f" where {to_sql(predicate)}" if predicate is not None else ""
        return {row[0] for row in self._connection.execute(f"select {_name(self._key)} from wbt{where}").fetchall()}

    def close(self) -> None:
        self._connection.close()


def to_sql(predicate: Predicate) -> str:
    """The predicate as DuckDB's SQL."""
    match predicate:
        case Compare(column=column, op=op, literal=literal):
            return f"({_path(column)} {op} {_constant(literal)})"
        case In(column=column, literals=literals):
            return f"({_path(column)} in ({', '.join(map(_constant, literals))}))"
        case IsNull(column=column, negated=negated):
            return f"({_path(column)} is {'not ' if negated else ''}null)"
        case And(operands=operands):
            return f"({' and '.join(map(to_sql, operands))})"
        case Or(operands=operands):
            return f"({' or '.join(map(to_sql, operands))})"
        case Not(operand=operand):
            return f"(not {to_sql(operand)})"


def leaves(name: str, kind: pa.DataType, values: Sequence[Any]) -> list[Predicate]:
    """Every kind of leaf over one column, with a few of its values."""
    column = Column((name,))
    constants = [Literal(value, kind) for value in values]
    made: list[Predicate] = [IsNull(column), IsNull(column, negated=True)]
    for constant in constants:
        made += [Compare(column, op, constant) for op in OPERATORS]  # type: ignore[arg-type]
    made += [In(column, tuple(constants)), In(column, tuple(constants[:1]))]
    return made


def random_predicate(
    chance: random.Random, columns: Mapping[str, tuple[pa.DataType, Sequence[Any]]], depth: int = 3
) -> Predicate:
    """A tree over those columns, whose constants are of the given values."""
    shape = chance.random() if depth else 1.0
    if shape < 0.25:
        return And(tuple(random_predicate(chance, columns, depth - 1) for _ in range(chance.randint(2, 3))))
    if shape < 0.5:
        return Or(tuple(random_predicate(chance, columns, depth - 1) for _ in range(chance.randint(2, 3))))
    if shape < 0.65:
        return Not(random_predicate(chance, columns, depth - 1))
    name = chance.choice(list(columns))
    kind, values = columns[name]
    column, which = Column((name,)), chance.random()
    if which < 0.15:
        return IsNull(column, negated=chance.random() < 0.5)
    if which < 0.3:
        return In(column, tuple(Literal(chance.choice(values), kind) for _ in range(chance.randint(1, 4))))
    return Compare(column, chance.choice(OPERATORS), Literal(chance.choice(values), kind))  # type: ignore[arg-type]


def rows_of(table: pa.Table) -> Counter[tuple[object, ...]]:
    """The rows without their order, as values that compare exactly: NaN is itself, -0.0 is not 0.0, and instants
    are whole numbers of their unit."""
    columns = [_plain(table.column(index)) for index in range(table.num_columns)]
    return Counter(zip(*columns, strict=True)) if columns else Counter({(): table.num_rows})


def _plain(column: pa.ChunkedArray) -> list[object]:
    kind = column.type
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return list(column.cast(pa.int32()).to_pylist())
    if pa.types.is_temporal(kind):
        return list(column.cast(pa.int64()).to_pylist())
    values = column.to_pylist()
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_string(kind):
        return list(values)
    return [None if value is None else repr(value) for value in values]


def _constant(literal: Literal) -> str:
    value, kind = literal.value, literal.type
    match value:
        case bool():
            return str(value).lower()
        case bytes():
            return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
        case dt.datetime() if value.tzinfo is not None:
            return f"'{value.astimezone(dt.UTC).isoformat()}'::TIMESTAMPTZ"
        case dt.date() | dt.time():
            text = value.isoformat()
        case _:
            text = str(value)
    return "'" + text.replace("'", "''") + f"'::{_type(kind)}"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return {"s": "TIMESTAMP_S", "ms": "TIMESTAMP_MS", "us": "TIMESTAMP", "ns": "TIMESTAMP_NS"}[kind.unit]
    named = {"float": "REAL", "halffloat": "REAL", "double": "DOUBLE", "string": "VARCHAR", "large_string": "VARCHAR",
             "date32[day]": "DATE", "time64[us]": "TIME", "time32[s]": "TIME", "time32[ms]": "TIME",
             "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "uint8": "UTINYINT",
             "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT"}  # fmt: skip
    return named[str(kind)]


def _path(column: Column) -> str:
    return ".".join(_name(part) for part in column.path)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
