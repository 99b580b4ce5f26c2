"""A topology with a webhook in a process that is killed: `python -m tests.streams.posted <folder> <port> <state>`.

Without state each row is a line in a file; with it all are counted and written into DuckDB. It runs until its stdin
ends, and then until all that was accepted is done.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.streams.process_parts import Write
from workbench.catalog import Catalog
from workbench.runs import Register
from workbench.streams import Sink, StatefulBolt, Topology, Webhook, recovering

KEY = "HOOK_KEY"


class Count(StatefulBolt):
    """How many have come, also in the runs before."""

    outputs = ("n", "number")

    def execute(self, tuple: object) -> None:  # noqa: A002
        number = self.state["rows"] = self.state.get("rows", 0) + 1
        self.collector.emit((tuple.n, number))  # type: ignore[attr-defined]


def topology(folder: Path, port: int, state: bool) -> Topology:
    t = Topology("posted", snapshot_every="150ms", retry_backoff=0.001)
    t.spout("hook", Webhook(port, "/orders", secret=f"env:{KEY}", fields=("n",)))
    if not state:
        return t.bolt("write", Write(str(folder)), inputs="hook")
    t.bolt("count", Count, inputs="hook")
    return t.bolt("save", Sink("shop.orders", create=True, types={"n": "int64", "number": "int64"}), inputs="count")


def main(folder: Path, port: int, state: bool) -> None:
    if state and not Catalog().names():
        Catalog().connect("shop", path=str(folder / "shop.duckdb"), writable=True)
    recovering.SHARE = 1  # many snapshots
    register = Register(folder / "runs.sqlite")
    running = topology(folder, port, state).run(register=register, state=state)
    sys.stdin.read()
    while running.state == "running":
        metrics = running.metrics()
        [found] = metrics.now.sources.values()
        if not found["spool_rows"] and metrics.age < 0.5:  # older ones, where it was too busy to say
            break
        time.sleep(0.01)
    running.stop(60)
    print(running.state, *(promise.claim for promise in running.guarantees().values()), sep=",")
    register.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "state")
