"""What does a cluster cost beside one process, for a scan whose tasks are worth it? At most 1.2 times the CPU.

A group-by with 10,000 groups over a folder of Parquet files, by `wb.sql(..., on="cluster")` on two workers beside this
machine's one process, and beside Dask's own `dd.read_parquet(...).groupby(...)` on a cluster of two workers in an
environment of its own. CPU is that of client, scheduler and workers together; clusters are started before, and both
sides have run once. Every number of every group is compared.

Bytes on the wire are what the kernel says went out by the connections of client, scheduler and workers, beside those of
sending the rows that the statement needs to the client.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.harness import Cost, Side, arguments, environment, figure, median, paired, rounds, table
from tests.services.process import cache

FORM = 1  # grows when other rows are made
FILES, ROWS = 6, 4_000_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    files = FILES if options.quick else 2 * FILES
    peer_python = environment("dask[dataframe,distributed]==2026.8.0", "pyarrow>=20")
    folder = str(visits(files))
    cluster = Side("cluster", "dask_scan_ours.py", folder, "cluster")
    here = Side("one process", "dask_scan_ours.py", folder, "here")
    peer = Side("dask", "dask_scan_dask.py", folder, python=peer_python)
    try:
        costs = rounds([cluster, here, peer], "scan", options.rounds or (3 if options.quick else 7), same=_numbers)
        wire, shipped = cluster.run("wire").answer, cluster.run("ship").answer
        overhead = [cluster.run("overhead").answer["tree"] for _ in range(3)]
    finally:
        for side in (cluster, here, peer):
            side.close()
    a, b, c = (costs[side.name] for side in (cluster, here, peer))
    tasks = a[0].answer["tasks"]
    each = median(b, _tree) / tasks
    print(f"\n{files * ROWS:,} rows in {files} files; {tasks} tasks of {each:.2f} s CPU in one process")
    print("CPU of all processes:", ", ".join(f"{name} {median(one, _tree):.2f} s" for name, one in costs.items()))
    table(costs)
    figure("dask_scan_cpu_vs_one_process", median(a, _tree), "s_cpu", median(b, _tree), paired(a, b, _tree))
    figure("dask_scan_cpu_vs_dask", median(a, _tree), "s_cpu", median(c, _tree), paired(a, c, _tree))
    figure("dask_scan_wall_vs_dask", median(a, _wall), "s_wall", median(c, _wall), paired(a, c, _wall))
    figure("dask_scan_wire_vs_rows", wire["wire"] / 1e6, "MB_sent", shipped["wire"] / 1e6)
    figure("dask_scan_task_overhead", sorted(overhead)[1], "ms_cpu_a_task")


def visits(files: int) -> Path:
    """So many files of visits, and a table of ten rows; made on first use."""
    folder = cache() / "visits" / f"{files}-{ROWS}-{FORM}"
    if not (folder / "ready").exists():
        print(f"making {files * ROWS:,} rows", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "visits").mkdir(parents=True)
        (folder / "small").mkdir()
        with duckdb.connect() as engine:
            for number in range(files):
                at = number * ROWS
                engine.execute(
                    f"copy (select (hash(i) % 10000)::int user_id, (hash(i + 1) % 800) / 4 price,"
                    "  case when hash(i + 2) % 50 = 0 then '/bot/' else '/shop/page/' end || (hash(i + 3) % 5000) page,"
                    "  case when hash(i + 4) % 9 = 0 then null else (hash(i + 4) % 9)::int end section"
                    f" from range({at}, {at + ROWS}) r(i)) to '{folder}/visits/{number:03d}.parquet'"
                    " (row_group_size 500000, compression snappy)"
                )
            engine.execute(f"copy (select i x from range(10) r(i)) to '{folder}/small/0.parquet'")
        (folder / "ready").touch()
    return folder


def _numbers(answer: Any) -> Any:
    return answer["numbers"]


def _tree(cost: Cost) -> float:
    return float(cost.answer["tree"])


def _wall(cost: Cost) -> float:
    return cost.wall


if __name__ == "__main__":
    main()
