"""Are the scans of one statement run side by side? A join of two sources that take a second each takes little more.

Each source is a view of MariaDB that sleeps a hundredth of a second a row, for a hundred rows. There is no peer: DuckDB
alone reads its Python sources one after another (2 s).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time

from benchmarks.harness import arguments, figure
from tests.services.mysql.server import MariaDB

JOIN = "select count(*), sum(a.v + b.v) from left.slow a join right.slow b using (id)"


def main() -> None:
    options = arguments(__doc__).parse_args()
    with MariaDB(password="bench") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        os.environ["WORKBENCH_HOME"], os.environ["WORKBENCH_BENCH_SECRET"] = home, server.password
        server.execute(
            "create table numbers(id int primary key)",
            "insert into numbers select seq from (with recursive s(seq) as (select 1 union all select seq + 1 from s "
            "where seq < 100) select seq from s) t",
            "create view slow as select id, id + sleep(0.01) as v from numbers",
        )
        import workbench as wb

        for name in ("one", "two"):
            wb.connect(name, server.url(), secret="env:WORKBENCH_BENCH_SECRET")
        join = JOIN.replace("left.", "one.").replace("right.", "two.")
        alone, together = [], []
        for number in range((options.rounds or (3 if options.quick else 7)) + 1):
            one = _seconds(lambda: wb.sql("select count(*), sum(v) from one.slow").arrow())
            both = _seconds(lambda: wb.sql(join).arrow())
            if number:
                alone.append(one)
                together.append(both)
    print(f"one source {statistics.median(alone):.2f} s, a join of two {statistics.median(together):.2f} s")
    figure("scans_together", statistics.median(together), "s_wall")


def _seconds(what) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
