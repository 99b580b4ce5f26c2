"""How fast is Stop? From `cancel()` to Cancelled at the caller (aim: 50 ms), and to an idle server.

A query over a MariaDB view that sleeps for a minute is stopped from another thread; the server's process list is asked
until the statement is gone.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time

from benchmarks.harness import arguments, figure
from tests.services.mysql.server import MariaDB


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = options.rounds or (10 if options.quick else 40)
    ours: list[float] = []
    gone: list[float] = []
    with MariaDB(password="bench") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        os.environ["WORKBENCH_HOME"], os.environ["WORKBENCH_BENCH_SECRET"] = home, server.password
        server.execute("create table one(id int primary key)", "insert into one values (1)")
        server.execute("create view endless as select id, id + sleep(60) as v from one")
        import workbench as wb
        from workbench.contract.errors import Cancelled

        wb.connect("shop", server.url(), secret="env:WORKBENCH_BENCH_SECRET")
        for _ in range(count):
            result, ended, outcome = wb.sql("select sum(v) from shop.endless"), threading.Event(), []

            def consume(result=result, ended=ended, outcome=outcome) -> None:  # type: ignore[no-untyped-def]
                try:
                    result.arrow()
                except Cancelled:
                    outcome.append(time.perf_counter())
                ended.set()

            threading.Thread(target=consume, daemon=True).start()
            _until(lambda: bool(_sleeping(server)))
            start = time.perf_counter()
            result.cancel()
            ended.wait(10)
            if not outcome:
                raise RuntimeError("the query was not cancelled")
            ours.append((outcome[0] - start) * 1e3)
            _until(lambda: not _sleeping(server))
            gone.append((time.perf_counter() - start) * 1e3)
    print(f"stopped {count} times; at the caller worst {max(ours):.0f} ms, at the server worst {max(gone):.0f} ms")
    figure("cancel_here", _p99(ours), "ms_p99_to_cancelled")
    figure("cancel_at_server", _p99(gone), "ms_p99_until_the_process_list_is_empty")


def _sleeping(server: MariaDB) -> list[int]:
    return [thread for thread, user, text in server.running() if user == "reader" and "endless" in text]


def _until(true) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 15
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError("waited 15 s in vain")
        time.sleep(0.005)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


if __name__ == "__main__":
    main()
