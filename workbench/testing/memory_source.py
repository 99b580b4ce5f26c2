"""The source behind the in-memory connector: tables with versions, a change log, and work that can be ended.

It lives in the process that made it; with a folder, each table is also one Arrow IPC file there, so that another
process that opens the same configuration reads the same rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract import Changes, Position, Rejects, SchemaChange, TableRef
from workbench.contract.errors import InvalidParameter, QueryFailed, UnknownTable

__all__ = ["MemorySource", "MemoryTable", "source_of"]

_sources: weakref.WeakValueDictionary[str, MemorySource] = weakref.WeakValueDictionary()
_from_folders: dict[str, MemorySource] = {}
_door = threading.Lock()
_KEPT_VERSIONS = 16


@dataclass(frozen=True)
class MemoryTable:
    """One version of a table. `positions` are those that writers keep, by stream."""

    ref: TableRef
    rows: pa.Table
    key: tuple[str, ...] = ()
    version: int = 1
    positions: Mapping[str, str] = field(default_factory=dict)


class MemorySource:
    """Tables in memory. Thread-safe. `password` is what `MemoryConnector.test` and every read ask for, if set.

    `wait(seconds, event)` is how a paused reader waits; it returns early when the event is set. `clock` is what
    feeds' heartbeats go by.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        folder: Path | None = None,
        password: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float, threading.Event], object] = lambda seconds, event: event.wait(seconds),
    ) -> None:
        self.name = name or f"memory-{uuid.uuid4().hex[:12]}"
        self.folder, self.password, self.clock, self.wait = folder, password, clock, wait
        self.identity = uuid.uuid4().hex
        self.changed = threading.Condition()
        self._versions: dict[TableRef, list[MemoryTable]] = {}
        self._log: dict[TableRef, list[Changes | SchemaChange]] = {}
        self._forgotten: dict[TableRef, int] = {}
        self._confirmed: dict[TableRef, int] = {}
        self._work: dict[str, threading.Event] = {}
        self._position = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for file in sorted(folder.glob("*.arrow")):
                table = _read(file)
                self._versions[table.ref] = [table]
                self._log[table.ref] = []
        with _door:
            _sources[self.name] = self

    # --- tables

    def put(self, name: str | TableRef, rows: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        """Creates a table, in place of an older one; its rows begin its change log."""
        ref = name if isinstance(name, TableRef) else TableRef(name)
        for column in key:
            if column not in rows.column_names:
                raise InvalidParameter("key", f"names `{column}`, which is not a column")
        with self.changed:
            number = self._versions[ref][-1].version + 1 if ref in self._versions else 1
            self._keep(MemoryTable(ref, rows, key, number))
            self._log[ref] = [SchemaChange(ref, rows.schema, self._next())]
            if rows.num_rows:
                at = self._next()
                whole = rows.combine_chunks().to_batches()[0]
                self._log[ref].append(Changes(ref, whole, None, at, at))
            self._forgotten.pop(ref, None)
            self.changed.notify_all()
        return ref

    def drop(self, ref: TableRef) -> None:
        with self.changed:
            self._versions.pop(ref, None)
            self._log.pop(ref, None)
            if self.folder is not None:
                self._file(ref).unlink(missing_ok=True)
            self.changed.notify_all()

    def alter(self, ref: TableRef, change: Callable[[pa.Table], pa.Table]) -> None:
        """Gives the table another shape: `change` makes the new rows from the old."""
        with self.changed:
            old = self.table(ref)
            self._keep(replace(old, rows=change(old.rows), version=old.version + 1))
            self._log[ref].append(SchemaChange(ref, self.table(ref).rows.schema, self._next()))
            self.changed.notify_all()

    def refs(self) -> list[TableRef]:
        with self.changed:
            return sorted(self._versions, key=str)

    def table(self, ref: TableRef, version: int | None = None) -> MemoryTable:
        """The newest version, or that one. Raises UnknownTable; KeyError for a version that is not kept."""
        with self.changed:
            if ref not in self._versions:
                raise UnknownTable(str(ref), [str(other) for other in self._versions])
            kept = self._versions[ref]
            if version is None:
                return kept[-1]
            for table in kept:
                if table.version == version:
                    return table
            raise KeyError(version)

    def refused(self, ref: TableRef, changes: Sequence[Changes], mode: str, key: tuple[str, ...]) -> Rejects:
        """Which rows `change` would leave out: those whose key is there already, in mode `insert`, or holds NULL."""
        old = self.table(ref)
        _, refused = _all_applied(old.rows, changes, mode, key or old.key)
        return Rejects(len(refused), tuple(refused[:5]))

    def change(
        self,
        ref: TableRef,
        changes: Sequence[Changes],
        mode: str = "insert",
        key: tuple[str, ...] = (),
        position: tuple[str, str] | None = None,
        known: int = 0,
    ) -> None:
        """Applies batches, and the position of a stream, in one transaction. Where more rows are refused than the
        caller has `known` of, nothing is changed and QueryFailed is raised."""
        with self.changed:
            old = self.table(ref)
            rows, refused = _all_applied(old.rows, changes, mode, key or old.key)
            if len(refused) > known:
                raise QueryFailed(f"rows of {ref} are refused: {'; '.join(refused[:5])}", "duplicate")
            positions = {**old.positions, position[0]: position[1]} if position else old.positions
            self._keep(replace(old, rows=rows, version=old.version + 1, positions=positions))
            for batch in changes:
                if batch.rows.num_rows:
                    at = self._next()
                    self._log[ref].append(replace(batch, table=ref, first=at, last=at, complete=True))
            self.changed.notify_all()

    # --- the change log

    def entries(self, ref: TableRef, after: int) -> Iterator[Changes | SchemaChange]:
        """What happened after that position, in order. Call with `changed` held."""
        for entry in self._log.get(ref, ()):
            if int((entry.at if isinstance(entry, SchemaChange) else entry.last).value) > after:
                yield entry

    def beginning(self, ref: TableRef) -> int:
        """The position before the first that is still known."""
        with self.changed:
            return self._forgotten.get(ref, 0)

    def now(self) -> Position:
        with self.changed:
            return Position(self.identity, str(self._position))

    def confirm(self, ref: TableRef, upto: int) -> None:
        with self.changed:
            self._confirmed[ref] = max(upto, self._confirmed.get(ref, 0))

    def confirmed(self, ref: TableRef) -> int:
        with self.changed:
            return self._confirmed.get(ref, 0)

    def forget(self, ref: TableRef) -> None:
        """Forgets the table's history up to now."""
        with self.changed:
            self._log[ref] = []
            self._forgotten[ref] = self._next_value()

    # --- work

    def begin(self, native_id: str) -> threading.Event:
        """Notes that work runs; the event is set when it is to end."""
        event = threading.Event()
        with self.changed:
            self._work[native_id] = event
            self.changed.notify_all()
        if self.folder is not None:
            self._flag(native_id, "running").touch()
        return event

    def end(self, native_id: str) -> None:
        with self.changed:
            self._work.pop(native_id, None)
            self.changed.notify_all()
        if self.folder is not None:
            self._flag(native_id, "running").unlink(missing_ok=True)
            self._flag(native_id, "cancel").unlink(missing_ok=True)

    def cancel(self, native_id: str) -> None:
        """Ends that work, also when it runs in another process that opened the same folder."""
        with self.changed:
            if native_id in self._work:
                self._work[native_id].set()
                return
        if self.folder is not None and self._flag(native_id, "running").exists():
            self._flag(native_id, "cancel").touch()

    def stopped(self, native_id: str) -> bool:
        """Whether another process asked for its end."""
        return self.folder is not None and self._flag(native_id, "cancel").exists()

    def running(self) -> list[str]:
        with self.changed:
            known = set(self._work)
        if self.folder is not None:
            known |= {file.stem for file in self.folder.glob("*.running")}
        return sorted(known)

    # --- inside

    def _next_value(self) -> int:
        self._position += 1
        return self._position

    def _next(self) -> Position:
        return Position(self.identity, str(self._next_value()))

    def _keep(self, table: MemoryTable) -> None:
        self._versions[table.ref] = [*self._versions.get(table.ref, []), table][-_KEPT_VERSIONS:]
        if self.folder is not None:
            _write(self._file(table.ref), table)

    def _file(self, ref: TableRef) -> Path:
        assert self.folder is not None
        return self.folder / f"{hashlib.sha256(repr((ref.schema, ref.name)).encode()).hexdigest()[:32]}.arrow"

    def _flag(self, native_id: str, what: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{native_id}.{what}"


def source_of(parameters: Mapping[str, Any]) -> MemorySource:
    """The source that a connection's parameters name: one of this process, or a folder."""
    with _door:
        found = _sources.get(str(parameters.get("database", "")))
    if found is not None:
        return found
    if "folder" in parameters:
        folder = str(parameters["folder"])
        if folder not in _from_folders:
            _from_folders[folder] = MemorySource(str(parameters.get("database") or folder), folder=Path(folder))
        return _from_folders[folder]
    raise InvalidParameter("database", f"names no source of this process: {parameters.get('database')!r}")


def _all_applied(
    rows: pa.Table, changes: Sequence[Changes], mode: str, key: tuple[str, ...]
) -> tuple[pa.Table, list[str]]:
    refused: list[str] = []
    for batch in changes:
        rows, more = _applied(rows, batch, mode, key)
        refused += more
    return rows, refused


def _applied(rows: pa.Table, changes: Changes, mode: str, key: tuple[str, ...]) -> tuple[pa.Table, list[str]]:
    batch = changes.rows
    new = pa.Table.from_batches([batch]).select(rows.column_names).cast(rows.schema)
    together = pa.concat_tables([rows, new]).combine_chunks()
    if not key:
        if changes.ops is not None and any(op != "insert" for op in changes.ops.to_pylist()):
            raise InvalidParameter("key", "is needed to update or delete rows")
        return together, []
    keys = list(zip(*(together.column(column).to_pylist() for column in key), strict=True))
    ops = ["insert"] * batch.num_rows if changes.ops is None else changes.ops.to_pylist()
    place: dict[tuple[Any, ...], int] = {}
    order: list[int | None] = []
    refused: list[str] = []
    for index in range(rows.num_rows):
        place[keys[index]] = len(order)
        order.append(index)
    for offset, op in enumerate(ops):
        index = rows.num_rows + offset
        at = place.get(keys[index])
        if None in keys[index]:
            refused.append(f"the key {keys[index]} holds NULL")
        elif op == "delete":
            if at is not None:
                order[at] = None
                del place[keys[index]]
        elif at is None:
            place[keys[index]] = len(order)
            order.append(index)
        elif op == "insert" and mode == "insert":
            refused.append(f"the key {keys[index]} is there already")
        else:
            order[at] = index
    return together.take(pa.array([index for index in order if index is not None], pa.int64())), refused


def _write(file: Path, table: MemoryTable) -> None:
    about = {"name": table.ref.name, "schema": table.ref.schema, "key": table.key, "version": table.version,
             "positions": dict(table.positions)}  # fmt: skip
    metadata = {**(table.rows.schema.metadata or {}), b"workbench": json.dumps(about).encode()}
    half = file.with_suffix(".half")
    with pa.OSFile(str(half), "wb") as sink, pa.ipc.new_file(sink, table.rows.schema.with_metadata(metadata)) as out:
        out.write_table(table.rows.replace_schema_metadata(metadata))
    os.replace(half, file)


def _read(file: Path) -> MemoryTable:
    with pa.OSFile(str(file), "rb") as stream:
        rows = pa.ipc.open_file(stream).read_all()
    metadata = dict(rows.schema.metadata)
    about = json.loads(metadata.pop(b"workbench"))
    ref = TableRef(about["name"], about["schema"])
    return MemoryTable(
        ref, rows.replace_schema_metadata(metadata or None), tuple(about["key"]), about["version"], about["positions"]
    )
