"""A result as it grows: written once, read any number of times, in memory first and then in a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from workbench.contract.errors import LimitExceeded, UsageError
from workbench.execution.batches import size_of
from workbench.execution.spool_file import Gone, Place, SpoolFile, sweep

__all__ = ["Spool"]


class Spool:
    """Record batches of one schema, from one writing thread, for any number of readers in any threads.

    **Where.** The first `memory_bytes` stay in memory just as they came, without a copy; what comes after goes to a
    file in `folder` (made when it is needed, 0700), which only this process can reach and which is gone with it, with
    `close`, and when nobody holds the spool and its readers any more. What another process left there, it having died
    at the wrong moment, is swept when a file is made.

    **Caps.** With `max_rows` and `max_bytes` (as in memory) the spool keeps what fits, says so in `capped` and `cap`,
    and wants no more: `append` gives False. It is capped only when there was more.

    **Writing.** `begin(schema)`, `append` any number of times, then `finish` or `fail(error)`; or `fill`, which does
    all of it. When the file cannot be written, `append` fails the spool with a LimitExceeded and raises it.

    **Reading.** Each reader starts at the first row and waits for more until the spool is finished. After `fail` it
    gives the rows so far and then raises that error; after `close` it raises a UsageError.
    """

    def __init__(
        self,
        folder: Path,
        memory_bytes: int,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        schema: pa.Schema | None = None,
    ) -> None:
        self._folder, self._memory_bytes = Path(folder), memory_bytes
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._schema = schema
        self._changed = threading.Condition()
        self._slots: list[pa.RecordBatch | Place] = []
        self._file: SpoolFile | None = None
        self._rows = self._bytes = self._in_memory = 0
        self._finished = self._closed = False
        self._cap = ""
        self._error: BaseException | None = None

    # Writing

    def begin(self, schema: pa.Schema) -> None:
        """Says the schema, so that readers can be made before the first batch. The first batch says it too."""
        with self._changed:
            if self._schema is None:
                self._schema = schema
                self._changed.notify_all()
            elif not self._schema.equals(schema):
                raise UsageError(f"A result has one schema. It was {self._schema}, now it is {schema}.")

    def append(self, batch: pa.RecordBatch) -> bool:
        """Adds rows; False when the spool wants no more, because it is capped or closed."""
        if self._schema is None or not self._schema.equals(batch.schema):
            self.begin(batch.schema)
        if self._finished or self._cap:
            return False
        size = size_of(batch)
        batch, size, cap = self._capped(batch, size)
        slot: pa.RecordBatch | Place = batch
        if batch.num_rows and self._in_memory + size > self._memory_bytes:
            try:
                slot = self._spill(batch)
            except Gone:
                return False
        with self._changed:
            if self._closed:
                return False
            if batch.num_rows:
                self._slots.append(slot)
                self._rows += batch.num_rows
                self._bytes += size
                self._in_memory += size if slot is batch else 0
            self._cap = cap
            self._changed.notify_all()
        return not cap

    def finish(self) -> None:
        """All rows are there. Only the first end counts."""
        self._end(None)

    def fail(self, error: BaseException) -> None:
        """There will be no more rows, because of `error`, which readers get after the rows so far."""
        self._end(error)

    def fill(self, batches: pa.RecordBatchReader) -> None:
        """Takes all batches, as far as the caps go, and ends. An error of `batches` fails the spool and is raised."""
        try:
            self.begin(batches.schema)
            for batch in batches:
                if not self.append(batch):
                    break
        except BaseException as error:
            self.fail(error)
            raise
        self.finish()

    def close(self) -> None:
        """Forgets everything, the file too. Batches that were read stay good. Idempotent, from any thread."""
        with self._changed:
            self._closed = self._finished = True
            self._slots = []
            held, self._file = self._file, None
            self._changed.notify_all()
        if held is not None:
            held.close()

    # Reading

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows from the first on, waiting for more until the end."""
        at = 0
        while (batch := self._slot(at)) is not None:
            yield batch
            at += 1

    def reader(self) -> pa.RecordBatchReader:
        """The same for pyarrow, polars and DuckDB, which wrap an error in one of their own: `error` has the original.
        Waits for the schema."""
        with self._changed:
            self._changed.wait_for(lambda: self._schema is not None or self._finished)
            if self._schema is None:
                raise self._error or _closed()
            return pa.RecordBatchReader.from_batches(self._schema, self.batches())

    def wait_first(self, timeout: float | None = None) -> bool:
        """Waits for the first rows, or the end; False when there is neither after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._slots) or self._finished, timeout)

    def wait_finished(self, timeout: float | None = None) -> bool:
        """Waits for the end, whichever; False when it is not there after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finished, timeout)

    def wait_rows(self, rows: int, timeout: float | None = None) -> bool:
        """Waits until there are that many rows, or the end."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rows >= rows or self._finished, timeout)

    @property
    def schema(self) -> pa.Schema | None:
        """None until it is known."""
        return self._schema

    @property
    def rows(self) -> int:
        """Rows so far; all of them when `finished`, and not `capped` nor failed."""
        return self._rows

    @property
    def bytes(self) -> int:
        """Bytes so far, as in memory."""
        return self._bytes

    @property
    def spilled(self) -> int:
        """Bytes of the file so far."""
        held = self._file
        return 0 if held is None else held.size

    @property
    def finished(self) -> bool:
        """Whether no more rows will come, for whatever reason."""
        return self._finished

    @property
    def capped(self) -> bool:
        """Whether there were more rows than the spool may keep."""
        return bool(self._cap)

    @property
    def cap(self) -> str:
        """`capped at 1,000 rows, more rows exist`, or an empty text."""
        return self._cap

    @property
    def error(self) -> BaseException | None:
        return self._error

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _capped(self, batch: pa.RecordBatch, size: int) -> tuple[pa.RecordBatch, int, str]:
        """The part of the batch that may be kept, its size, and what to say if it is not all."""
        keep, cap, rows = batch.num_rows, "", batch.num_rows
        if self._max_bytes is not None and self._bytes + size > self._max_bytes:
            keep = max(0, rows * (self._max_bytes - self._bytes) // size)
            cap = f"capped at {self._max_bytes:,} bytes, more rows exist"
        if self._max_rows is not None and self._rows + keep > self._max_rows:
            keep = self._max_rows - self._rows
            cap = f"capped at {self._max_rows:,} rows, more rows exist"
        return (batch.slice(0, keep), size * keep // rows, cap) if cap else (batch, size, cap)

    def _spill(self, batch: pa.RecordBatch) -> Place:
        try:
            held = self._file
            if held is None:
                sweep(self._folder)
                held = SpoolFile(self._folder)
                with self._changed:
                    if self._closed:
                        raise Gone
                    self._file = held
            return held.write(batch)
        except OSError as why:
            free = f"{self._memory_bytes:,} bytes in memory"
            hint = f"The rest does not fit into a file ({why.strerror}). Ask for fewer rows or columns, or make room."
            error = LimitExceeded("result size", free, hint)
            self.fail(error)
            raise error from why

    def _slot(self, at: int) -> pa.RecordBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: at < len(self._slots) or self._finished)
            if self._closed:
                raise _closed()
            if at >= len(self._slots):
                if self._error is not None:
                    raise self._error
                return None
            slot, held = self._slots[at], self._file
        if isinstance(slot, Place):
            assert held is not None
            try:
                return held.read(slot)
            except Gone:
                raise _closed() from None
        return slot

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if not self._finished:
                self._finished, self._error = True, error
                self._changed.notify_all()


def _closed() -> UsageError:
    return UsageError("This result was closed. Run it again.")
