"""A DuckDB file as a connection: its tables and views, their schemas and plans."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from workbench.contract import (
    Applied,
    ConnectionConfig,
    Control,
    ScanPlan,
    ScanRequest,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import UnknownColumn, UnknownTable, Unsupported
from workbench.contract.predicate import columns_of
from workbench.kit.like import like as matching
from workbench_duckdb.columns import Columns, qualified
from workbench_duckdb.instance import Database, database
from workbench_duckdb.native import understood
from workbench_duckdb.predicates import where
from workbench_duckdb.reader import DuckDBReader
from workbench_duckdb.sink import POSITIONS, DuckDBSinks
from workbench_duckdb.trouble import named

__all__ = ["DuckDBConnector"]

ROW_GROUP = 122_880
"""DuckDB's own: ranges of row ids that begin at its bounds read no group twice."""
OVERSPLIT = 4

_LISTED = """
select schema_name, table_name, 'table', estimated_size, comment from duckdb_tables()
where not internal and not temporary and database_name = current_database() and table_name <> $1
union all
select schema_name, view_name, 'view', null, comment from duckdb_views()
where not internal and not temporary and database_name = current_database()
"""
_ONE = """
select schema_name, table_name, 'table', estimated_size, comment from duckdb_tables()
where database_name = current_database() and schema_name = $1 and table_name = $2
union all
select schema_name, view_name, 'view', null, comment from duckdb_views()
where database_name = current_database() and schema_name = $1 and view_name = $2
"""
"""With the schema as a condition DuckDB goes through that one alone, which is not much where `_LISTED` is."""
_COMMENTS = """
select column_name, comment from duckdb_columns()
where database_name = current_database() and schema_name = $1 and table_name = $2
"""
_KEY = "select name from pragma_table_info($1) where pk"
"""Of the one table; `duckdb_constraints()` goes through all."""


class DuckDBConnector:
    """Opened with the parameter `path`. The file is opened when it is needed; see `instance`."""

    feeds = None

    def __init__(self, config: ConnectionConfig) -> None:
        self.name, self._writable = config.name, config.writable
        self._database = database(str(config.parameters["path"]))
        self.tables = DuckDBTables(self._database, config.writable, config.name)
        self.sinks = DuckDBSinks(self._database, config.writable, config.name)

    def test(self) -> ServerInfo:
        with self._database.cursor(self._writable, self.name) as cursor, named(self.name):
            ((version, size),) = cursor.execute(
                "select version(), database_size from pragma_database_size() where database_name = current_database()"
            ).fetchall()
        return ServerInfo("DuckDB", version, {"path": self._database.path, "size": size})

    def cancel(self, native_id: str) -> None:
        raise Unsupported("A DuckDB file", "end work in another process", "Stop the run that reads it.")

    def close(self) -> None:
        self._database.let_go()


