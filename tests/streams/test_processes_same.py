"""The runner `processes` gives the rows, the counts and the dead letters of `inline`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from tests.streams import process_parts as parts
from tests.streams.process_help import adds_up
from workbench.runs import Register
from workbench.streams import Topology, fields, partial_key, session, sliding, tumbling
from workbench.streams.running import Running

Start = Callable[..., Running]

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


def topology_of(graph: Graph, folder: Path, batch: int, tasks: int, fails: float) -> Topology:
    """Every bolt's rows, and each direct stream's, go to a file. What fails is given up at once."""
    t = Topology("graph", seed=7, max_retries=0)
    t.spout("numbers", parts.Numbers(60, batch), parallelism=tasks)
    classes = {"row": parts.Mixed, "batch": parts.MixedBatch, "later": parts.MixedLater, "window": parts.MixedWindow}
    keyed: dict[str, Any] = {"fields": fields("key"), "partial_key": partial_key("key")}
    for number, (kind, parallelism, inputs) in enumerate(graph):
        grouped = [(one, keyed.get(how, how)) for one, how in inputs]
        window = tumbling("10ms", time="number", lag="1000000000d") if kind == "window" else None  # none is late
        # The tasks of its sink: ids are counted on as components are added.
        first = 1 + sum(node.parallelism for node in t.nodes.values()) + parallelism
        code = classes[kind](f"b{number}", first, 2 if kind == "row" else 0, fails)
        t.bolt(f"b{number}", code, inputs=grouped, parallelism=parallelism, window=window)
        t.bolt(f"direct{number}", parts.Write(str(folder)), inputs=[(f"b{number}.chosen", "direct")], parallelism=2)
        t.bolt(f"out{number}", parts.Write(str(folder)), inputs=[(f"b{number}", fields("key"))], parallelism=2)
    return t


def rows_of(
    graph: Graph, register: Register, folder: Path, batch: int, tasks: int, fails: float, **how: Any
) -> dict[str, Any]:
    """What came to each sink's task, in any order, what was given up, and all counts."""
    folder.mkdir(parents=True)
    running = topology_of(graph, folder, batch, tasks, fails).run(register=register, **how)
    try:
        running.wait(60)
        assert running.state == "done", running.where()
        adds_up(running)
        assert running.metrics().count("pending", "numbers") == 0
        assert fails or not running.errors
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
    found: dict[str, Any] = {"counts": counts, "given up": Counter(letter.row for letter in running.dead_letters)}
    for name in [f"{name}{number}" for number in range(len(graph)) for name in ("out", "direct")]:
        found[name] = {index: Counter(rows) for index, rows in parts.written(folder, name).items()}
    return found


# Found as they are: to make one smaller, of which each run starts processes, takes many minutes.
AS_FOUND = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=6, phases=AS_FOUND, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    graph=graphs(),
    workers=st.integers(1, 3),
    batch=st.sampled_from((0, 0, 9)),
    tasks=st.integers(1, 2),
    fails=st.sampled_from((0.0, 0.05)),
)
def test_the_rows_of_random_graphs_are_those_of_inline(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, workers: int, batch: int, tasks: int, fails: float
) -> None:
    same_as_inline(tmp_path_factory, graph, workers, batch, tasks, fails)


@pytest.mark.deep
@settings(max_examples=150, phases=AS_FOUND, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    graph=graphs(),
    workers=st.integers(1, 4),
    batch=st.sampled_from((0, 0, 1, 9)),
    tasks=st.integers(1, 3),
    fails=st.sampled_from((0.0, 0.02, 0.2)),
)
def test_the_rows_of_many_random_graphs_are_those_of_inline(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, workers: int, batch: int, tasks: int, fails: float
) -> None:
    same_as_inline(tmp_path_factory, graph, workers, batch, tasks, fails)


def test_a_window_that_fails_fails_the_rows_of_other_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    graph: Graph = [("row", 1, [("numbers", "shuffle")]), ("window", 1, [("b0", "shuffle"), ("numbers", "shuffle")])]
    same_as_inline(tmp_path_factory, graph, 3, 0, 1, 0.2)


def same_as_inline(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, workers: int, batch: int, tasks: int, fails: float
) -> None:
    """Failures only where it is sure what fails with a row, and what is acked when the run is over."""
    dealt = [
        kind == "window" and parallelism > 1 and how not in ("fields", "global", "all")
        for kind, parallelism, inputs in graph
        for _, how in inputs
    ]
    fails = 0.0 if batch or any(dealt) or any(kind in ("batch", "later") for kind, _, _ in graph) else fails
    print(f"{graph}, {workers} workers, batches of {batch}, {tasks} tasks, {fails} fail")
    folder = tmp_path_factory.mktemp("graph")
    register = Register(folder / "runs.sqlite")
    inline = rows_of(graph, register, folder / "inline", batch, tasks, fails)
    apart = rows_of(graph, register, folder / "apart", batch, tasks, fails, runner="processes", workers=workers)
    assert apart == inline
    register.close()


def test_windows_are_those_of_inline_also_when_they_hold_more_than_may_be_on_its_way(
    register: Register, tmp_path: Path
) -> None:
    found = []
    for runner in ("inline", "processes"):
        folder = tmp_path / runner
        folder.mkdir()
        t = Topology("windows", seed=1, max_spout_pending=20).spout("numbers", parts.Numbers(500))
        t.bolt("twice", parts.twice, inputs="numbers")
        for name, window in (
            ("tumbling", tumbling("200ms", time="number")),
            ("sliding", sliding(100, every=50)),
            ("session", session("3ms", by="key", time="number", lag="1s")),
        ):
            t.bolt(name, parts.WriteWindow(str(folder)), inputs="twice", window=window)
        running = t.run(runner, register=register).wait(60)
        assert running.state == "done", running.where()
        adds_up(running)
        found.append({name: parts.written(folder, name) for name in ("tumbling", "sliding", "session")})
    assert found[0] == found[1]
    assert len(found[0]["tumbling"][0]) == 4


def test_arrow_tables_cross_as_tables(started: Start, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    t = Topology("tables").spout("tables", parts.Tables(5))
    t.bolt("sums", parts.column_sums, inputs=[("tables", "shuffle")])
    t.bolt("out", parts.Write(str(folder)), inputs="sums")
    running = started(t, runner="processes").wait(60)
    assert running.state == "done"
    assert not running.errors
    assert sorted(parts.written(folder, "out")[0]) == [(True, 3, 10 * number + 3) for number in range(5)]
    assert running.metrics().count("acked", "tables") == 15


def test_a_long_path_of_temporary_files_is_no_hindrance(
    started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    t = Topology("long").spout("numbers", parts.Numbers(3)).bolt("out", parts.Write(str(tmp_path)), inputs="numbers")
    assert started(t, runner="processes").wait(60).state == "done"
