"""Reading a split. Waits inside DuckDB are ended by interrupting it, from one thread that looks after all readers."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from workbench.contract import Control, Split
from workbench.contract.errors import SnapshotChanged
from workbench.contract.scan import BATCH_ROWS
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_duckdb.instance import Database
from workbench_duckdb.trouble import named

__all__ = ["DuckDBReader"]

POLL_SECONDS = 0.05


class DuckDBReader(GeneratedReader):
    """The batches of one split; the query begins at the first."""

    def __init__(self, database: Database, split: Split, control: Control, writable: bool, connection: str) -> None:
        self._database, self._writable, self._connection = database, writable, connection
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._cursor_lock = threading.Lock()  # a cursor that is closed must not be interrupted
        super().__init__(split, control)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        _monitor.watch(self)
        try:
            yield
        finally:
            _monitor.leave(self)

    def close(self) -> None:
        super().close()
        self.interrupt_if_asked()  # a step that waits

    def interrupt_if_asked(self) -> None:
        """From the monitor, again and again: an interrupt that comes between two statements is lost."""
        with self._cursor_lock:
            if self._cursor is not None and self._asked_to_end():
                self._cursor.interrupt()

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        state: Mapping[str, Any] = self._split.state
        planned = "" if state["native"] else str(self._split.table)
        cursor = self._database.acquire(self._writable, self._connection)
        try:
            self._cursor = cursor
            with named(self._connection, self._split.native_text, planned):
                if not state["writes"]:
                    cursor.execute("begin transaction read only")
                relation = cursor.sql(state["sql"], params=list(state["parameters"]))
                # Asked when our view of the file is fixed (the statement is bound): what was written before is seen
                # here, and what is written later is not seen by the query.
                if state["stamp"] is not None and tuple(state["stamp"]) != self._database.stamp():
                    raise SnapshotChanged(planned, "the file was written to", self._connection)
                if relation is None:  # a statement without a result
                    return
                if state["count"]:
                    ((rows,),) = relation.fetchall()
                    yield from rows_only(rows)
                    return
                reader = relation.to_arrow_reader(BATCH_ROWS)
                while True:
                    self._check()
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        return
                    self._received += batch.nbytes
                    yield from pieces(self._fitted(batch, planned))
        finally:
            with self._cursor_lock:
                self._cursor = None
            self._database.release(cursor)

    def _fitted(self, batch: pa.RecordBatch, planned: str) -> pa.RecordBatch:
        schema = self._split.schema
        columns = batch.columns
        if len(columns) != len(schema):
            raise SnapshotChanged(planned or "The query", "it has other columns", self._connection)
        for at, column in enumerate(schema):
            if columns[at].type != column.type:
                if planned or not pa.types.is_dictionary(columns[at].type):
                    why = f"`{column.name}` is {columns[at].type}, and was {column.type}"
                    raise SnapshotChanged(planned or "The query", why, self._connection)
                columns[at] = columns[at].cast(column.type)
        return pa.RecordBatch.from_arrays(columns, schema=schema)


class _Monitor:
    """Looks after the readers that wait inside DuckDB; its thread lives while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: set[DuckDBReader] = set()
        self._thread: threading.Thread | None = None

    def watch(self, reader: DuckDBReader) -> None:
        with self._changed:
            self._readers.add(reader)
            if self._thread is None or not self._thread.is_alive():  # not alive: in a forked child
                self._thread = threading.Thread(target=self._poll, name="workbench-duckdb", daemon=True)
                self._thread.start()

    def leave(self, reader: DuckDBReader) -> None:
        with self._changed:
            self._readers.discard(reader)

    def _poll(self) -> None:
        idle = 0
        while True:
            with self._changed:
                self._changed.wait(POLL_SECONDS)
                readers = list(self._readers)
                idle = 0 if readers else idle + 1
                if idle > 20:  # a second: readers come and go with each batch
                    self._thread = None
                    return
            for reader in readers:
                reader.interrupt_if_asked()


_monitor = _Monitor()
