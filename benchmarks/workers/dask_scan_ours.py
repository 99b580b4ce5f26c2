"""dask_scan_ours.py FOLDER WHERE: the group-by of `benchmarks.dask_scan` by `wb.sql`, here (`here`) or on a cluster of
two workers (`cluster`), which is started before anything is measured."""

import sys

import cloudpickle
import tree
from loop import serve

import workbench as wb

FOLDER, WHERE = sys.argv[1:]
SQL = (
    "select user_id, count(*) n, sum(price) s, min(price) a, max(price) b, sum(length(page)) l, count(section) c"
    " from lake.visits where page not like '%bot%' group by user_id"
)
cloudpickle.register_pickle_by_value(tree)  # workers cannot import it
wb.connect("lake", path=FOLDER)
CLUSTER = wb.cluster("local", workers=2) if WHERE == "cluster" else None


def client():
    return CLUSTER.client


def run(task):
    before, wire = tree.cpu(), tree.wire(client()) if task == "wire" else 0
    if task == "overhead":
        return {"tree": overhead(before)}
    if task == "ship":
        wire = tree.wire(client())
        rows = sum(table.num_rows for table in client().gather(client().map(shipped, files(), pure=False)))
        return {"wire": tree.wire(client()) - wire, "rows": rows}
    result = wb.sql(SQL, on="cluster" if CLUSTER else "")
    table = result.arrow()
    found = {"tree": tree.cpu() - before, "table": table}
    if CLUSTER:
        notes = [note for note in result.explain().sources[0].notes if "task" in note]
        found["tasks"] = int(notes[0].partition(": ")[2].split()[0])
    if task == "wire":
        found["wire"] = tree.wire(client()) - wire
    return found


def files():
    from pathlib import Path

    return [str(path) for path in sorted(Path(FOLDER, "visits").glob("*.parquet"))]


def shipped(path):
    """The rows that the statement needs, as they would go to somebody who adds them up himself."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["user_id", "price", "page", "section"])
    return table.filter(pc.invert(pc.match_substring(table["page"], "bot")))


def overhead(before):
    """CPU of a task that reads a table of ten rows, in milliseconds; of 200 of them."""
    from workbench.contract.scan import ScanRequest, TableRef
    from workbench.execution.cluster_folding import Folding
    from workbench.execution.cluster_worker import Task
    from workbench.execution.fold import SumFold
    from workbench.query.cluster_fold import Plain
    from workbench.query.session import default

    catalog = default().catalog
    connector = catalog.open("lake")
    plan = connector.tables.plan(ScanRequest(TableRef("small"), ("x",)))
    opening = Plain("lake", catalog.manifest("lake").name, catalog.config("lake"))
    tasks = [Task("overhead", number, opening, plan) for number in range(200)]
    total = Folding(CLUSTER, "overhead", len(tasks)).answer(SumFold("x"), tasks)
    assert total == 45 * 200, total
    return (tree.cpu() - before) / 200 * 1000


def check(found):
    if "table" in found:
        rows = zip(*(column.to_pylist() for column in found.pop("table").sort_by("user_id").columns), strict=True)
        found["numbers"] = tree.digest([u, n, s, a, b, int(length), c] for u, n, s, a, b, length, c in rows)
    return found


serve(run, check)
