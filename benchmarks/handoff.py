"""What does a result of two million rows cost on its way to Polars, beside DuckDB's own `.pl()`?

`engine`: the rows are made by the statement itself, so that only the hand-over differs. `file`: the rows lie in a
DuckDB file, which ours reads as a connection among others and DuckDB as its own. CPU and wall of the process, answers
compared.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.harness import Side, arguments, figure, median, paired, rounds, table

MAKE = """create table events as select i as id, i % 1000 as customer, (i * 7919) % 100003 / 100 as total,
  'page ' || (i % 500) as page, timestamp '2026-01-01' + to_seconds(i) as at from range({rows}) t(i)"""
ENGINE = """select i as id, i % 1000 as customer, (i * 7919) % 100003 / 100 as total, 'page ' || (i % 500) as page,
  timestamp '2026-01-01' + to_seconds(i) as at from range({rows}) t(i)"""


def main() -> None:
    import duckdb

    options = arguments(__doc__).parse_args()
    rows = 2_000_000
    count = options.rounds or (5 if options.quick else 15)
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        file = str(Path(folder) / "events.duckdb")
        with duckdb.connect(file) as made:
            made.execute(MAKE.format(rows=rows))
        ours, peer = Side("ours", "handoff_ours.py", file), Side("duckdb", "handoff_duckdb.py", file)
        try:
            engine = rounds([ours, peer], ENGINE.format(rows=rows), count)
            stored = rounds([ours, peer], "select * from shop.events", count)
        finally:
            ours.close()
            peer.close()
    for name, costs in (("engine", engine), ("file", stored)):
        print(f"\n{name}, {rows:,} rows")
        table(costs)
        label = "handoff_vs_duckdb" if name == "engine" else "handoff_file_vs_duckdb"
        for what, unit in ((lambda c: c.wall, "s_wall"), (lambda c: c.client, "s_cpu")):
            a, b = costs["ours"], costs["duckdb"]
            extra = "" if unit == "s_wall" else "_cpu"
            figure(label + extra, median(a, what), unit, median(b, what), paired(a, b, what))


if __name__ == "__main__":
    main()
