"""hive_peers.py CASE FILE: turns recorded replies of HiveServer2 into what a peer makes of them, by the peer's code."""

import sys

from hive_check import NAMES, check, replies
from loop import serve

CASE, FILE = sys.argv[1:]
REPLIES = [raw for _, raw in replies(FILE)]
TYPES = ("BIGINT", "INT", "DECIMAL", "DOUBLE", "STRING", "STRING", "TIMESTAMP", "DATE", "STRING", "BOOLEAN")


def by_impyla():
    """Columns of Arrow, from the batches that its cursor keeps."""
    import pyarrow as pa
    from impala._thrift_gen.TCLIService.TCLIService import FetchResults_result
    from impala.hiveserver2 import CBatch
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
    from thrift.transport.TTransport import TBufferedTransport, TMemoryBuffer

    kinds = [pa.int64(), pa.int32(), pa.decimal128(12, 2), pa.float64(), pa.string(), pa.string(), pa.timestamp("us"),
             pa.date32(), pa.string(), pa.bool_()]  # fmt: skip
    schema = pa.schema(list(zip(NAMES, kinds, strict=True)))
    described = list(zip(NAMES, TYPES, strict=True))

    def decode(_):
        batches = []
        for raw in REPLIES:
            protocol = TBinaryProtocolAccelerated(TBufferedTransport(TMemoryBuffer(raw), 1 << 20))
            protocol.readMessageBegin()
            result = FetchResults_result()
            result.read(protocol)
            batch = CBatch(result.success.results, False, described)
            arrays = []
            for column, kind in zip(batch.columns, kinds, strict=True):
                values = column.values
                if column.nulls.any():
                    values = [None if null else value for value, null in zip(values, column.nulls, strict=False)]
                arrays.append(pa.array(values, type=kind))
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return pa.Table.from_batches(batches)

    return decode, lambda table: check(table.to_pydict())


def by_pyhive():
    """The rows that its cursor hands out."""
    from pyhive.hive import _unwrap_column
    from TCLIService.TCLIService import FetchResults_result
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport.TTransport import TMemoryBuffer

    def decode(_):
        rows = []
        for raw in REPLIES:
            protocol = TBinaryProtocol(TMemoryBuffer(raw))
            protocol.readMessageBegin()
            result = FetchResults_result()
            result.read(protocol)
            found = result.success.results.columns
            columns = [_unwrap_column(column, f"{kind}_TYPE") for column, kind in zip(found, TYPES, strict=True)]
            rows += zip(*columns, strict=True)
        return rows

    return decode, lambda rows: check(dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True)))


serve(*{"impyla": by_impyla, "pyhive": by_pyhive}[CASE]())
