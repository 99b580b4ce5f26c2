"""The answer that both sides must give for the rows they read."""


def check(result):
    import pyarrow.compute as pc

    return {
        "rows": result.num_rows,
        "id": pc.sum(result["id"]).as_py(),
        "qty": pc.sum(result["qty"]).as_py(),
        "nulls": [result[name].null_count for name in ("discount", "score", "note")],
        "price": f"{float(pc.sum(result['price']).as_py()):.2f}",
        "note": pc.sum(pc.utf8_length(result["note"].cast("string"))).as_py(),
    }
