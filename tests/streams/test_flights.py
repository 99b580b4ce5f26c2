"""Rows that cross between workers, without processes: the workers' tasks and ledgers in this one, and whatever order
their messages may come in. Every tuple has one verdict, the one that its tree says, also when workers are killed."""

from __future__ import annotations

import time
from collections import deque
from functools import cached_property
from random import Random
from threading import get_ident
from typing import Any

from hypothesis import given, note, settings, strategies as st

from workbench.streams import Bolt, Spout, Topology, tumbling
from workbench.streams.processes_tracking import SHIFT
from workbench.streams.processes_wiring import PartWiring, placed
from workbench.streams.processes_words import Words

Path = tuple[Any, ...]
KINDS = ("row", "row", "row", "batch", "later", "window")
GROUPINGS = ("shuffle", "all", "global", "local_or_shuffle", "none")
Graph = list[tuple[str, int, list[tuple[str, str]]]]
"""Of each bolt its kind, its tasks, and what it takes and how."""


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    made: Graph = []
    for number in range(draw(st.integers(1, 5))):
        before = ["roots", *(f"b{one}" for one in range(number) if made[one][0] != "window")]
        inputs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        tasks = draw(st.integers(1, 3))
        made.append((draw(st.sampled_from(KINDS)), tasks, [(one, draw(st.sampled_from(GROUPINGS))) for one in inputs]))
    return made


class Seen:
    """What all instances of a topology share: what has been executed, and the verdicts."""

    def __init__(self, seed: int, fails: float) -> None:
        self.seed, self.fails = seed, fails
        self.executed: set[tuple[str, Path]] = set()
        self.verdicts: dict[Any, bool] = {}
        self.number = 0

    def decided(self, bolt: str, path: Path) -> tuple[int, bool]:
        """How many tuples a bolt emits for one, and whether it fails it; the same whoever asks."""
        chance = Random(f"{self.seed} {bolt} {path}")
        return chance.choice((0, 1, 1, 2)), chance.random() < self.fails


class Roots(Spout):
    outputs = ("path",)

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def next_tuple(self) -> None:
        self.seen.number += 1
        self.collector.emit(((self.seen.number,),), message_id=self.seen.number)

    def ack(self, message_id: Any) -> None:
        assert message_id not in self.seen.verdicts
        self.seen.verdicts[message_id] = True

    def fail(self, message_id: Any) -> None:
        assert message_id not in self.seen.verdicts
        self.seen.verdicts[message_id] = False


class Row(Bolt):
    outputs = ("path",)

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def work(self, path: Path, **anchored: Any) -> None:
        name = self.context.component
        self.seen.executed.add((name, path))
        count, fails = self.seen.decided(name, path)
        for number in range(count):
            self.collector.emit(((*path, name, number),), **anchored)
        if fails:
            raise ValueError(f"fails {path}")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.work(tuple.path)


class InBatches(Row):
    execute = Bolt.execute

    def execute_batch(self, batch: Any) -> None:
        failed = None
        for (path,) in batch.rows:
            try:
                self.work(path)
            except ValueError as error:
                failed = error
        if failed is not None:
            raise failed


class Later(Row):
    auto_ack = False

    @cached_property
    def held(self) -> list[Any]:
        return []

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.held.append(tuple)

    def settle(self) -> None:
        held, self.held[:] = self.held[:], []
        for one in held:
            try:
                self.work(one.path, anchors=[one])
            except ValueError:
                self.collector.fail(one)
            else:
                self.collector.ack(one)


class Windows(Row):
    def execute(self, window: Any) -> None:
        for row in window:
            self.seen.executed.add((self.context.component, row.path))


CLASSES = {"row": Row, "batch": InBatches, "later": Later, "window": Windows}


class Worker:
    """One start of a worker: its tasks, and what it tells."""

    def __init__(self, cluster: Cluster, number: int, incarnation: int) -> None:
        self.cluster, self.number = cluster, number
        self.wiring = PartWiring(
            cluster.topology,
            worker=number,
            workers=cluster.places,
            incarnation=incarnation,
            positions={},
            send=self._frame,
            mark=[0, 0],
            clock=cluster.clock,
            wall=time.time,
            post=lambda call, given: call(*given),
            log=lambda component, text: None,
            buried=lambda *given: None,
            lost=lambda *given: None,
        )
        self.words = Words(self.wiring.tracking, self._word)
        self.wiring.tell = self.flush
        self.wiring.open(get_ident())

    def _frame(self, worker: int, rows: int, payload: bytes) -> None:
        self.words.flush()
        assert rows > 0
        self.cluster.frames[worker].append((next(self.cluster), payload))

    def _word(self, kind: bytes, owner: int, data: bytes) -> None:
        place = self.cluster.owners.get(owner)
        if place is not None:
            self.cluster.words[place].append((next(self.cluster), kind, data))

    def tell(self) -> None:
        """The spouts' verdicts."""
        for task in self.wiring.spouts():
            source = self.wiring.sources[task.id]
            for message_id in source.acks:
                task.instance.ack(message_id)
            for message_id, _ in source.fails:
                task.instance.fail(message_id)
            source.acks.clear()
            source.fails.clear()

    def flush(self) -> None:
        self.wiring.outbox.flush_all()
        self.words.flush()


