"""What all sides must agree on: of an Arrow table with the orders' columns."""


def check(table):
    import pyarrow.compute as pc

    sums = {name: round(pc.sum(table[name].cast("float64")).as_py(), 1) for name in ("qty", "price", "big", "gift")}
    texts = {
        name: pc.sum(pc.binary_length(table[name].cast("string"))).as_py() for name in ("status", "country", "note")
    }
    addr, tags = table["addr"].combine_chunks(), table["tags"].combine_chunks()
    return {
        "rows": table.num_rows,
        **sums,
        **texts,
        "no note": table["note"].null_count,
        "at": pc.max(table["at"]).as_py().isoformat()[:19],
        "zip": pc.sum(pc.struct_field(addr, "zip")).as_py(),
        "city": pc.sum(pc.binary_length(pc.struct_field(addr, "city").cast("string"))).as_py(),
        "tags": pc.sum(pc.list_value_length(tags)).as_py(),
    }
