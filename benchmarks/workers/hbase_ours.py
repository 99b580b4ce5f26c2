"""hbase_ours.py ROUTE HOST PORT GATEWAY TABLE: reads the table through the HBase connector into an Arrow table
(`read`), decodes recorded replies (`decode PATH`), or reads a million rows of it and keeps nothing (`memory`)."""

import functools
import sys
from pathlib import Path

import pyarrow as pa
from hbase_check import check
from hbase_recorded import replies
from loop import serve

from workbench.catalog.connectors import manifest
from workbench.contract import ConnectionConfig, ScanRequest, TableRef
from workbench_hbase.decode import Rows, Shape

ROUTE, HOST, PORT, GATEWAY, TABLE = sys.argv[1:]
KINDS = {"big": "long", "country": "text", "note": "text", "price": "double", "qty": "long", "status": "text"}
COLUMNS = {name: {"type": kind, "cell": f"f:{name}"} for name, kind in KINDS.items()}
CONNECTOR = manifest("hbase").open(
    ConnectionConfig(
        "bench",
        {"host": HOST, "port": int(PORT), "gateway_port": int(GATEWAY), "route": ROUTE},
        tables={TABLE: {"columns": COLUMNS}},
    )
)
NAMES = ("row_key", *KINDS)
HEAD = 4 + 4 + len("scannerGetList") + 4 + 3 + 5


class Alone:
    """A control for one reader with nobody to stop it."""

    mark, guard = "wb-bench-1", None

    def cancelled(self):
        return False

    def running(self, native_id):
        pass

    def ended(self, native_id):
        pass


def batches():
    plan = CONNECTOR.tables.plan(ScanRequest(TableRef(TABLE), NAMES))
    return plan.schema, (batch for split in plan.splits for batch in CONNECTOR.tables.read(split, Alone()))


@functools.cache
def asked():
    plan = CONNECTOR.tables.plan(ScanRequest(TableRef(TABLE), NAMES))
    state = plan.splits[0].state
    return Shape(state["parts"], state["columns"], plan.schema)


def peak():
    """MiB that the process has had at most; what `getrusage` says, a child has from its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def do(task):
    if task == "read":
        schema, found = batches()
        return pa.Table.from_batches(list(found), schema=schema)
    if task == "memory":
        before, rows = peak(), 0
        while rows < 1_000_000:
            rows += sum(batch.num_rows for batch in batches()[1])
        return peak() - before
    shape, found = asked(), []
    for reply in replies(task.partition(" ")[2]):
        rows = Rows(shape)
        rows.thrift(memoryview(reply)[HEAD:], int.from_bytes(reply[HEAD - 4 : HEAD], "big"))
        found.append(rows.batch({}))
    return pa.Table.from_batches(found, schema=shape.schema)


serve(do, check)
