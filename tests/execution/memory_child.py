"""Reads three million rows of about 120 bytes through a scan, slowly, and prints by how many MiB the process grew."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa

from tests.execution.scripted import Script, Step
from workbench.execution.scan import Scan
from workbench.runs import Register

ROWS, WIDTH = 60_000, 108
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


class Fresh(Sequence[Step]):
    """Ten batches, each made when it is asked for."""

    def __len__(self) -> int:
        return 10

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Step]: ...
    def __getitem__(self, at: int | slice) -> Step | Sequence[Step]:
        if isinstance(at, slice) or at >= 10:
            raise IndexError
        numbers = np.arange(at * ROWS, (at + 1) * ROWS)
        ends = np.arange(0, (ROWS + 1) * WIDTH, WIDTH, dtype=np.int32)
        texts = pa.StringArray.from_buffers(ROWS, pa.py_buffer(ends), pa.py_buffer(b"x" * (ROWS * WIDTH)))
        return pa.RecordBatch.from_arrays([pa.array(numbers), texts], schema=SCHEMA)


def main(folder: Path) -> None:
    register = Register(folder / "runs.sqlite")
    script = Script([[Fresh()] for _ in range(5)], schema=SCHEMA)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scan = Scan(script.source(), register.begin("query", "memory"))
    rows = 0
    for batch in scan:
        rows += batch.num_rows
        if rows == ROWS:
            while scan.stats.batches < 9:  # a sleeping consumer: the queue is full
                scan.drained(0.01)
    register.close()
    assert rows == 3_000_000
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
