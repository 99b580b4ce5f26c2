"""A topology in a process that is killed: `python -m tests.streams.killed <folder>`.

It reads the events in `<folder>/events`, counts them in a state, in windows, and writes rows, counts and windows into
DuckDB. For each row it says a letter on stdout, so that who kills it can do so at any point of its work.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from workbench.catalog import Catalog
from workbench.runs import Register
from workbench.streams import Bolt, ParquetReplay, Sink, StatefulBolt, Topology, bolt, fields, recovering, tumbling

SAID = 50
"""Rows for each letter."""
FAILED: list[int] = []


class Parse(Bolt):
    """Row by row, of batches; fails with some of them, the first time in each process."""

    outputs = ("at", "page", "n")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.n % SAID == 0:
            os.write(1, b"x")  # what is printed goes to the run's log
            time.sleep(0.01)
        if tuple.n % 997 == 5 and len(FAILED) < 3:
            FAILED.append(tuple.n)
            raise ValueError("it does not like this one")
        self.collector.emit((tuple.at, tuple.page, tuple.n))


class Count(StatefulBolt):
    outputs = ("page", "views", "last")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        views = self.state[tuple.page] = self.state.get(tuple.page, 0) + 1
        self.collector.emit((tuple.page, views, tuple.n))


@bolt("minute", "page", "views")
def per_minute(window: Any) -> Any:
    counts: dict[str, int] = {}
    for row in window:
        counts[row.page] = counts.get(row.page, 0) + 1
    return [(int(window.end), page, views) for page, views in counts.items()]


def topology(folder: Path) -> Topology:
    t = Topology("killed", snapshot_every="200ms", retry_backoff=0.001)
    t.spout("events", ParquetReplay(folder / "events", rows=100))
    t.bolt("parse", Parse, inputs="events")
    t.bolt("count", Count, inputs=[("parse", fields("page"))], parallelism=2)
    t.bolt("minutes", per_minute, inputs="parse", window=tumbling("1m", time="at", lag="5s"))
    t.bolt("raw", Sink("shop.raw", create=True), inputs="parse")
    t.bolt("counts", Sink("shop.counts", create=True), inputs="count")
    t.bolt("saved", Sink("shop.minutes", mode="upsert", key=("minute", "page"), create=True), inputs="minutes")
    t.bolt("late", Sink("shop.late", create=True), inputs="unpack")
    t.bolt("unpack", bolt("n")(lambda row: (row.row[2],)), inputs="minutes.late")
    return t


def main(folder: Path) -> None:
    if not Catalog().names():
        Catalog().connect("shop", path=str(folder / "shop.duckdb"), writable=True)
    recovering.SHARE = 1  # many snapshots, so that it is killed within one now and then
    register = Register(folder / "runs.sqlite")
    running = topology(folder).run(register=register, state=True)
    running.wait()
    sys.stdout.write("." + str(running.guarantees()["counts"].claim))
    register.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
