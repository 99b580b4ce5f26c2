"""The runner `processes`: the same rows as `inline`, the same counts, and what it does with bad bolts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st

from tests.streams import process_parts as parts
from workbench.contract.errors import DocumentError, InvalidParameter
from workbench.runs import Register
from workbench.streams import Bolt, Topology, fields, partial_key, session, sliding, tumbling
from workbench.streams.running import Running

Start = Callable[..., Running]


def adds_up(running: Running) -> None:
    for row in running.metrics().rows():
        if row["kind"] == "spout":
            assert row["emitted"] == row["acked"] + row["failed"] + row["pending"] + row["untracked"], row


def pids(running: Running) -> list[int]:
    """Of the run's own process and its workers."""
    own = running._engine.pid  # type: ignore[attr-defined]
    return [own, *children(own)]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---- the same rows ---------------------------------------------------------------------------------------------------


KINDS = ("row", "batch", "later", "window")
GROUPINGS = ("shuffle", "fields", "partial_key", "all", "global", "none", "local_or_shuffle")
Graph = list[tuple[str, int, list[tuple[str, str]]]]
"""Of each bolt its kind, its tasks, and what it takes and how."""


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    made: Graph = []
    for number in range(draw(st.integers(1, 5))):
        before = ["numbers", *(f"b{one}" for one in range(number))]
        inputs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        tasks = draw(st.integers(1, 3))
        made.append((draw(st.sampled_from(KINDS)), tasks, [(one, draw(st.sampled_from(GROUPINGS))) for one in inputs]))
    return made


def topology_of(graph: Graph, folder: Path, batch: int, tasks: int) -> Topology:
    """Every bolt's rows, and each direct stream's, go to a file."""
    t = Topology("graph", seed=7)
    t.spout("numbers", parts.Numbers(60, batch), parallelism=tasks)
    classes = {"row": parts.Mixed, "batch": parts.MixedBatch, "later": parts.MixedLater, "window": parts.MixedWindow}
    for number, (kind, parallelism, inputs) in enumerate(graph):
        grouped = [(one, {"fields": fields("key"), "partial_key": partial_key("key")}.get(how, how)) for one, how in inputs]
        window = tumbling("10ms", time="number", lag="100h") if kind == "window" else None
        # The tasks of its sink: ids are counted on as components are added.
        first = 1 + sum(node.parallelism for node in t.nodes.values()) + parallelism
        code = classes[kind](f"b{number}", first, 2 if kind == "row" else 0)
        t.bolt(f"b{number}", code, inputs=grouped, parallelism=parallelism, window=window)
        t.bolt(f"direct{number}", parts.Write(str(folder)), inputs=[(f"b{number}.chosen", "direct")], parallelism=2)
        t.bolt(f"out{number}", parts.Write(str(folder)), inputs=[(f"b{number}", fields("key"))], parallelism=2)
    return t


def rows_of(graph: Graph, register: Register, folder: Path, batch: int, tasks: int, **how: Any) -> dict[str, Any]:
    """What came to each sink's task, in any order."""
    folder.mkdir(parents=True)
    running = topology_of(graph, folder, batch, tasks).run(register=register, **how)
    try:
        running.wait(60)
        assert running.state == "done", running.where()
        adds_up(running)
        assert running.metrics().count("pending", "numbers") == 0
        assert not running.errors
        counts = {
            (row["component"], row["source"], row["stream"], name): 0
            for row in running.metrics().rows()
            for name in ("emitted", "executed", "acked", "failed")
        }
        for row in running.metrics().rows():
            for name in ("emitted", "executed", "acked", "failed"):
                counts[row["component"], row["source"], row["stream"], name] += row[name]
    finally:
        running.stop()
    found: dict[str, Any] = {"counts": counts}
    for number, (kind, _, inputs) in enumerate(graph):
        found |= {f"{name}{number}": {
            index: Counter(rows) for index, rows in parts.written(folder, f"{name}{number}").items()
        } for name in ("out", "direct")}  # fmt: skip
    return found


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=graphs(), workers=st.integers(1, 3), batch=st.sampled_from((0, 0, 9)), tasks=st.integers(1, 2))
def test_the_rows_of_random_graphs_are_those_of_inline(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, workers: int, batch: int, tasks: int
) -> None:
    note(f"{graph}, {workers} workers, batches of {batch}, {tasks} tasks")
    folder = tmp_path_factory.mktemp("graph")
    register = Register(folder / "runs.sqlite")
    inline = rows_of(graph, register, folder / "inline", batch, tasks)
    assert rows_of(graph, register, folder / "apart", batch, tasks, runner="processes", workers=workers) == inline
    register.close()
