"""An in-memory connector: everything the contract has, nothing to install. For tests of what lies above connectors.

    source = MemorySource()
    source.put("orders", pa.table({"id": [1, 2]}))
    connector = MANIFEST.open(source_config(source))

What a table does besides is said in `ConnectionConfig.tables` (see `TABLE_PARAMETERS`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from workbench.contract import (
    Aggregate,
    Applied,
    Capabilities,
    Column,
    ConnectionConfig,
    Control,
    Manifest,
    Predicate,
    ScanPlan,
    ScanRequest,
    Secret,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import AuthenticationFailed, SnapshotChanged, UnknownColumn, Unsupported
from workbench.contract.predicate import columns_of
from workbench.kit.like import like as matching
from workbench.testing.memory_changes import MemoryFeeds, MemorySinks
from workbench.testing.memory_reader import MemoryReader
from workbench.testing.memory_reducing import can_add_up, can_order
from workbench.testing.memory_source import MemorySource, source_of

__all__ = ["MANIFEST", "TABLE_PARAMETERS", "MemoryConnector", "MemorySource", "source_config"]

TABLE_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "batch_rows": {"type": "integer", "minimum": 1, "description": "Rows a batch holds at most"},
        "splits": {"type": "integer", "minimum": 1, "description": "Splits to plan, whatever is asked for"},
        "pause": {"type": "number", "minimum": 0, "description": "Seconds to wait before each batch"},
        "fail_after": {
            "type": "integer",
            "minimum": 0,
            "description": "The connection is lost after that many batches",
        },
        "hold_after": {"type": "integer", "minimum": 0, "description": "After that many batches, wait until stopped"},
        "applied": {"enum": ["exact", "none"], "description": "Whether predicates are applied here"},
        "resumable": {"type": "boolean", "description": "Whether splits say so"},
    },
}

MANIFEST = Manifest(
    name="memory",
    label="In memory (for tests)",
    capabilities=Capabilities(
        tables=True,
        feeds=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        cancel=True,
        schemas=True,
        listing=True,
        writes=frozenset({"insert", "upsert"}),
        transactional=True,
        top=True,
        measures=frozenset({"count", "sum", "min", "max"}),
    ),
    implementation="workbench.testing.memory:MemoryConnector",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "database": {"type": "string", "description": "A MemorySource's name in this process"},
            "folder": {"type": "string", "description": "A folder that a MemorySource keeps"},
            "password": {"type": "string", "secret": True, "description": "The source's password, if it has one"},
        },
    },
    schemes=("memory",),
    table_parameters=TABLE_PARAMETERS,
)


def source_config(
    source: MemorySource, name: str = "memory", writable: bool = False, **tables: Mapping[str, Any]
) -> ConnectionConfig:
    """A connection to that source; `tables` are table parameters by table name."""
    parameters = {"database": source.name} | ({"folder": str(source.folder)} if source.folder else {})
    secrets = {"password": Secret(source.password)} if source.password is not None else {}
    return ConnectionConfig(name, parameters, secrets, writable, tables)


class MemoryConnector:
    """Opened from a `ConnectionConfig` whose parameters name a `MemorySource`."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config
        self._source: MemorySource | None = None
        self.tables = MemoryTables(self)
        self.feeds = MemoryFeeds(self)
        self.sinks = MemorySinks(self)

    @property
    def config(self) -> ConnectionConfig:
        return self._config

    def source(self) -> MemorySource:
        """Connects: finds the source and logs in."""
        if self._source is None:
            source = source_of(self._config.parameters)
            given = self._config.secrets.get("password", Secret(""))
            if source.password is not None and given != Secret(source.password):
                raise AuthenticationFailed("tester", "the memory source", "wrong password", self._config.name)
            self._source = source
        return self._source

    def test(self) -> ServerInfo:
        return ServerInfo("memory", "1", {"tables": str(len(self.source().refs()))})

    def cancel(self, native_id: str) -> None:
        self.source().cancel(native_id)

    def close(self) -> None:
        self._source = None


