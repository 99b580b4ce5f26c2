"""The in-memory connector's feeds and sinks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.contract import (
    Changes,
    Control,
    Guarantee,
    Heartbeat,
    Position,
    Rejects,
    SchemaChange,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import (
    Cancelled,
    InvalidParameter,
    PositionLost,
    StatementRefused,
    UnknownTable,
    Unsupported,
)
from workbench.testing.memory_source import MemorySource

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.testing.memory import MemoryConnector

__all__ = ["MemoryFeed", "MemoryFeeds", "MemorySinks", "MemoryWriter"]

HEARTBEAT = 1.0
"""Seconds of the source's clock between heartbeats; the first comes at once when all has been said."""
_POLL = 0.02


class MemoryFeeds:
    """A table's changes, in one partition."""

    def __init__(self, connector: MemoryConnector) -> None:
        self._connector = connector

    def partitions(self, table: TableRef) -> Sequence[str]:
        self._connector.source().table(table)
        return ("0",)

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> MemoryFeed:
        source = self._connector.source()
        source.table(table)
        if partition != "0":
            raise InvalidParameter("partition", f"is `{partition}`; the table has one, `0`")
        if after is not None and (after.source != source.identity or int(after.value) < source.beginning(table)):
            remedy = "Scan the table again, and follow it from the scan's snapshot."
            raise PositionLost(after.value, remedy, self._connector.config.name)
        return MemoryFeed(source, table, int(after.value) if after else source.beginning(table), control)

    def now(self, table: TableRef, partition: str) -> Position:
        source = self._connector.source()
        source.table(table)
        return source.now()

    def reached(self, now: Position, mark: Position) -> bool:
        return int(now.value) >= int(mark.value)


class MemoryFeed:
    """Waits for what comes; a Heartbeat says that all up to its position has been said."""

    def __init__(self, source: MemorySource, table: TableRef, after: int, control: Control) -> None:
        self._source, self._table, self._control = source, table, control
        self._after, self._told = after, -1.0
        self._waiting: deque[Changes | SchemaChange] = deque()
        self._closed = threading.Event()

    def __iter__(self) -> MemoryFeed:
        return self

    def __next__(self) -> Changes | SchemaChange | Heartbeat:
        while True:
            if self._closed.is_set():
                raise StopIteration
            if self._control.cancelled():
                raise Cancelled("The feed")
            with self._source.changed:
                entry = next(self._source.entries(self._table, self._after), None)
                if entry is not None:
                    at = entry.at if isinstance(entry, SchemaChange) else entry.last
                    self._after, self._told = int(at.value), -1.0
                    return entry
                now = self._source.clock()
                if self._told < 0 or now - self._told >= HEARTBEAT:
                    self._told = now
                    return Heartbeat(Position(self._source.identity, str(self._after)))
                self._source.changed.wait(_POLL)

    def confirm(self, upto: Position) -> None:
        self._source.confirm(self._table, int(upto.value))

    def close(self) -> None:
        self._closed.set()
        with self._source.changed:
            self._source.changed.notify_all()


class MemorySinks:
    """Rows and their position in one transaction."""

    def __init__(self, connector: MemoryConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> MemoryWriter:
        if not self._connector.config.writable:
            raise StatementRefused("Writing", "the connection is read-only. Connect with writable=True.")
        if spec.mode not in ("insert", "upsert"):
            raise Unsupported("The in-memory connector", f"write in mode `{spec.mode}`")
        source = self._connector.source()
        try:
            there = source.table(table)
        except UnknownTable:
            if not spec.create:
                raise
            source.put(table, spec.schema.empty_table(), spec.key)
            there = source.table(table)
        _fits(spec.schema, there.rows.schema)
        key = spec.key or there.key
        if spec.mode == "upsert" and not key:
            raise InvalidParameter("key", "is needed to upsert, and the table has no primary key")
        for column in key:
            if column not in there.rows.column_names:
                raise InvalidParameter("key", f"names `{column}`, which is not a column of `{table}`")
        return MemoryWriter(source, table, spec, key)


class MemoryWriter:
    def __init__(self, source: MemorySource, table: TableRef, spec: WriteSpec, key: tuple[str, ...]) -> None:
        self._source, self._table, self._spec, self._key = source, table, spec, key
        self._waiting: list[Changes] = []
        self._last, self._refused = -1, 0
        self._closed = False

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee.TRANSACTIONAL

    def position(self) -> Position | None:
        kept = self._source.table(self._table).positions.get(self._spec.stream)
        return Position(*kept.split("\n", 1)) if kept is not None else None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        if self._closed:
            raise ValueError("the writer is closed")
        if sequence <= self._last:
            return Rejects()
        _fits(changes.rows.schema, self._source.table(self._table).rows.schema)
        self._last = sequence
        self._waiting.append(changes)
        rejects = self._source.refused(self._table, self._waiting, self._spec.mode, self._key)
        new, self._refused = rejects.count - self._refused, rejects.count
        return Rejects(new, rejects.samples if new else ())

    def commit(self, upto: Position | None) -> None:
        position = (self._spec.stream, f"{upto.source}\n{upto.value}") if upto else None
        self._source.change(self._table, self._waiting, self._spec.mode, self._key, position, self._refused)
        self._waiting, self._refused = [], 0

    def close(self) -> None:
        self._waiting = []
        self._closed = True


def _fits(given: pa.Schema, there: pa.Schema) -> None:
    if sorted(given.names) != sorted(there.names):
        raise InvalidParameter(
            "schema", f"has the columns {', '.join(given.names)}; the table has {', '.join(there.names)}"
        )
    for column in given:
        if column.type != there.field(column.name).type:
            wanted = there.field(column.name).type
            raise InvalidParameter("schema", f"has `{column.name}` as {column.type}; the table has {wanted}")
