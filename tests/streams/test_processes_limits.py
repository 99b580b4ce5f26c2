"""The runner `processes`: how much may wait, and what holds spouts back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.streams import process_parts as parts
from tests.streams.process_help import adds_up, rested
from workbench.streams import Topology
from workbench.streams.running import Running

Start = Callable[..., Running]


def test_a_slow_bolt_holds_the_spouts_of_other_workers_back(started: Start, eventually: Any) -> None:
    t = Topology("endless").spout("s", parts.Endless).bolt("slow", parts.Slow(0.0005), inputs="s")
    running = started(t, runner="processes")
    eventually(lambda: rested(running, "backpressure") > 0.2, within=60)
    for _ in range(20):
        assert running.metrics().now.queued < 10_000 + 30_000  # what was on its way when it was said
        time.sleep(0.05)


def test_long_rows_hold_the_spouts_back_by_their_bytes(started: Start, eventually: Any) -> None:
    t = Topology("long").spout("s", parts.Large(10_000, 1 << 20)).bolt("slow", parts.Slow(0.05), inputs="s")
    running = started(t, runner="processes")
    eventually(lambda: rested(running, "backpressure") > 0.05, within=60)
    adds_up(running)
    assert running.metrics().count("pending", "s") < 400  # of 1,000 that there may be, each of a mebibyte


def test_no_more_are_on_their_way_than_is_allowed(started: Start, eventually: Any) -> None:
    t = Topology("pending", max_spout_pending=7).spout("s", parts.forever)
    t.bolt("slow", parts.Slow(0.05), inputs="s")
    running = started(t, runner="processes")
    eventually(lambda: rested(running, "max-spout") > 0.05, within=60)
    for _ in range(10):
        assert running.metrics().count("pending", "s") <= 7
        adds_up(running)
