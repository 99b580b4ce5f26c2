"""mysql_ours.py HOST PORT USER DATABASE: reads a statement through the MySQL connector into an Arrow table."""

import os
import sys

import pyarrow as pa
from loop import serve
from mysql_peers_check import check

from workbench.catalog.connectors import manifest
from workbench.contract import ConnectionConfig, Secret

HOST, PORT, USER, DATABASE = sys.argv[1:]
CONFIG = ConnectionConfig(
    "bench",
    {"host": HOST, "port": int(PORT), "user": USER, "database": DATABASE},
    {"password": Secret(os.environ["WORKBENCH_BENCH_SECRET"])},
)
CONNECTOR = manifest("mysql").open(CONFIG)


class Alone:
    """A control for one reader with nobody to stop it."""

    mark, guard = "wb-bench-1", None

    def cancelled(self):
        return False

    def running(self, native_id):
        pass

    def ended(self, native_id):
        pass


def read(sql):
    plan = CONNECTOR.tables.native(sql)
    reader = CONNECTOR.tables.read(plan.splits[0], Alone())
    return pa.Table.from_batches(list(reader), schema=plan.schema)


serve(read, check)
