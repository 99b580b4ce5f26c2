"""A fused chain and the ledger give the same verdicts: random graphs with random failures, run by the inline runner and
by Storm's ledger alone, whose messages go in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, note, settings, strategies as st

from workbench.runs import Register
from workbench.streams import Bolt, Spout, Topology, tumbling
from workbench.streams.acker import Acker

Path_ = tuple[Any, ...]
Graph = dict[str, tuple[tuple[str, ...], str]]
"""By bolt: what it takes from, and its kind."""

KINDS = ("returns", "acks at once", "acks later", "batch", "window")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 6))
    made: Graph = {}
    for number in range(count):
        before = ["spout", *made]
        inputs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        made[f"b{number}"] = (tuple(inputs), draw(st.sampled_from(KINDS)))
    return made


def decided(seed: int, bolt: str, path: Path_) -> tuple[int, bool]:
    """How many tuples a bolt emits for one, and whether it fails it; the same whoever asks."""
    chance = Random(f"{seed} {bolt} {path}")
    return chance.choice((0, 1, 1, 2)), chance.random() < 0.06


class Roots(Spout):
    outputs = {"default": ("path",), "flush": ("round",)}

    def __init__(self, count: int, rounds: int) -> None:
        self.left, self.rounds, self.verdicts = list(range(count)), rounds, {}

    def next_tuple(self) -> None:
        if self.left:
            root = self.left.pop()
            self.collector.emit(((root,),), message_id=root)
        elif self.rounds:
            self.rounds -= 1
            self.collector.emit((self.rounds,), stream="flush")
        else:
            self.finished = True

    def ack(self, message_id: Any) -> None:
        assert message_id not in self.verdicts
        self.verdicts[message_id] = True

    def fail(self, message_id: Any) -> None:
        assert message_id not in self.verdicts
        self.verdicts[message_id] = False


class Returns(Bolt):
    outputs = ("path",)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def work(self, path: Path_, **anchored: Any) -> None:
        count, fails = decided(self.seed, self.context.component, path)
        for number in range(count):
            self.collector.emit(((*path, self.context.component, number),), **anchored)
        if fails:
            raise ValueError(f"fails {path}")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.source_stream == "default":
            self.work(tuple.path)


class Acks(Returns):
    auto_ack = False
    later = False

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.held: list[Any] = []

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.source_stream != "default":
            self.collector.ack(tuple)
            self.context.random.shuffle(self.held)
            held, self.held = self.held, []
            for one in held:
                self.settle(one)
        elif self.later:
            self.held.append(tuple)
        else:
            self.settle(tuple)

    def settle(self, tuple: Any) -> None:  # noqa: A002
        try:
            self.work(tuple.path, anchors=[tuple])
        except ValueError:
            self.collector.fail(tuple)
        else:
            self.collector.ack(tuple)


class AcksLater(Acks):
    later = True


class InBatches(Returns):
    execute = Bolt.execute

    def execute_batch(self, batch: Any) -> None:
        failed = None
        for (path,) in batch if batch.source_stream == "default" else ():
            try:
                self.work(path)
            except ValueError as error:
                failed = error
        if failed:
            raise failed


class Windows(Returns):
    """Each tuple is a window of its own."""

    def execute(self, window: Any) -> None:
        (row,) = window
        if row.source_stream == "default":
            self.work(row[0])


CLASSES = {
    "returns": Returns,
    "acks at once": Acks,
    "acks later": AcksLater,
    "batch": InBatches,
    "window": Windows,
}


def bolts(t: Topology, graph: Graph, seed: int) -> None:
    for id, (inputs, kind) in graph.items():  # noqa: A001
        window = tumbling(1) if kind == "window" else None
        t.bolt(id, CLASSES[kind](seed), inputs=[*inputs, ("spout.flush", "all")], window=window)


def run(graph: Graph, seed: int, roots: int) -> dict[int, bool]:
    """By the inline runner."""
    spout = Roots(roots, len(graph) + 1)
    t = Topology("graph", seed=seed, sample_every=3, max_spout_pending=roots + 1)
    bolts(t.spout("spout", spout), graph, seed)
    with tempfile.TemporaryDirectory() as folder:
        running = t.run(register=Register(Path(folder) / "runs.sqlite")).wait(10)
        assert running.state == "done", running.where()
        row = next(one for one in running.metrics().rows() if one["source"] == "spout" and one["stream"] == "default")
        made = running._engine._spouts[0].instance  # type: ignore[attr-defined]
    verdicts: dict[int, bool] = made.verdicts
    assert row["emitted"] == roots == row["acked"] + row["failed"]
    assert row["pending"] == 0
    assert row["acked"] == sum(verdicts.values())
    return verdicts


def ledger(graph: Graph, seed: int, roots: int, chance: Random) -> dict[int, bool]:
    """By Storm's messages alone: every edge is drawn, and the messages of all trees are shuffled."""
    takers: Mapping[str, list[str]] = {
        name: [other for other, (inputs, _) in graph.items() if name in inputs] for name in ("spout", *graph)
    }
    messages: list[tuple[str, int, int]] = []

    def sent(source: str, path: Path_, root: int) -> int:
        value = 0
        for taker in takers[source]:
            edge = chance.getrandbits(64)
            value ^= edge
            count, fails = decided(seed, taker, path)
            emitted = 0
            for number in range(count):
                emitted ^= sent(taker, (*path, taker, number), root)
            messages.append(("fail", root, 0) if fails else ("ack", root, edge ^ emitted))
        return value

    messages += [("init", root, sent("spout", (root,), root)) for root in range(roots)]
    chance.shuffle(messages)
    acker, verdicts = Acker(), dict[int, bool]()
    for what, root, value in messages:
        verdict = (
            acker.init(root, value, 0)
            if what == "init"
            else acker.ack(root, value)
            if what == "ack"
            else acker.fail(root)
        )
        if verdict is not None:
            assert verdict.root not in verdicts
            verdicts[verdict.root] = verdict.acked
    return verdicts


def test_a_window_that_is_handed_out_is_let_go_when_its_bolt_is_done() -> None:
    """Rows that its bolt emits bring others to the same window bolt, before it has returned."""
    graph: Graph = {
        "b0": (("spout",), "returns"),
        "b1": (("spout", "b0"), "batch"),
        "b2": (("b1",), "returns"),
        "b3": (("b2",), "window"),
        "b4": (("spout",), "returns"),
        "b5": (("spout", "b3"), "batch"),
    }
    for seed in range(20):
        assert run(graph, seed, 12) == ledger(graph, seed, 12, Random(seed)), seed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=graphs(), seed=st.integers(0, 2**32))
def test_fused_and_ledger_judge_alike(graph: Graph, seed: int) -> None:
    roots = 12
    note(f"graph {graph}, seed {seed}")
    assert run(graph, seed, roots) == ledger(graph, seed, roots, Random(seed))
