"""Statements over one table whose source may add its rows up, or give the first few of an order, instead of all rows.

What is offered is read off DuckDB's own parse tree, and only where its plan says that nothing else happens to the rows
before. An order is done once more here, over the rows that come. Of groups, parts come, which a second statement puts
together as it would those of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from workbench.contract.errors import Unsupported
from workbench.contract.predicate import Predicate
from workbench.contract.reduction import Aggregate, Measure, Order, Top
from workbench.query import source
from workbench.query.direct import operators
from workbench.query.distributing import WHOLE, distributed, parameters_of, types_of
from workbench.query.stage import Ask, Feed
from workbench.query.statement import Kind, Statement
from workbench.query.trees import Node, number, parsed, quoted, walk

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.engine import Engine

__all__ = ["SUMS", "Parts", "Reduced", "reduced", "top_of"]

SUMS = "workbench sums"
"""The table of what came of the source."""
_SCAN = "PYTHON_ARROW_SCAN"
_ORDERED = frozenset({_SCAN, "PROJECTION", "TOP_N"})
_GROUPED = frozenset({_SCAN, "PROJECTION", "HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY", "UNGROUPED_AGGREGATE"})
_MEASURES: dict[str, Any] = {"count_star": "count", "count": "count", "sum": "sum", "min": "min", "max": "max"}
_MOST = 1 << 31


@dataclass(frozen=True)
class Reduced:
    """`ask` says what of the table is added up; `sql` makes the statement's rows of the parts (`SUMS`)."""

    ask: Ask
    aggregate: Aggregate
    sql: str
    parameters: Mapping[str, object]


class Parts:
    """What the source added up, as DuckDB sees it. It can be read once."""

    rows = None

    def __init__(self, feed: Feed) -> None:
        self._feed, self._taken = feed, False
        self.schema = pa.schema([one.remove_metadata() for one in feed.schema])

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        from workbench.kit.filter import Filter

        if self._taken:
            raise RuntimeError("DuckDB asks for the parts of groups a second time.")
        self._taken = True
        keep = Filter(predicates, self.schema)
        schema = pa.schema([self.schema.field(name) for name in columns])

        def batches() -> Iterator[pa.RecordBatch]:
            with self._feed.reader() as reader:
                for batch in reader:
                    found = keep(batch) if predicates else batch
                    yield pa.RecordBatch.from_arrays([found.column(name) for name in columns], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())


@dataclass
class _Asked:
    """A table without rows that writes down what is asked of it."""

    schema: pa.Schema
    rows: int | None = None
    asks: list[tuple[tuple[str, ...], tuple[Predicate, ...]]] = field(default_factory=list)

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        self.asks.append((columns, predicates))
        return pa.schema([self.schema.field(name) for name in columns]).empty_table().to_reader()


def top_of(
    statement: Statement, sql: str, parameters: Mapping[str, object], schema: pa.Schema, cursor: DuckDBPyConnection
) -> Top | None:
    """The rows that a statement over one table needs, where it puts them in the order of columns and keeps the first;
    None for all others."""
    node = statement.tree
    if statement.kind is Kind.EXPLAIN or not _of_one_table(node):
        return None
    modifiers = node.get("modifiers") or []
    if [one.get("type") for one in modifiers] != ["ORDER_MODIFIER", "LIMIT_MODIFIER"]:
        return None
    rows = _rows(modifiers[1])
    orders = [_order(one, node, schema) for one in modifiers[0]["orders"]]
    if rows is None or None in orders:
        return None
    found = operators(cursor, sql, parameters)
    if not set(found) <= _ORDERED or found.count("TOP_N") != 1 or found.count(_SCAN) != 1:
        return None
    return Top(tuple(one for one in orders if one is not None), rows)


def reduced(
    engine: Engine,
    statement: Statement,
    sql: str,
    parameters: Mapping[str, object],
    name: str,
    schema: pa.Schema,
) -> Reduced | None:
    """The statement over one table, registered as `name`, as sums of it; None for what is more than that."""
    if statement.kind is Kind.EXPLAIN or not _adds_up(statement.tree):
        return None
    cursor = engine.cursor()
    try:
        asked = _Asked(pa.schema([one.remove_metadata() for one in schema]))
        source.register(cursor, name, asked)
        shape = _shape(cursor, sql, parameters)
        with engine.parser() as parser:
            types = types_of(cursor, parser, parameters)
            parts = distributed(sql, parser, name, {name: schema.names}, shape, types)
            node = parsed(parts.first, parser)["statements"][0]["node"]
            named = parameters_of(parts.first, parser), parameters_of(parts.last, parser)
        aggregate = _aggregate(node, name, schema) if parts.groups else None
        if aggregate is None:
            return None
        first = {one: value for one, value in parameters.items() if one in named[0]}
        last = {one: value for one, value in parameters.items() if one in named[1]}
        found = operators(cursor, parts.first, first)
        if not set(found) <= _GROUPED or found.count(_SCAN) != 1:
            return None
        asked.asks.clear()
        made = cursor.sql(parts.first, params=first or None)
        columns = list(zip(made.columns, map(str, made.types), strict=True))
        made.to_arrow_table()
        if len(asked.asks) != 1:
            return None
        together = _together(columns, aggregate, parts.last)
        source.register(cursor, SUMS, _Asked(aggregate.schema(schema)))
        if _shape(cursor, together, last) != shape:
            return None
        return Reduced(Ask(name, *asked.asks[0]), aggregate, together, last)
    except (Unsupported, duckdb.Error, TypeError):
        return None  # the rows are asked for, and any error is theirs
    finally:
        cursor.close()


