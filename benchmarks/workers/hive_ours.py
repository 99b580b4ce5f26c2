"""hive_ours.py FILE: turns recorded replies of HiveServer2 into an Arrow table by the Hive connector's decoder."""

import sys

import pyarrow as pa
from hive_check import NAMES, check, replies
from loop import serve

from workbench_hive.decode import Rows
from workbench_hive.types import HiveType

TYPES = [
    HiveType.of_name(name)
    for name in (
        "bigint",
        "int",
        "decimal(12,2)",
        "double",
        "string",
        "string",
        "timestamp",
        "date",
        "string",
        "boolean",
    )
]
SCHEMA = pa.schema([kind.field(name) for name, kind in zip(NAMES, TYPES, strict=True)])
REPLIES = [(number, bytearray(raw)) for number, raw in replies(sys.argv[1])]


def decode(_):
    rows = Rows(TYPES, SCHEMA)
    return pa.Table.from_batches([rows.reply(raw, number).batch for number, raw in REPLIES], schema=SCHEMA)


serve(decode, lambda table: check(table.to_pydict()))
