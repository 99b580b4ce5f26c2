"""hive_routes.py ROUTE HOST PORT METASTORE: reads `orders` through HiveServer2 or from files into an Arrow table."""

import os
import sys

import pyarrow as pa
from hive_check import NAMES, check
from loop import serve

from workbench.catalog.connectors import manifest
from workbench.contract import ConnectionConfig, ScanRequest, Secret, TableRef

ROUTE, HOST, PORT, METASTORE = sys.argv[1:]
COLUMNS = tuple(name for name in NAMES if name != "at")
PARAMETERS = {"host": HOST, "port": int(PORT), "user": "reader", "database": "shop"}
if ROUTE == "files":
    PARAMETERS |= {"files": True, "metastore": METASTORE}
CONNECTOR = manifest("hive").open(
    ConnectionConfig("bench", PARAMETERS, {"password": Secret(os.environ["WORKBENCH_BENCH_SECRET"])})
)


class Alone:
    """A control for one reader with nobody to stop it."""

    mark, guard = "wb-bench-1", None

    def cancelled(self):
        return False

    def running(self, native_id):
        pass

    def ended(self, native_id):
        pass

    def working(self, said, fraction=None):
        pass


def read(_):
    plan = CONNECTOR.tables.plan(ScanRequest(TableRef("orders"), COLUMNS))
    batches = [batch for split in plan.splits for batch in CONNECTOR.tables.read(split, Alone())]
    assert (ROUTE == "files") == plan.notes[0].startswith("read from"), plan.notes
    return pa.Table.from_batches(batches, schema=plan.schema)


def answer(table):
    return check({**table.to_pydict(), "at": table.column("day").to_pylist()})


serve(read, answer)