class Cluster:
    """What the run's process does: passes words on at once, and frames some time after what was said before them."""

    def __init__(self, topology: Topology, workers: int, chance: Random, jumps: float = 0.0) -> None:
        self.topology, self.places, self.chance, self.jumps = topology, placed(topology, workers), chance, jumps
        self._number = self._incarnation = 0
        self._now = 1.0
        self.owners: dict[int, int] = {}
        self.words: list[deque[tuple[int, bytes, bytes]]] = [deque() for _ in range(workers)]
        self.frames: list[deque[tuple[int, bytes]]] = [deque() for _ in range(workers)]
        self.workers = [self.begin(number) for number in range(workers)]

    def clock(self) -> float:
        """Stands still, but that now and then a second has passed, by that chance."""
        self._now += 1.0 if self.chance.random() < self.jumps else 0.0
        return self._now

    def __next__(self) -> int:
        self._number += 1
        return self._number

    def begin(self, number: int) -> Worker:
        self._incarnation += 1
        self.owners[self._incarnation] = number
        return Worker(self, number, self._incarnation)

    def hear(self, number: int) -> None:
        """A word, or a frame before which all has been heard that was said before it."""
        words, frames, worker = self.words[number], self.frames[number], self.workers[number]
        if words and (not frames or words[0][0] < frames[0][0] or self.chance.random() < 0.5):
            _, kind, data = words.popleft()
            if kind == b"L":
                worker.wiring.tracking.lost(int(data))
            else:
                worker.words.hear(kind, data)
        elif frames:
            worker.wiring.receive(frames.popleft()[1])
            if self.chance.random() < 0.5:
                worker.flush()

    def step(self) -> None:
        worker = self.chance.choice(self.workers)
        what = self.chance.random()
        if what < 0.5:
            self.hear(worker.number)
        elif what < 0.6:
            worker.flush()
        elif what < 0.7:
            for task in worker.wiring.all_tasks():
                if isinstance(task.instance, Later):
                    task.instance.settle()
        else:
            for task in worker.wiring.spouts():
                for _ in range(self.chance.choice((1, 3, 120))):
                    if not worker.wiring.sources[task.id].full():
                        task.instance.next_tuple()
        worker.tell()

    def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(60):
            for number, worker in enumerate(self.workers):
                for task in worker.wiring.all_tasks():
                    if isinstance(task.instance, Later):
                        task.instance.settle()
                worker.flush()
                while self.words[number] or self.frames[number]:
                    self.hear(number)
                worker.flush()
                worker.tell()
            if not any(self.words) and not any(self.frames):
                for worker in self.workers:
                    for name in self.topology.order():
                        worker.wiring.finish_component(name)
                    worker.flush()
                    worker.tell()

    def kill(self, number: int) -> None:
        """All that it was at is gone; the others are told, and another one begins."""
        for owner, place in list(self.owners.items()):
            if place == number:
                del self.owners[owner]
        self.words[number].clear()
        self.frames[number].clear()
        for other in self.workers:
            if other.number != number:
                self.words[other.number].append((next(self), b"L", b"%d" % number))
        self.workers[number] = self.begin(number)


def topology_of(graph: Graph, seen: Seen, pending: int) -> Topology:
    t = Topology("flights", max_spout_pending=pending, sample_every=7, message_timeout="1000s")
    t.spout("roots", Roots(seen), parallelism=2)
    for number, (kind, tasks, inputs) in enumerate(graph):
        window = tumbling(5) if kind == "window" else None
        t.bolt(f"b{number}", CLASSES[kind](seen), inputs=inputs, parallelism=tasks, window=window)
    return t