class MemoryTables:
    """Scans of versions: every split of a plan reads the version that was planned, or says that it is gone."""

    def __init__(self, connector: MemoryConnector) -> None:
        self._connector = connector

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        matches = matching(like)
        source = self._connector.source()
        found = [ref for ref in source.refs() if matches(ref.name) and (after is None or str(ref) > after)]
        return [TableInfo(ref, rows=source.table(ref).rows.num_rows) for ref in found[:limit]]

    def names(self, limit: int) -> Sequence[TableRef]:
        return self._connector.source().refs()[:limit]

    def about(self, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
        there = {info.table: info for info in self.list(limit=1_000_000)}
        return [there[table] for table in tables if table in there]

    def schema(self, table: TableRef) -> pa.Schema:
        found = self._connector.source().table(table)
        return pa.schema(
            [
                column.with_metadata(
                    {b"source_type": str(column.type).encode()}
                    | {key: told for key, told in (column.metadata or {}).items() if key == b"source_type"}
                    | ({b"key": b"primary"} if column.name in found.key else {})
                )
                for column in found.rows.schema
            ]
        )

    def plan(self, request: ScanRequest) -> ScanPlan:
        table = self._connector.source().table(request.table)
        schema = self.schema(request.table)
        known = set(schema.names)
        for name in (*request.columns, *(c.name for p in request.predicates for c in columns_of(p))):
            if name not in known:
                raise UnknownColumn(name, schema.names)
        knobs = self._connector.config.tables.get(request.table.name, {})
        applied, reasons = _levels(request, schema, knobs)
        pushed = tuple(p for p in request.predicates if applied[p] == Applied.EXACT)
        columns = list(request.columns)
        for predicate in request.predicates:
            if applied[predicate] != Applied.EXACT:
                columns += [name for name in dict.fromkeys(map(_top, columns_of(predicate))) if name not in columns]
        out = pa.schema([schema.field(name) for name in columns])
        exact = len(pushed) == len(request.predicates)
        limit = request.limit if exact else None
        top = request.top if exact and request.top is not None and can_order(request.top, schema) else None
        aggregate = request.aggregate if exact and _adds_up(request.aggregate, schema) else None
        if aggregate is not None:
            out = aggregate.schema(schema)
        rows = table.rows.num_rows
        parts = 1 if limit is not None else int(knobs.get("splits", min(request.splits, max(1, rows // 1000))))
        bounds = [rows * part // parts for part in range(parts + 1)]
        splits = tuple(
            Split(
                number,
                request.table,
                _text(request, start, stop, pushed),
                out,
                {
                    "start": start,
                    "stop": stop,
                    "version": table.version,
                    "predicates": pushed,
                    "limit": limit,
                    "top": top,
                    "aggregate": aggregate,
                },
                stop - start,
                bool(knobs.get("resumable", False)),
            )
            for number, (start, stop) in enumerate(itertools.pairwise(bounds))
        )
        return ScanPlan(
            request,
            splits,
            out,
            _text(request, 0, rows, pushed),
            applied,
            reasons,
            top_applied=top is not None,
            aggregated=aggregate is not None,
            extra=len(columns) - len(request.columns),
            estimate=rows,
            limit_applied=limit is not None,
        )

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("The in-memory connector", "run native text", "Ask in SQL.")

    def read(self, split: Split, control: Control) -> MemoryReader:
        source = self._connector.source()
        try:
            table = source.table(split.table, split.state["version"])
        except KeyError:
            table = source.table(split.table)
            if split.state["aggregate"] is None and not table.rows.schema.equals(
                _names_only(split.schema, table.rows.schema)
            ):
                raise SnapshotChanged(str(split.table), "its columns are others", self._connector.config.name) from None
            raise SnapshotChanged(str(split.table), "its rows are others", self._connector.config.name) from None
        shape = source.table(split.table).rows.schema
        current = dict(zip(shape.names, shape.types, strict=True))
        for column in split.schema if split.state["aggregate"] is None else ():
            if current.get(column.name) != column.type:
                raise SnapshotChanged(str(split.table), f"column `{column.name}`", self._connector.config.name)
        knobs = self._connector.config.tables.get(split.table.name, {})
        return MemoryReader(source, table, split, control, knobs, self._connector.config.name)


def _adds_up(aggregate: Aggregate | None, schema: pa.Schema) -> bool:
    return aggregate is not None and can_add_up(aggregate, schema)


def _names_only(schema: pa.Schema, of: pa.Schema) -> pa.Schema:
    return pa.schema([of.field(column.name) for column in schema if column.name in of.names])


def _levels(
    request: ScanRequest, schema: pa.Schema, knobs: Mapping[str, Any]
) -> tuple[dict[Predicate, Applied], dict[Predicate, str]]:
    applied: dict[Predicate, Applied] = {}
    reasons: dict[Predicate, str] = {}
    for predicate in request.predicates:
        if knobs.get("applied") == "none":
            applied[predicate], reasons[predicate] = Applied.NONE, "switched off for this table"
        elif _can_apply(predicate, schema):
            applied[predicate] = Applied.EXACT
        else:
            applied[predicate], reasons[predicate] = Applied.NONE, "not a type that can be compared here"
    return applied, reasons


def _top(column: Column) -> str:
    return column.name


def _can_apply(predicate: Predicate, schema: pa.Schema) -> bool:
    from workbench.kit.filter import can_apply

    return can_apply(predicate, schema)


def _text(request: ScanRequest, start: int, stop: int, pushed: tuple[Predicate, ...]) -> str:
    columns = ", ".join(request.columns) or "(no columns)"
    where = f" where {' and '.join(map(str, pushed))}" if pushed else ""
    return f"scan {request.table} rows {start} to {stop}: {columns}{where}"
