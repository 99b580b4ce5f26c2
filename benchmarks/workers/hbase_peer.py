"""hbase_peer.py HOST PORT GATEWAY TABLE: reads the table by happybase into Arrow (`read`), or decodes recorded replies
with what happybase decodes them by (`decode PATH`)."""

import sys

import happybase
import numpy as np
import pyarrow as pa
from happybase.table import make_row
from hbase_check import check
from hbase_recorded import replies
from loop import serve
from thriftpy2.protocol import TBinaryProtocolFactory
from thriftpy2.transport import TMemoryBuffer

HOST, PORT, GATEWAY, TABLE = sys.argv[1:]
NUMBERS = {b"f:big": ">i8", b"f:price": ">f8", b"f:qty": ">i8"}
TEXTS = (b"f:country", b"f:note", b"f:status")


def arrow(rows):
    """Column by column: the quickest way from happybase's dictionaries to Arrow."""
    keys, cells = [], []
    for key, row in rows:
        keys.append(key)
        cells.append(row)
    columns = {"row_key": pa.array(keys, pa.binary()).cast(pa.string())}
    for name in (b"f:big", b"f:country", b"f:note", b"f:price", b"f:qty", b"f:status"):
        values = [row.get(name) for row in cells]
        if name in NUMBERS:
            numbers = np.frombuffer(b"".join(values), NUMBERS[name])
            columns[name[2:].decode()] = pa.array(numbers.astype(numbers.dtype.newbyteorder("=")))
        else:
            columns[name[2:].decode()] = pa.array(values, pa.binary()).cast(pa.string())
    return pa.table(columns)


def decoded(path):
    service = happybase.connection.Hbase
    for reply in replies(path):
        protocol = TBinaryProtocolFactory().get_protocol(TMemoryBuffer(bytes(reply)))
        protocol.read_message_begin()
        result = service.scannerGetList_result()
        protocol.read_struct(result)
        for row in result.success:
            yield row.row, make_row(row.columns, False)


def do(task):
    if task == "read":
        connection = happybase.Connection(HOST, int(GATEWAY))
        try:
            return arrow(connection.table(TABLE).scan(batch_size=1000))
        finally:
            connection.close()
    return arrow(decoded(task.partition(" ")[2]))


serve(do, check)
