"""How much memory does a scan of a million documents take that is consumed batch by batch? At most 250 MiB above start.

`wb.sql(...).reader()` over mongo-java-server, a document and an array in each, in a fresh process; the peak is the
kernel's own (`VmHWM`), reset after the first small query, so that imports do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.harness import arguments, figure
from tests.services.mongodb.server import MongoJava

CHILD = """
import json, sys
import workbench as wb
def status(name):
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(name)) / 1024
wb.connect("docs", sys.argv[1])
wb.sql("select count(*) from docs.orders where n < 10").arrow()
open('/proc/self/clear_refs', 'w').write('5')
start, rows = status('VmRSS'), 0
for batch in wb.sql("select * from docs.orders").reader():
    rows += batch.num_rows
print(json.dumps([rows, start, status('VmHWM')]))
"""


def load(server: MongoJava, rows: int) -> None:
    with server.client() as client:
        for first in range(0, rows, 10_000):
            client.shop.orders.insert_many(
                {"_id": n, "n": n, "price": n / 7, "note": f"note {n % 977} of this order", "tags": ["a", "b"][: n % 3],
                 "to": {"city": f"c{n % 300}", "zip": n % 99_999}}
                for n in range(first, first + 10_000)
            )  # fmt: skip


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows = 200_000 if options.quick else 1_000_000
    with MongoJava(heap="4g") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        load(server, rows)
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, server.url()],
            env={**os.environ, "WORKBENCH_HOME": home}, check=True, capture_output=True, text=True,
        )  # fmt: skip
    seen, start, peak = json.loads(ran.stdout.splitlines()[-1])
    if seen != rows:
        raise RuntimeError(f"{seen:,} documents came of {rows:,}")
    print(f"{rows:,} documents; {start:.0f} MiB at start, {peak:.0f} MiB at the peak")
    figure("mongo_scan_memory", peak - start, "MiB_above_start")


if __name__ == "__main__":
    main()
