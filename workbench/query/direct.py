"""Statements that only read one table: `select columns from connection.table [where …] [limit n]`.

Where DuckDB leaves nothing to do but to hand the rows on, they need not pass through it; and where any `n` rows will
do, the source is told so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from workbench.query.names import Resolved
from workbench.query.statement import Kind, Statement
from workbench.query.tokens import Splice, Text

__all__ = ["Direct", "handed_on", "in_turn", "nothing_left", "operators", "same_types", "shape"]

_MOST = (1 << 63) - 1
_NOTHING_LEFT = frozenset({"PROJECTION", "PYTHON_ARROW_SCAN", "STREAMING_LIMIT"})


@dataclass(frozen=True)
class Direct:
    """`columns` of the table in the order of the result; `limit` where any so many rows will do; `spelt`: the text
    has the columns' names as the table has them, with no other table's name before them, and gives no others."""

    columns: tuple[str, ...]
    limit: int | None
    spelt: bool


def shape(statement: Statement, resolved: Resolved[Any], schema: pa.Schema) -> Direct | None:
    """What the text says it is; None for everything that is more than this."""
    limit = _limit(statement.tree.get("modifiers") or [])
    if limit == -1:
        return None
    form = statement.form
    if form is not None and form.direct is not None and form.direct[0] is schema:
        read = form.direct[1]
    else:
        read = _read(statement, resolved, schema)
        if form is not None:
            form.direct = schema, read
    return None if read is None else Direct(read[0], limit, read[1])


def _read(statement: Statement, resolved: Resolved[Any], schema: pa.Schema) -> tuple[tuple[str, ...], bool] | None:
    """The columns, and whether they are spelt as in the table."""
    node = statement.tree
    if statement.kind is Kind.EXPLAIN or resolved.references != 1 or node.get("type") != "SELECT_NODE":
        return None
    plain = (
        not (node.get("cte_map") or {}).get("map")
        and not node.get("group_expressions")
        and not node.get("group_sets")
        and node.get("aggregate_handling") == "STANDARD_HANDLING"
        and all(node.get(part) is None for part in ("having", "sample", "qualify"))
    )
    table = node.get("from_table") or {}
    if not plain or table.get("type") != "BASE_TABLE" or table.get("sample") or table.get("column_name_alias"):
        return None
    items = node.get("select_list") or []
    columns = _columns(items, schema)
    if columns is None:
        return None
    own = str(table.get("alias") or table["qualified_name"]["path"][-1]).casefold()
    return columns, all(_spelt(item, own, schema) for item in items)


def in_turn(statement: Statement, resolved: Resolved[Any]) -> Resolved[Any]:
    """The same with `limit (select n)` for the `limit n` of one table's rows.

    Under a small constant, DuckDB has all its threads pull rows, and is not done before the last of them has got some
    more: with a slow source long after there are enough. Under anything else it pulls in turn, and ends at once.
    """
    node = statement.tree
    table = node.get("from_table") or {}
    modifiers = node.get("modifiers") or []
    if (
        statement.kind is Kind.EXPLAIN
        or resolved.references != 1
        or node.get("type") != "SELECT_NODE"
        or table.get("type") != "BASE_TABLE"
        or _limit(modifiers) in (None, -1)
    ):
        return resolved
    limit = modifiers[0]["limit"]
    start = Text(statement.body).character(limit["query_location"])
    end = start + len(limit["literal"]["text"])
    written = statement.body[start:end]
    if written != limit["literal"]["text"] or re.match(r"[\w.]", statement.body[end:]):
        return resolved
    splices = (*resolved.splices, Splice(start, end, f"(select {written})"))
    return replace(resolved, sql=Splice.apply(statement.body, splices), splices=splices)


def nothing_left(cursor: DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | None) -> bool:
    """Whether DuckDB's plan is the scan alone: all conditions went to the source, nothing is computed."""
    return set(operators(cursor, sql, parameters)) <= _NOTHING_LEFT


def operators(cursor: DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | None) -> list[str]:
    """What DuckDB's plan is made of, by their names."""
    rows = cursor.execute(f"explain (format json) {sql}", dict(parameters) if parameters else None).fetchall()
    waiting, found = list(json.loads(rows[0][1])), list[str]()
    while waiting:
        operator = waiting.pop()
        found.append(operator.get("name", "").strip())
        waiting += operator.get("children", ())
    return found


def same_types(schema: pa.Schema, columns: tuple[str, ...], wanted: pa.Schema) -> bool:
    """Whether the table's columns are what DuckDB would give; the label of a time zone may be another."""
    return len(columns) == len(wanted) and all(
        _zoneless(schema.field(name).type) == _zoneless(kind) for name, kind in zip(columns, wanted.types, strict=True)
    )


def handed_on(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch's columns under the schema's names and labels; no value is touched."""
    if batch.schema.equals(schema):
        return batch
    columns = [
        column if column.type == kind else column.view(kind) if _labels(column.type, kind) else column.cast(kind)
        for column, kind in zip(batch.columns, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _labels(kind: pa.DataType, other: pa.DataType) -> bool:
    """Whether the two differ by the label of their time zone alone: then no value has to be looked at."""
    return pa.types.is_timestamp(kind) and kind.tz is not None and _zoneless(kind) == _zoneless(other)


def _zoneless(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz is not None else kind


def _limit(modifiers: list[dict[str, Any]]) -> int | None:
    """-1 where there is more than a limit by a number."""
    if not modifiers:
        return None
    limit = modifiers[0].get("limit") or {}
    literal = limit.get("literal") or {}
    if (
        len(modifiers) == 1
        and modifiers[0].get("type") == "LIMIT_MODIFIER"
        and modifiers[0].get("limit_type") == "ROW_COUNT"
        and modifiers[0].get("offset") is None
        and limit.get("class") == "CONSTANT"
        and literal.get("kind") == "INTEGER"
        and str(literal.get("text")).isdigit()
        and 0 < int(literal["text"]) <= _MOST
    ):
        return int(literal["text"])
    return -1


def _spelt(item: dict[str, Any], own: str, schema: pa.Schema) -> bool:
    if item.get("class") == "STAR":
        return True
    names = [str(name) for name in item.get("column_names", ())]
    qualified = len(names) == 1 or (len(names) == 2 and names[0].casefold() == own)
    return qualified and not item.get("alias") and names[-1] in schema.names


def _columns(items: list[dict[str, Any]], schema: pa.Schema) -> tuple[str, ...] | None:
    by_fold: dict[str, str] = {}
    for name in schema.names:
        if name.casefold() in by_fold:
            return None
        by_fold[name.casefold()] = name
    columns: list[str] = []
    for item in items:
        if item.get("class") == "STAR":
            parts = ("relation_name", "exclude_list", "replace_list", "columns", "expr", "qualified_exclude_list")
            if any(item.get(part) for part in (*parts, "rename_list")):
                return None
            columns += schema.names
            continue
        names = [str(part).casefold() for part in item.get("column_names", ())]
        # With more than one part, a name may lead into a struct.
        if item.get("class") != "COLUMN_REF" or not names or (len(names) > 1 and names[0] in by_fold):
            return None
        if len(names) > 2 or names[-1] not in by_fold:
            return None
        columns.append(by_fold[names[-1]])
    return tuple(columns) if len(set(columns)) == len(columns) else None
