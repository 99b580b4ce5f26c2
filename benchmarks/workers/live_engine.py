"""A topology that tells of 20 events a second, each ten points of three lines, and the views of it: for `live_viewers`
in a process of its own, for `live_browser` in a notebook's kernel."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

HZ, POINTS, LINES = 20, 10, 3


def ticking(over: threading.Event, hz: float = HZ) -> Any:
    """Rows `(at, line, value, sent, number)`: `sent` is the moment, in ms, at which the event was made."""
    from workbench.streams import spout

    @spout("at", "line", "value", "sent", "number")
    def ticks() -> Iterator[Any]:
        due, number = time.perf_counter(), 0
        while not over.is_set():
            if time.perf_counter() < due:
                yield None
                continue
            due += 1 / hz
            sent, number = 1000 * time.time(), number + 1
            for point in range(POINTS):
                at = math.floor(sent) + point * 1000 / hz / POINTS
                for line in range(LINES):
                    yield (at, f"line {line}", 2 + math.sin(at / 500 + line), sent, number)

    return ticks


def started(over: threading.Event, hz: float = HZ, name: str = "ticks") -> Any:
    from workbench.streams import LiveSink, Topology

    topology = Topology(name, max_spout_pending=10_000).spout("ticks", ticking(over, hz))
    return topology.bolt("watch", LiveSink(), inputs="ticks").run()


def views(run: Any) -> list[Any]:
    """A thousand points of three lines, and when the newest event was made."""
    from workbench.streams import Gauge, Series

    return [
        Series(run, "watch", x="at", y="value", by="line", how="last", keep=1_000, lines=LINES, title="Three lines"),
        Gauge(run, "watch", y="sent", x="number", how="last", keep=1, title="Made at"),
    ]


def main() -> None:
    over = threading.Event()
    run = started(over)
    topic = run.shown(views(run))
    while run.engine is None:
        time.sleep(0.05)
    print(json.dumps({"topic": topic.name, "run": run.id}), flush=True)
    sys.stdin.read()
    over.set()
    run.stop()


if __name__ == "__main__":
    main()