def tree(graph: Graph, seen: Seen, root: Any) -> tuple[set[tuple[str, Path]], bool]:
    """All that is to be executed for it, and whether none of that fails."""
    takers: dict[str, list[str]] = {}
    for number, (_, _, inputs) in enumerate(graph):
        for one, _ in inputs:
            takers.setdefault(one, []).append(f"b{number}")
    found, fine = set[tuple[str, Path]](), True
    left: list[tuple[str, Path]] = [(name, (root,)) for name in takers.get("roots", ())]
    while left:
        name, path = left.pop()
        found.add((name, path))
        if graph[int(name[1:])][0] == "window":
            continue
        count, fails = seen.decided(name, path)
        fine = fine and not fails
        left += [(taker, (*path, name, number)) for number in range(count) for taker in takers.get(name, ())]
    return found, fine


@settings(max_examples=60, deadline=None)
@given(
    graph=graphs(),
    workers=st.integers(2, 3),
    fails=st.sampled_from((0.0, 0.05)),
    pending=st.sampled_from((3, 200)),
    kills=st.sampled_from((0, 0, 3)),
    seed=st.integers(0, 1 << 32),
)
def test_each_tuple_has_the_verdict_of_its_tree(
    graph: Graph, workers: int, fails: float, pending: int, kills: int, seed: int
) -> None:
    chance, seen = Random(seed), Seen(seed, fails)
    cluster = Cluster(topology_of(graph, seen, pending), workers, chance, jumps=0.05)
    steps = 120
    moments = {chance.randrange(steps) for _ in range(kills)}
    for step in range(steps):
        cluster.step()
        if step in moments:
            cluster.kill(chance.randrange(workers))
    cluster.settle()
    note(f"{seen.number} tuples")
    missing = set(range(1, seen.number + 1)) - set(seen.verdicts)
    assert kills or not missing
    for worker in cluster.workers:
        tracking = worker.wiring.tracking
        assert not tracking.flights
        for task in worker.wiring.spouts():
            source, out = worker.wiring.sources[task.id], task.outs["default"]
            assert (source.waiting, source.held, out.pending) == (0, 0, 0)
            assert out.emitted == out.acked + out.failed
    for root, acked in seen.verdicts.items():
        expected, fine = tree(graph, seen, root)
        if acked:
            assert fine
            assert expected <= seen.executed, (root, expected - seen.executed)
        else:
            assert kills or not fine, root


def test_a_flight_times_out_as_any_other_tuple_does() -> None:
    seen = Seen(1, 0.0)
    t = Topology("late").spout("roots", Roots(seen)).bolt("b0", Row(seen), inputs="roots")
    cluster = Cluster(t, 2, Random(1))
    spout = cluster.workers[0]
    (task,) = spout.wiring.spouts()
    for _ in range(3):
        task.instance.next_tuple()
    spout.flush()
    spout.wiring.tracking.rotate()
    task.instance.next_tuple()
    spout.flush()
    spout.tell()
    assert not seen.verdicts
    spout.wiring.tracking.rotate()
    spout.tell()
    assert seen.verdicts == dict.fromkeys((1, 2, 3), False)
    cluster.settle()  # what comes for them now is for nobody
    assert seen.verdicts == {**dict.fromkeys((1, 2, 3), False), 4: True}
    assert spout.wiring.tracking.own(1 << SHIFT)
    assert not spout.wiring.tracking.flights


def test_rows_of_one_spout_that_nothing_else_happens_to_are_one_word() -> None:
    seen = Seen(1, 0.0)
    t = Topology("one", sample_every=20).spout("roots", Roots(seen))
    cluster = Cluster(t.bolt("b0", Row(seen), inputs="roots"), 2, Random(1))
    spout, bolt = cluster.workers
    (task,) = spout.wiring.spouts()
    for _ in range(100):
        task.instance.next_tuple()
    spout.flush()
    assert len(cluster.frames[1]) == 1
    cluster.hear(1)
    bolt.flush()
    assert [kind for _, kind, _ in cluster.words[0]] == [b"O"]
    cluster.settle()
    assert len(seen.verdicts) == 100
    assert task.outs["default"].complete.notes


def test_what_a_slow_bolt_has_done_is_told_before_the_rest_is() -> None:
    seen = Seen(1, 0.0)
    t = Topology("slow").spout("roots", Roots(seen))
    cluster = Cluster(t.bolt("b0", Row(seen), inputs="roots"), 2, Random(1), jumps=1.0)
    (task,) = cluster.workers[0].wiring.spouts()
    for _ in range(3):
        task.instance.next_tuple()
    cluster.workers[0].flush()
    cluster.hear(1)
    assert [kind for _, kind, _ in cluster.words[0]] == [b"O"] * 3
    for number in range(1, 4):
        cluster.hear(0)
        cluster.workers[0].tell()
        assert seen.verdicts == dict.fromkeys(range(1, number + 1), True)
