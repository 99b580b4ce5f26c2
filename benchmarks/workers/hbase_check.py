"""What all sides must agree on: of an Arrow table with the orders' columns."""


def check(table):
    import pyarrow.compute as pc

    if isinstance(table, float):
        return table
    sums = {name: round(pc.sum(table[name].cast("float64")).as_py(), 1) for name in ("big", "price", "qty")}
    texts = {name: pc.sum(pc.binary_length(table[name])).as_py() for name in ("row_key", "status", "country", "note")}
    return {
        "rows": table.num_rows,
        **sums,
        **texts,
        "no note": table["note"].null_count,
        "last": pc.max(table["row_key"]).as_py(),
    }
