"""Roots that wait in one pane have one hold. Their verdicts are those that each has with a hold of its own, whatever
else happens to them: random graphs of bolts that fail, ack by themselves or take batches, and of windows behind
windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st

from tests.streams.parts import Keep
from tests.streams.test_verdicts import decided
from workbench.runs import Register
from workbench.streams import Bolt, IteratorSpout, Spout, Topology, tumbling
from workbench.streams.running import Running
from workbench.streams.tracking import Hold
from workbench.streams.windowing import WindowTask

Start = Callable[..., Running]
Graph = dict[str, tuple[tuple[str, ...], str]]
KINDS = ("returns", "acks at once", "acks later", "batch", "panes", "panes")
TIMES = [1, 4, 8, 9, 12, 3, 18, 11, 25, 26, 21, 2, 33, 30, 41, 45]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    made: Graph = {"w": (("spout",), "panes")}
    for number in range(draw(st.integers(0, 4))):
        inputs = draw(st.lists(st.sampled_from(["spout", *made]), min_size=1, max_size=2, unique=True))
        made[f"b{number}"] = (tuple(inputs), draw(st.sampled_from(KINDS)))
    return made


class Roots(Spout):
    """Tells each row's verdict; some come from a second stream."""

    outputs = {"default": ("at", "path"), "other": ("at", "path")}

    def __init__(self) -> None:
        self.left, self.verdicts = list(enumerate(TIMES)), dict[Any, bool]()

    def next_tuple(self) -> None:
        if self.left:
            root, at = self.left.pop(0)
            self.collector.emit((at, (root,)), stream="other" if root % 5 == 4 else "default", message_id=root)
        else:
            self.finished = True

    def ack(self, message_id: Any) -> None:
        assert message_id not in self.verdicts
        self.verdicts[message_id] = True

    def fail(self, message_id: Any) -> None:
        assert message_id not in self.verdicts
        self.verdicts[message_id] = False


class Rows(IteratorSpout):
    """The same in bursts; what fails is a dead letter."""

    outputs = Roots.outputs

    def rows(self) -> Iterator[Any]:
        for root, at in enumerate(TIMES):
            yield (at, (root,))


class Settles(Spout):
    """Has the bolts that ack later do so, now and then; also when windows are handed out at the end."""

    outputs = ("nothing",)
    finished = True

    def next_tuple(self) -> None:
        for bolt in AcksLater.all:
            bolt.settle_all()


class Works(Bolt):
    outputs = ("at", "path")

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def work(self, at: float, path: Any, **anchored: Any) -> None:
        count, fails = decided(self.seed, self.context.component, path)
        for number in range(count):
            self.collector.emit((at, (*path, self.context.component, number)), **anchored)
        if fails:
            raise ValueError(f"fails {path}")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.work(tuple.at, tuple.path)


class InBatches(Works):
    execute = Bolt.execute

    def execute_batch(self, batch: Any) -> None:
        for at, path in batch:
            self.work(at, path)


class Acks(Works):
    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.settle(tuple)

    def settle(self, tuple: Any) -> None:  # noqa: A002
        try:
            self.work(tuple.at, tuple.path, anchors=[tuple])
        except ValueError:
            self.collector.fail(tuple)
        else:
            self.collector.ack(tuple)


class AcksLater(Acks):
    all: list[AcksLater] = []

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.held: list[Any] = []
        self.all.append(self)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.held.append(tuple)

    def settle_all(self) -> None:
        held, self.held = self.held, []
        for one in held:
            self.settle(one)


class InPanes(Works):
    def execute(self, window: Any) -> None:
        self.work(window.end, tuple(sorted((row.path for row in window), key=str)))


CLASSES = {"returns": Works, "acks at once": Acks, "acks later": AcksLater, "batch": InBatches, "panes": InPanes}


