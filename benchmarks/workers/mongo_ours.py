"""mongo_ours.py HOST PORT: reads `shop.orders` through the MongoDB connector into an Arrow table."""

import sys

import pyarrow as pa
from loop import serve
from mongo_check import check

from workbench.catalog.connectors import manifest
from workbench.contract import ConnectionConfig, ScanRequest, TableRef

HOST, PORT = sys.argv[1:]
CONNECTOR = manifest("mongodb").open(ConnectionConfig("bench", {"host": HOST, "port": int(PORT), "database": "shop"}))


class Alone:
    """A control for one reader with nobody to stop it."""

    mark, guard = "wb-bench-1", None

    def cancelled(self):
        return False

    def running(self, native_id):
        pass

    def ended(self, native_id):
        pass


TABLE = TableRef("orders")
NAMES = tuple(CONNECTOR.tables.schema(TABLE).names)  # the columns are known, as pymongoarrow is told them


def read(_):
    plan = CONNECTOR.tables.plan(ScanRequest(TABLE, NAMES))
    return pa.Table.from_batches(list(CONNECTOR.tables.read(plan.splits[0], Alone())), schema=plan.schema)


serve(read, check)
