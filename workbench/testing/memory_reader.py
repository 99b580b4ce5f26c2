"""Reading a split of the in-memory connector, with the faults that its table parameters ask for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from workbench.contract import Control, Position, Split
from workbench.contract.errors import Cancelled, ConnectionLost
from workbench.contract.predicate import columns_of
from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS
from workbench.testing.memory_reducing import summed, topmost
from workbench.testing.memory_source import MemorySource, MemoryTable

__all__ = ["MemoryReader"]

_POLL = 0.02


class MemoryReader:
    """The batches of one split. Its work is listed in `MemorySource.running()` until it ends."""

    def __init__(
        self,
        source: MemorySource,
        table: MemoryTable,
        split: Split,
        control: Control,
        knobs: Mapping[str, Any],
        name: str,
    ) -> None:
        self._source, self._split, self._control, self._knobs, self._name = source, split, control, knobs, name
        self._native_id = f"{control.mark}-{split.number}"
        self._snapshot = source.now()
        self._received = 0
        self._given = 0
        self._left = split.state.get("limit")
        self._closed = threading.Event()
        self._over = threading.Lock()
        self._ended = False
        self._outcome: BaseException | None = None
        start, stop = split.state["start"], split.state["stop"]
        part = table.rows.slice(start, stop - start)
        width = max(1, part.nbytes // max(1, part.num_rows))
        size = min(knobs.get("batch_rows", BATCH_ROWS), max(1, BATCH_BYTES // width), BATCH_ROWS)
        wanted = set(split.schema.names) | {c.name for p in split.state["predicates"] for c in columns_of(p)}
        # A table without columns has no row count; a batch has one: so one column is read where none is wanted.
        columns = [column for column in part.column_names if column in wanted] or part.column_names[:1]
        self._reduces = split.state["top"] is not None or split.state["aggregate"] is not None
        self._read = 0
        """Batches of rows that a reader which gives sums has read before its first one: the faults count them."""
        if self._reduces:
            self._read = -(-part.num_rows // size)
            part = _reduced(part, split)
            columns = [name for name in part.column_names if name in split.schema.names] or part.column_names[:1]
        self._batches = iter(part.select(columns).to_batches(max_chunksize=size) if part.num_rows else [])
        control.running(self._native_id)
        self._stop = source.begin(self._native_id)

    @property
    def schema(self) -> pa.Schema:
        return self._split.schema

    @property
    def native_id(self) -> str | None:
        return self._native_id

    @property
    def snapshot(self) -> Position | None:
        return self._snapshot

    @property
    def lost(self) -> Mapping[str, int]:
        return {}

    @property
    def received(self) -> int:
        return self._received

    def __iter__(self) -> MemoryReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._outcome is not None:
            raise self._outcome
        try:
            batch = self._next()
        except BaseException as error:
            self._outcome = error
            self._end()
            raise
        self._given += 1
        self._received += batch.nbytes
        return batch

    def close(self) -> None:
        self._closed.set()
        self._stop.set()
        self._end()

    def _due(self, fault: str) -> bool:
        at = self._knobs.get(fault)
        return at is not None and (self._given == at or at <= self._read)

    def _next(self) -> pa.RecordBatch:
        self._check()
        if pause := self._knobs.get("pause"):
            self._source.wait(pause, self._stop)
            self._check()
        if self._due("fail_after"):
            raise ConnectionLost(
                f"the connection ended after {self._knobs['fail_after']} batches, as it was told to", self._name
            )
        if self._due("hold_after"):
            while True:
                self._stop.wait(_POLL)
                self._check()
        if self._left == 0:
            raise StopIteration
        batch = next(self._batches)
        if self._split.state["predicates"] and not self._reduces:
            from workbench.kit.filter import apply

            batch = apply(batch, self._split.state["predicates"])
        if self._left is not None:
            batch = batch.slice(0, self._left)
            self._left -= batch.num_rows
        return _shaped(batch, self._split.schema)

    def _check(self) -> None:
        asked = self._closed.is_set() or self._stop.is_set() or self._control.cancelled()
        if asked or self._source.stopped(self._native_id):
            raise Cancelled("The scan")

    def _end(self) -> None:
        with self._over:
            if self._ended:
                return
            self._ended = True
        self._source.end(self._native_id)
        self._control.ended(self._native_id)


def _reduced(part: pa.Table, split: Split) -> pa.Table:
    from workbench.kit.filter import apply

    if part.num_rows and split.state["predicates"]:
        part = pa.Table.from_batches([apply(one, split.state["predicates"]) for one in part.to_batches()], part.schema)
    if split.state["aggregate"] is not None:
        return summed(part, split.state["aggregate"], split.schema)
    return topmost(part, split.state["top"])


def _shaped(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if not schema.names:
        return batch.select([])
    return pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
