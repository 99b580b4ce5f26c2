"""How much memory does a scan of three million rows take that is consumed batch by batch? At most 250 MiB above start.

`wb.sql(...).reader()` over MariaDB, 14 columns, in a fresh process; the peak is the kernel's own (`VmHWM`), reset after
the first small query, so that imports do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.harness import arguments, figure
from benchmarks.orders import load
from tests.services.mysql.server import MariaDB

CHILD = """
import json, os, sys
import workbench as wb
def status(name):
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(name)) / 1024
wb.connect("shop", sys.argv[1], secret="env:WORKBENCH_BENCH_SECRET")
wb.sql("select count(*) from shop.orders where id < 10").arrow()
open('/proc/self/clear_refs', 'w').write('5')
start, rows = status('VmRSS'), 0
for batch in wb.sql("select * from shop.orders").reader():
    rows += batch.num_rows
print(json.dumps([rows, start, status('VmHWM')]))
"""


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows = 1_000_000 if options.quick else 3_000_000
    with MariaDB(password="bench") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        load(server, rows)
        env = {**os.environ, "WORKBENCH_HOME": home, "WORKBENCH_BENCH_SECRET": server.password}
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, server.url()], env=env, check=True, capture_output=True, text=True
        )
    seen, start, peak = json.loads(ran.stdout.splitlines()[-1])
    if seen != rows:
        raise RuntimeError(f"{seen:,} rows came of {rows:,}")
    print(f"{rows:,} rows; {start:.0f} MiB at start, {peak:.0f} MiB at the peak")
    figure("scan_memory", peak - start, "MiB_above_start")


if __name__ == "__main__":
    main()
