"""Sizes of record batches, and cutting them to size without copying."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS

__all__ = ["cut", "size_of"]

TINY = 4_096


def size_of(batch: pa.RecordBatch) -> int:
    """The bytes of the batch's own rows, not of the buffers that it shares with other slices, unless these are tiny:
    then looking closer costs more than it tells."""
    held = int(batch.get_total_buffer_size())
    if held <= TINY:
        return held
    try:
        return int(batch.nbytes)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):  # a type for which pyarrow cannot say it
        return held


def cut(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The batch in slices of at most `BATCH_ROWS` rows and about `BATCH_BYTES` bytes, each with its size."""
    rows, size = batch.num_rows, size_of(batch)
    if rows <= BATCH_ROWS and size <= BATCH_BYTES:
        yield batch, size
        return
    step = BATCH_ROWS if size <= BATCH_BYTES else max(1, min(BATCH_ROWS, rows * BATCH_BYTES // size))
    for start in range(0, rows, step):
        piece = batch.slice(start, step)
        yield piece, size * piece.num_rows // rows