class DuckDBTables:
    def __init__(self, database: Database, writable: bool, connection: str) -> None:
        self._database, self._writable, self._connection = database, writable, connection
        self._all: tuple[tuple[int, ...], dict[TableRef, TableInfo]] | None = None

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        matches = matching(like)
        fitting = (
            info for ref, info in self._listed().items() if matches(ref.name) and (not after or str(ref) > after)
        )
        return list(itertools.islice(fitting, limit))

    def names(self, limit: int) -> Sequence[TableRef]:
        return list(itertools.islice(self._listed(), limit))

    def about(self, tables: Sequence[TableRef]) -> Sequence[TableInfo]:
        there = self._listed()
        return [there[table] for table in tables if table in there]

    def schema(self, table: TableRef) -> pa.Schema:
        with self._database.cursor(self._writable, self._connection) as cursor, named(self._connection):
            self._check_there(cursor, table)
            columns = Columns.of(cursor, qualified(table))
            place = [table.schema or "main", table.name]
            comments = dict(cursor.execute(_COMMENTS, place).fetchall())
            key = {name for (name,) in cursor.execute(_KEY, [qualified(table)]).fetchall()}
        fields = []
        for column in columns.schema:
            about = {b"source_type": columns.types[column.name].encode()}
            if column.name in key:
                about[b"key"] = b"primary"
            if comments.get(column.name):
                about[b"comment"] = str(comments[column.name]).encode()
            fields.append(pa.field(column.name, column.type, metadata=about))
        return pa.schema(fields)

    def plan(self, request: ScanRequest) -> ScanPlan:
        with self._database.cursor(self._writable, self._connection) as cursor, named(self._connection):
            info = self._check_there(cursor, request.table)
            columns = Columns.of(cursor, qualified(request.table))
            stamp = self._database.stamp()
        known = list(columns.types)
        for name in (*request.columns, *(c.name for p in request.predicates for c in columns_of(p))):
            if name not in columns.types:
                raise UnknownColumn(name, known)
        asked = where(request.predicates, columns)
        exact = all(level is Applied.EXACT for level in asked.applied.values())
        again = [p for p in request.predicates if asked.applied[p] is not Applied.EXACT]
        names = list(dict.fromkeys([*request.columns, *(c.name for p in again for c in columns_of(p))]))
        schema = pa.schema([pa.field(name, columns.schema.field(name).type) for name in names])
        limit = request.limit if exact else None
        selected = columns.selected(names) if names else "count(*)"
        head = f"select {selected} from {qualified(request.table)}"
        tail = asked.text
        if limit is not None:
            tail += f" limit {limit}"
            if not names:  # so many rows at most, then counted
                head, tail = "select count(*) from (select 1 from " + qualified(request.table), tail + ")"
        ranges = self._ranges(info, request.splits) if limit is None else [None]
        splits = tuple(
            _split(number, request.table, head, _within(tail, rows), asked.parameters, schema, info, ranges, stamp)
            for number, rows in enumerate(ranges)
        )
        return ScanPlan(
            request,
            splits,
            schema,
            head + tail,
            asked.applied,
            asked.reasons,
            extra=len(names) - len(request.columns),
            estimate=info.rows,
            limit_applied=limit is not None,
        )

    def native(self, text: str) -> ScanPlan:
        with self._database.cursor(self._writable, self._connection) as cursor:
            statement = understood(cursor, text, self._writable, self._connection)
        table = TableRef("native")
        request = ScanRequest(table, tuple(statement.schema.names))
        state = {"sql": statement.text, "parameters": (), "count": False, "stamp": None, "native": True,
                 "writes": statement.writes}  # fmt: skip
        split = Split(0, table, text, statement.schema, state)
        return ScanPlan(request, (split,), statement.schema, text)

    def read(self, split: Split, control: Control) -> DuckDBReader:
        return DuckDBReader(self._database, split, control, self._writable, self._connection)

    def _listed(self) -> dict[TableRef, TableInfo]:
        """All tables in order, as long as nobody has written to the file since: DuckDB takes seconds to list 100,000,
        and to open a file that has them."""
        stamp, held = self._database.stamp(), self._all
        if held is None or held[0] != stamp or not stamp[0]:
            with self._database.cursor(self._writable, self._connection) as cursor, named(self._connection):
                stamp = self._database.stamp()
                rows = cursor.execute(_LISTED, [POSITIONS]).fetchall()
            infos = sorted(map(_info, rows), key=lambda info: str(info.table))
            self._all = held = (stamp, {info.table: info for info in infos})
        return held[1]

    def _check_there(self, cursor: duckdb.DuckDBPyConnection, table: TableRef) -> TableInfo:
        if table.name != POSITIONS:
            for row in cursor.execute(_ONE, [table.schema or "main", table.name]).fetchall():
                return _info(row)
        near = [str(_info(row).table) for row in cursor.execute(_LISTED, [POSITIONS]).fetchall()]
        raise UnknownTable(str(table), near)

    def _ranges(self, info: TableInfo, workers: int) -> Sequence[str | None]:
        """Ranges of row ids, the last one open. Not while this process may write: an update moves rows."""
        rows = info.rows or 0
        if info.kind != "table" or workers <= 1 or rows <= ROW_GROUP or self._database.writing:
            return [None]
        groups = -(-rows // ROW_GROUP)
        each = -(-groups // (workers * OVERSPLIT)) * ROW_GROUP
        starts = range(0, rows, each)
        bounded = [f"rowid >= {start} and rowid < {start + each}" for start in starts[:-1]]
        return [*bounded, f"rowid >= {starts[-1]}"]


def _split(
    number: int, table: TableRef, head: str, tail: str, parameters: tuple[Any, ...], schema: pa.Schema,
    info: TableInfo, ranges: Sequence[str | None], stamp: tuple[int, ...],
) -> Split:  # fmt: skip
    state = {"sql": head + tail, "parameters": parameters, "count": not schema.names,
             "stamp": stamp if len(ranges) > 1 else None, "native": False, "writes": False}  # fmt: skip
    estimate = info.rows // len(ranges) if info.rows is not None else None
    return Split(number, table, head + tail, schema, state, estimate)


def _within(tail: str, rows: str | None) -> str:
    if rows is None:
        return tail
    return f"{tail} and {rows}" if tail else f" where {rows}"


def _info(row: tuple[Any, ...]) -> TableInfo:
    schema, name, kind, rows, comment = row
    return TableInfo(TableRef(name, None if schema == "main" else schema), kind, rows, None, comment or "")
