"""mongo_peers.py CASE HOST PORT: reads `shop.orders` by a peer into Arrow."""

import sys

import pymongo
from loop import serve
from mongo_check import check

CASE, HOST, PORT = sys.argv[1:]
ORDERS = pymongo.MongoClient(HOST, int(PORT), directConnection=True).shop.orders


def by_pymongoarrow(_):
    import pyarrow as pa
    from pymongoarrow.api import Schema, find_arrow_all
    from pymongoarrow.types import ObjectIdType

    address = pa.struct([("city", pa.string()), ("zip", pa.int32())])
    whole, text = pa.int32(), pa.string()
    schema = Schema(
        {"_id": ObjectIdType(), "customer_id": whole, "qty": whole, "price": pa.float64(), "big": pa.int64(),
         "status": text, "country": text, "gift": pa.bool_(), "at": pa.timestamp("ms"), "note": text,
         "addr": address, "tags": pa.list_(text)}
    )  # fmt: skip
    return find_arrow_all(ORDERS, {}, schema=schema)


def by_pymongo(_):
    import polars as pl

    rows = [{**document, "_id": str(document["_id"])} for document in ORDERS.find({})]
    return pl.DataFrame(rows, infer_schema_length=1000).to_arrow()


serve({"pymongoarrow": by_pymongoarrow, "pymongo": by_pymongo}[CASE], check)
