"""dask_scan_dask.py FOLDER: the group-by of `benchmarks.dask_scan` as one writes it with Dask's own data frames, on a
cluster of two workers."""

import sys

import tree
from loop import serve


def run(task):
    import dask.dataframe as dd

    before = tree.cpu()
    rows = dd.read_parquet(f"{sys.argv[1]}/visits", columns=["user_id", "price", "page", "section"])
    rows = rows[~rows.page.str.contains("bot", regex=False)]
    rows = rows.assign(length=rows.page.str.len())
    found = rows.groupby("user_id").agg(
        {"price": ["size", "sum", "min", "max"], "length": "sum", "section": "count"}
    ).compute()  # fmt: skip
    return {"tree": tree.cpu() - before, "frame": found}


def check(found):
    frame = found.pop("frame").sort_index()
    rows = zip(frame.index.tolist(), *(frame[column].tolist() for column in frame.columns), strict=True)
    found["numbers"] = tree.digest(
        [int(u), int(n), float(s), float(a), float(b), int(length), int(c)] for u, n, s, a, b, length, c in rows
    )
    return found


if __name__ == "__main__":
    from distributed import Client, LocalCluster

    CLUSTER = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=40)
    with CLUSTER, Client(CLUSTER):
        serve(run, check)
