"""Batches of the size that the contract promises: 64 k rows, or about 8 MiB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["pieces", "rows_only"]


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in parts that keep the promise, in order and without a copy; nothing for an empty one. A part with
    a few very wide rows is halved until it fits, or is one row."""
    waiting = [batch.slice(at, BATCH_ROWS) for at in range(0, batch.num_rows, BATCH_ROWS)][::-1]
    while waiting:
        part = waiting.pop()
        if part.num_rows > 1 and part.num_columns and part.nbytes > BATCH_BYTES:
            half = part.num_rows // 2
            waiting += [part.slice(half), part.slice(0, half)]
        else:
            yield part


def rows_only(rows: int) -> Iterator[pa.RecordBatch]:
    """Batches without columns, of so many rows in all."""
    import pyarrow as pa

    while rows > 0:
        now = min(rows, BATCH_ROWS)
        yield pa.RecordBatch.from_struct_array(pa.Array.from_buffers(pa.struct([]), now, [None]))
        rows -= now
