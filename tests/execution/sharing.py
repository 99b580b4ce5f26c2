"""A process that shares a result: says its id, grows batch by batch, and ends as it is told, or is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa

from workbench.execution.shared import Shared
from workbench.execution.spool import Spool

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("odd", pa.bool_())])


def batch(first: int, rows: int) -> pa.RecordBatch:
    """Rows that say who they are, so that a reader can tell each from any other."""
    numbers = range(first, first + rows)
    columns = [pa.array(numbers), pa.array([f"row {n}" for n in numbers]), pa.array([n % 2 == 1 for n in numbers])]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def main(folder: Path, sizes: list[int], pause: float, end: str) -> None:
    spool = Spool(folder / "spool", 1 << 12, schema=SCHEMA)
    shared = Shared(folder / "results", spool, "select 1")
    print(shared.id, flush=True)
    first = 0
    for size in sizes:
        spool.append(batch(first, size))
        first += size
        time.sleep(pause)
    if end == "finish":
        spool.finish()
        shared.wait(10)
        print("finished", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")], float(sys.argv[3]), sys.argv[4])
