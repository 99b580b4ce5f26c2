"""Tables of a SQLite file. No predicates, one split, nothing to cancel: an engine above does the rest."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NoReturn

import pyarrow as pa

from workbench.contract import (
    ConnectionConfig,
    Control,
    Position,
    ScanPlan,
    ScanRequest,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import (
    Cancelled,
    QueryFailed,
    SnapshotChanged,
    UnknownColumn,
    UnknownTable,
    Unreachable,
    Unsupported,
)
from workbench.contract.predicate import columns_of

TYPES = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
ROWS = 10_000


class ToyConnector:
    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        self.tables = ToyTables(self)
        self.feeds = None
        self.sinks = None

    def test(self) -> ServerInfo:
        self.dial().close()
        return ServerInfo("SQLite", sqlite3.sqlite_version)

    def cancel(self, native_id: str) -> NoReturn:
        raise Unsupported("The toy connector", "cancel work of other processes")

    def close(self) -> None:
        """Every use has a connection of its own, so none is left here."""

    def dial(self) -> sqlite3.Connection:
        path = self.config.parameters["database"]
        try:
            link = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            link.execute("select 1 from sqlite_master")
        except sqlite3.Error as error:
            raise Unreachable(path, str(error), self.config.name) from None
        return link

    def rows(self, text: str, *values: object) -> list[tuple[object, ...]]:
        link = self.dial()
        try:
            return link.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise QueryFailed(str(error), native_text=text, connection=self.config.name) from None
        finally:
            link.close()


class ToyTables:
    def __init__(self, connector: ToyConnector) -> None:
        self._connector = connector

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        names = sorted(
            str(row[0]) for row in self._connector.rows("select name from sqlite_master where type = 'table'")
        )
        pattern = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in like or "%")
        found = [name for name in names if re.fullmatch(pattern, name, re.IGNORECASE | re.DOTALL)]
        return [TableInfo(TableRef(name)) for name in found if after is None or name > after][:limit]

    def schema(self, table: TableRef) -> pa.Schema:
        columns = self._connector.rows('select name, type, "notnull", pk from pragma_table_info(?)', table.name)
        if not columns or table.schema is not None:
            raise UnknownTable(str(table), [info.table.name for info in self.list()])
        return pa.schema(
            [
                pa.field(str(name), TYPES[str(kind)], nullable=not required,
                         metadata={"source_type": str(kind)} | ({"key": "primary"} if key else {}))
                for name, kind, required, key in columns
            ]
        )  # fmt: skip

    def plan(self, request: ScanRequest) -> ScanPlan:
        whole = self.schema(request.table)
        wanted = (*request.columns, *(column.name for one in request.predicates for column in columns_of(one)))
        for name in wanted:
            if name not in whole.names:
                raise UnknownColumn(name, whole.names)
        names = list(dict.fromkeys(wanted))
        schema = pa.schema([whole.field(name) for name in names])
        text = f"select {', '.join(map(_quoted, names)) or 'null'} from {_quoted(request.table.name)}"
        return ScanPlan(
            request,
            (Split(0, request.table, text, schema),),
            schema,
            text,
            reasons=dict.fromkeys(request.predicates, "the toy applies none"),
            extra=len(names) - len(request.columns),
        )

    def native(self, text: str) -> NoReturn:
        raise Unsupported("The toy connector", "run native text", "Ask in SQL.")

    def read(self, split: Split, control: Control) -> ToyReader:
        return ToyReader(self._connector, self, split, control)


class ToyReader:
    """Rows of one statement, a batch at a time."""

    native_id: str | None = None
    snapshot: Position | None = None
    lost: Mapping[str, int] = {}

    def __init__(self, connector: ToyConnector, tables: ToyTables, split: Split, control: Control) -> None:
        there = tables.schema(split.table)
        for column in split.schema:
            # SQLite reads a quoted name that is no column as a text.
            if column.name not in there.names or there.field(column.name).type != column.type:
                raise SnapshotChanged(str(split.table), f"column `{column.name}`", connector.config.name)
        self.schema, self.received = split.schema, 0
        self._control, self._name, self._text = control, connector.config.name, split.native_text
        self._link = connector.dial()
        self._cursor: sqlite3.Cursor | None = None
        self._over = False

    def __iter__(self) -> ToyReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._over:
            raise StopIteration
        if self._control.cancelled():
            self.close()
            raise Cancelled("The scan")
        try:
            self._cursor = self._cursor or self._link.execute(self._text)
            rows = self._cursor.fetchmany(ROWS)
        except sqlite3.Error as error:
            self.close()
            raise QueryFailed(str(error), native_text=self._text, connection=self._name) from None
        if not rows:
            self.close()
            raise StopIteration
        if not self.schema.names:
            return pa.record_batch({"rows": pa.nulls(len(rows))}).select([])
        columns = [
            pa.array(values, column.type) for values, column in zip(zip(*rows, strict=True), self.schema, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        self.received += batch.nbytes
        return batch

    def close(self) -> None:
        self._over = True
        self._link.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