def verdicts(folder: Path, graph: Graph, seed: int, every: int, bursts: bool) -> tuple[dict[Any, bool], dict[str, int]]:
    """Of each root, and what the metrics count."""
    t = Topology("graph", seed=seed, sample_every=every, max_spout_pending=100, max_retries=0)
    AcksLater.all.clear()
    t.spout("spout", Rows if bursts else Roots).spout("settles", Settles)
    for id, (inputs, kind) in graph.items():  # noqa: A001
        given = [*inputs, *(["spout.other"] if "spout" in inputs else [])]
        window = tumbling("10ms", time="at", lag="5ms") if kind == "panes" else None
        t.bolt(id, CLASSES[kind](seed), inputs=given, window=window)
    register = Register(folder / "runs.sqlite")
    running = t.run(register=register).wait(10)
    assert running.state == "done", running.where()
    whole = running.metrics().rows()
    rows = [row for row in whole if row["component"] == "spout" and row["stream"] in Roots.outputs]
    for row in rows:
        assert row["emitted"] == row["acked"] + row["failed"], row
        assert row["pending"] == 0, row
    source = next(iter(running._engine._wiring.sources.values()))  # type: ignore[attr-defined]
    assert (source.waiting, source.held) == (0, 0)
    counted = {what: sum(row[what] for row in rows) for what in ("emitted", "acked", "failed")}
    register.close()
    if bursts:
        failed = {letter.row[1][0] for letter in running.dead_letters}
        return {root: root not in failed for root in range(len(TIMES))}, counted
    found: dict[Any, bool] = running._engine._spouts[0].instance.verdicts  # type: ignore[attr-defined]
    return found, counted


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=graphs(), seed=st.integers(0, 2**32), every=st.sampled_from([1, 3, 1000]), bursts=st.booleans())
def test_a_group_is_judged_as_each_of_its_roots_alone(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, seed: int, every: int, bursts: bool
) -> None:
    note(f"graph {graph}, seed {seed}")
    alone_in, together_in = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    with mock.patch.object(WindowTask, "shares", new=False):
        alone = verdicts(alone_in, graph, seed, every, bursts)
    assert verdicts(together_in, graph, seed, every, bursts) == alone
    assert alone[1]["failed"] == Counter(alone[0].values())[False]


class Sums(Bolt):
    """Refuses the second window, once."""

    outputs = ("end", "rows")
    refused: list[float] = []

    def execute(self, window: Any) -> None:
        if window.end == 20 and not self.refused:
            self.refused.append(window.end)
            raise ValueError("not this one")
        self.collector.emit((window.end, len(window)))


class Views(IteratorSpout):
    outputs = ("at", "page")

    def rows(self) -> Iterator[Any]:
        for at in range(1, 101):
            yield (at, "a")


def test_thousands_wait_in_one_hold_and_a_window_that_fails_sends_all_its_rows_again(started: Start) -> None:
    Sums.refused.clear()
    Keep.kept.clear()
    made: list[Hold] = []
    group = Hold.group

    def counted() -> Hold:
        made.append(group())
        return made[-1]

    with mock.patch.object(Hold, "group", new=counted):
        t = Topology("sums", sample_every=1000, retry_backoff=1e-6).spout("views", Views)
        t.bolt("sums", Sums, inputs="views", window=tumbling("10ms", time="at"))
        t.bolt("late", Keep("late"), inputs="sums.late").bolt("keep", Keep("keep"), inputs="sums")
        running = started(t).wait(30)
    assert [tuple(row) for row in Keep.kept["keep"]] == [(end, 10) for end in range(10, 101, 10) if end != 20]
    assert sorted(row.row[0] for row in Keep.kept["late"]) == list(range(11, 21))  # they come again, and too late
    assert len(made) == 10
    # The first of each pane has its own, and the last, with which the pane is handed out.
    assert sum(len(hold.ids or ()) for hold in made) == 80
    metrics = running.metrics()
    assert (metrics.count("acked", "views"), metrics.count("failed", "views")) == (100, 10)
    assert metrics.count("pending", "views") == 0


class Once(Bolt):
    """Holds what it gets, until it is told to fail it, or the second time to ack it."""

    auto_ack = False
    all: list[Any] = []
    failed = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.all.append(tuple)

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        Settler.bolt = self


class Settler(Spout):
    outputs = ("nothing",)
    finished = True
    bolt: Once

    def next_tuple(self) -> None:
        for one in self.bolt.all:
            (self.bolt.collector.ack if self.bolt.failed else self.bolt.collector.fail)(one)
            self.bolt.failed = True
        self.bolt.all.clear()


class Word(IteratorSpout):
    outputs = ("word",)

    def rows(self) -> Iterator[Any]:
        yield ("a",)


def test_a_verdict_that_comes_with_a_call_that_emits_nothing_is_told_before_the_end(started: Start) -> None:
    t = Topology("told", retry_backoff=1e-6).spout("word", Word).spout("settler", Settler)
    running = started(t.bolt("once", Once, inputs="word")).wait(30)
    metrics = running.metrics()
    assert (metrics.count("acked", "word"), metrics.count("failed", "word")) == (1, 1)
