"""How much memory does a scan of one million rows take that is consumed batch by batch? At most 250 MiB above start.

`wb.sql(...).reader()` over a HiveServer2, ten columns, in a fresh process for each route: through the server, and from
the table's Parquet file. The peak is the kernel's own (`VmHWM`), reset after a first small query.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.harness import arguments, figure
from benchmarks.hive_read import orders
from tests.services.hive.server import Hive

_ROWS = 1_000_000
_CHILD = """
import json, os, sys
import workbench as wb
def status(name):
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(name)) / 1024
wb.connect("lake", sys.argv[1], secret="env:WORKBENCH_BENCH_SECRET")
columns = "id, cust, price, score, status, country, day, note, gift" if "files" in sys.argv[1] else "*"
wb.sql("select id from lake.orders where id < 10").arrow()
open('/proc/self/clear_refs', 'w').write('5')
start, rows = status('VmRSS'), 0
for batch in wb.sql(f"select {columns} from lake.orders").reader():
    rows += batch.num_rows
print(json.dumps([rows, start, status('VmHWM')]))
"""


def main() -> None:
    arguments(__doc__).parse_args()
    with Hive(password="bench") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        server.load("orders", orders(_ROWS))
        env = {**os.environ, "WORKBENCH_HOME": home, "WORKBENCH_BENCH_SECRET": server.password}
        files = f"{server.url()}?files=true&metastore={server.host}:{server.metastore_port}"
        for name, url in (("hive_scan_memory", server.url()), ("hive_files_memory", files)):
            ran = subprocess.run(
                [sys.executable, "-c", _CHILD, url], env=env, check=True, capture_output=True, text=True
            )
            seen, start, peak = json.loads(ran.stdout.splitlines()[-1])
            if seen != _ROWS:
                raise RuntimeError(f"{seen:,} rows came of {_ROWS:,}")
            print(f"{name}: {_ROWS:,} rows; {start:.0f} MiB at start, {peak:.0f} MiB at the peak")
            figure(name, peak - start, "MiB_above_start")


if __name__ == "__main__":
    main()