# --- inside


def _shape(cursor: DuckDBPyConnection, sql: str, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    relation = cursor.sql(sql, params=dict(parameters) or None)
    return list(zip(relation.columns, map(str, relation.types), strict=True))


def _together(columns: Sequence[tuple[str, str]], aggregate: Aggregate, last: str) -> str:
    """`last` over what came, whose columns get the names and types that DuckDB's own parts would have."""
    came = [f"key {at}" for at in range(len(aggregate.keys))]
    came += [f"measure {at}" for at in range(len(aggregate.measures))]
    items = [
        f"cast({quoted(given)} as {kind}) as {quoted(name)}" for given, (name, kind) in zip(came, columns, strict=True)
    ]
    return f"with {quoted(WHOLE)} as (select {', '.join(items)} from {quoted(SUMS)}) {last}"


def _adds_up(node: Any) -> bool:
    """Whether it may have groups: all else need not be looked at."""
    if not _of_one_table(node):
        return False
    said = walk([node.get("select_list"), node.get("having")])
    called = (str(one.get("function_name")).lower() for one in said if one.get("class") == "FUNCTION")
    grouped = bool(node.get("group_expressions")) or node.get("aggregate_handling") == "FORCE_AGGREGATES"
    return grouped or any(name in _MEASURES for name in called)


def _of_one_table(node: Any) -> bool:
    """Whether a name in it means the table's column: the one table's, and nobody's under its name."""
    if not isinstance(node, dict) or node.get("type") != "SELECT_NODE" or (node.get("cte_map") or {}).get("map"):
        return False
    return (node.get("from_table") or {}).get("type") == "BASE_TABLE"


def _aggregate(node: Node, name: str, schema: pa.Schema) -> Aggregate | None:
    """What the statement over rows asks for, where it is columns and sums of them alone."""
    keys: list[str] = []
    measures: list[Measure] = []
    if len(node["group_sets"]) > 1 or node["having"] is not None or node["modifiers"]:
        return None
    for item in node["select_list"]:
        if (column := _column(item, node["from_table"], schema)) is not None:
            if measures:
                return None
            keys.append(column)
            continue
        measure = _measure(item, node["from_table"], schema)
        if measure is None:
            return None
        measures.append(measure)
    grouped = [_column(one, node["from_table"], schema) for one in node["group_expressions"]]
    return Aggregate(tuple(keys), tuple(measures)) if grouped == keys else None


def _measure(item: Node, table: Node, schema: pa.Schema) -> Measure | None:
    kind = _MEASURES.get(str(item.get("function_name", "")).lower()) if item["class"] == "FUNCTION" else None
    if kind is None or item["distinct"] or item["filter"] is not None or item["order_bys"]["orders"]:
        return None
    if item["export_state"] or item.get("schema") or item.get("catalog"):
        return None
    columns = [_column(one["expression"], table, schema) for one in item["arguments"] if not one["name"]]
    if len(columns) != len(item["arguments"]) or len(columns) > 1 or None in columns:
        return None
    if not columns:
        return Measure("count") if kind == "count" else None
    return Measure(kind, columns[0])


def _column(node: Node, table: Node, schema: pa.Schema) -> str | None:
    """The column of the table that it is; None for all else, a field inside one too."""
    names = [str(one).casefold() for one in node.get("column_names", ())]
    if node.get("class") != "COLUMN_REF" or not names or table.get("column_name_alias"):
        return None
    known: dict[str, str] = {}
    for one in schema.names:
        if one.casefold() in known:
            return None
        known[one.casefold()] = one
    own = str(table.get("alias") or table["table_name"]).casefold()
    if len(names) > 1 and (len(names) > 2 or names[0] != own or names[0] in known):
        return None
    return known.get(names[-1])


def _order(one: Node, node: Node, schema: pa.Schema) -> Order | None:
    column = _column(one["expression"], node["from_table"] or {}, schema)
    if column is None or _is_another(column, node, schema):
        return None
    if one["type"] not in ("ORDER_DEFAULT", "ASCENDING", "DESCENDING"):
        return None
    if one["null_order"] not in ("ORDER_DEFAULT", "NULLS FIRST", "NULLS LAST"):
        return None
    return Order(column, one["type"] == "DESCENDING", one["null_order"] == "NULLS FIRST")


def _is_another(column: str, node: Node, schema: pa.Schema) -> bool:
    """Whether something that is selected has the column's name, and is not just the column."""
    for item in node["select_list"]:
        names = item.get("column_names") if item["class"] == "COLUMN_REF" else None
        name = str(item.get("alias") or (names or [""])[-1]).casefold()
        if name == column.casefold() and _column(item, node["from_table"], schema) != column:
            return True
    stars = [one for one in walk(node["select_list"]) if one.get("class") == "STAR"]
    return any(one.get("replace_list") or one.get("rename_list") or one.get("columns") for one in stars)


def _rows(limit: Node) -> int | None:
    if limit.get("limit_type") != "ROW_COUNT" or limit.get("limit") is None:
        return None
    most, skipped = number(limit["limit"]), number(limit.get("offset"))
    if most is None or skipped is None or not 0 < most + skipped < _MOST:
        return None
    return most + skipped
