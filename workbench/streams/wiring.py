"""From a topology to what runs in one process: tasks, and for each stream the direct calls of whoever takes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.component import Context
from workbench.streams.counting import Link, Out
from workbench.streams.delivering import Deliver, to_batches, to_held, to_rows
from workbench.streams.emitting import BoltCollector, Outlet, Post, SpoutCollector
from workbench.streams.groupings import Grouping
from workbench.streams.keeping import Keeper
from workbench.streams.quick import plain, quick
from workbench.streams.routing import key_refused, many, one
from workbench.streams.sinking import SinkTask
from workbench.streams.sinks import Sink
from workbench.streams.state import State, StatefulBolt
from workbench.streams.tapping import LiveSink, Taps
from workbench.streams.task import Task
from workbench.streams.topology import DEAD_LETTER, DEAD_LETTER_FIELDS, Node, Topology
from workbench.streams.tracking import Source, Tracking
from workbench.streams.tuples import Batch, Row, Tuple, told, tuple_class
from workbench.streams.windowing import WindowTask
from workbench.streams.windows import LATE, LATE_FIELDS

__all__ = ["Wiring"]


SHORT_WAY, FRAMES, COMPONENTS_FRAMES = 20, 12, 1200
"""A chain that is longer than the first may have so many frames of a component on the stack for each more."""


class Wiring:
    """All tasks of a topology. `open` makes the instances ready, in the order of the tuples reversed: whoever takes is
    there before whoever gives."""

    def __init__(
        self,
        topology: Topology,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        post: Post,
        log: Callable[[str, str], None],
        buried: Callable[[Task, Row, int, Any], None],
        lost: Callable[[Task, Iterable[Row], str], None] = lambda task, rows, why: None,
        taps: Taps | None = None,
        wake: Callable[[], None] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.topology, self.config = topology, topology.config
        self.taps = taps or Taps()
        self._lost = lost
        self.keeper: Keeper | None = None
        """Of a run with state; set it before `open`."""
        self._clock, self._wall, self._post, self._log, self._buried = clock, wall, post, log, buried
        self._wake, self._stopping = wake, stopping
        self._random = Random(self.config["seed"])
        self.tracking = Tracking(self._random, clock)
        self.tracking.flush = self._flush
        self.tasks: dict[str, list[Task]] = {}
        self.sources: dict[int, Source] = {}
        self.windows: dict[int, WindowTask] = {}
        self.sinks: dict[int, SinkTask] = {}
        self._lates: dict[int, Outlet] = {}
        self._letters: dict[int, Outlet] = {}
        self._flushes: list[Callable[[], None]] = []
        self._opened: list[Task] = []
        number = 0
        for node in topology.nodes.values():
            made = []
            for index in range(node.parallelism):
                number += 1
                made.append(Task(node, number, index, self.config["sample_every"], clock, wall))
            self.tasks[node.id] = made

    def open(self, thread: int) -> None:
        """In the runner's thread. Raises what a component raises."""
        kept = {"snapshots": self.keeper is not None, "state_file": self.keeper.where if self.keeper else ""}
        self.config = {**self.config, **kept}
        # A chain of bolts is a chain of calls, and Python's own limit is for those of the components.
        deep = FRAMES * max(0, self.topology.longest_way() - SHORT_WAY)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), COMPONENTS_FRAMES + deep if deep else 0))
        order = self.topology.order()
        self._consumers = self.topology.consumers()
        try:
            for id in reversed(order):  # noqa: A001
                node = self.topology.nodes[id]
                outlets = self._outlets(node)
                for task in self.tasks[id]:
                    task.thread = thread
                    self._open(node, task, outlets[task.index])
            for id in order:  # noqa: A001
                for task in self.tasks[id]:
                    self._flushes += task.flushes
            if self.keeper is not None:
                self.keeper.begun()
        except BaseException as error:
            for task in self._opened:  # they hold what the next run needs
                try:
                    task.instance.close()
                except Exception as other:  # noqa: BLE001  # it may be anything, and is said with the first one
                    error.add_note(f"And `{task.component}` could not be closed: {told(other)}")
            raise

    def all_tasks(self) -> list[Task]:
        return [task for tasks in self.tasks.values() for task in tasks]

    def spouts(self) -> list[Task]:
        return [task for task in self.all_tasks() if task.node.kind == "spout"]

    def bury(self, task: Task, row: Row) -> None:
        """Emits a dead letter, untracked, on the spout's or sink's stream for them, where it has one."""
        outlet = self._letters.get(task.id)
        if outlet is None:
            return
        outlet.out.counted += 1
        outlet.out.loose += 1
        self.tracking.with_anchors((), outlet.row, outlet.make(row))

    def _late(self, task: Task, row: Row) -> None:
        """Emits a row that came too late on its bolt's stream for them."""
        outlet = self._lates[task.id]
        outlet.out.counted += 1
        outlet.row(outlet.make(row))

    def finish_windows(self) -> bool:
        """No spout will give more: hands out the first windows that are left, in the tuples' order."""
        for name in self.topology.order():
            found = [self.windows[task.id].finish() for task in self.tasks[name] if task.id in self.windows]
            if any(found):
                return True
        return False

    def finish_sinks(self) -> bool:
        """Nothing more will come: writes what sinks have; whether that was anything."""
        some = [sink for sink in self.sinks.values() if sink.waits]
        for sink in some:
            sink.flush()
        return bool(some)

    def _flush(self) -> None:
        tracking = self.tracking
        tracking.dirty = False
        for flush in self._flushes:  # in the order of the tuples, so one round is enough
            flush()
        tracking.dirty = False

    def _open(self, node: Node, task: Task, outlets: dict[str, Outlet]) -> None:
        ids = tuple(other.id for other in self.tasks[node.id])
        random = Random(self._random.getrandbits(64))
        context = Context(
            self.topology.name, node.id, task.id, task.index, ids, self.config, self._clock, random, self._wake
        )
        instance = task.instance
        if node.kind == "spout":
            source = Source(len(self.tracking.sources), self.config["max_spout_pending"])
            self.tracking.sources.append(source)
            self.sources[task.id] = source
            self._letters[task.id] = outlets[DEAD_LETTER]
            collector: Any = SpoutCollector(
                task, outlets, self.tracking, self._post, self._log, source, self.config["acking"], self._buried
            )
            instance.context, instance.collector = context, collector
            if self.keeper is not None:
                self.keeper.adopt(self.topology.name, task, self.tracking, source=source)
            instance.open(self.config, context, collector)
            self._opened.append(task)
            if self.keeper is not None:
                self.keeper.opened(task)
            task.next_tuples = getattr(instance, "next_tuples", None)
        else:
            collector = BoltCollector(task, outlets, self.tracking, self._post, self._log)
            instance.context, instance.collector = context, collector
            if isinstance(instance, LiveSink):
                instance.tap(self.taps, node, self.topology)
            if node.window is not None:
                self._lates[task.id] = outlets[LATE]
                self.windows[task.id] = WindowTask(
                    task,
                    node.window,
                    self.tracking,
                    [(one.component, one.stream) for one in node.inputs],
                    self.config["idle_timeout"],
                    self._wall,
                    lambda *given: self._late(task, given),
                    self._stopping,
                )
            if isinstance(instance, Sink):
                self._letters[task.id] = outlets[DEAD_LETTER]
                self.sinks[task.id] = SinkTask(task, self.topology.name, self.tracking, self._clock, self._lost)
            if isinstance(instance, StatefulBolt):
                instance.state = State()
            if self.keeper is not None:
                window, sink = self.windows.get(task.id), self.sinks.get(task.id)
                self.keeper.adopt(self.topology.name, task, self.tracking, window=window, sink=sink)
            if task.id in self.sinks:
                self.sinks[task.id].open()
            instance.prepare(self.config, context, collector)

    # --- streams

    def _outlets(self, node: Node) -> list[dict[str, Outlet]]:
        """For each task of the node, its streams. Tasks share the links that they lead to, and nothing else."""
        streams = dict(node.outputs)
        if node.kind == "spout":
            streams[DEAD_LETTER] = DEAD_LETTER_FIELDS
        if node.window is not None:
            streams[LATE] = LATE_FIELDS
        found: list[dict[str, Outlet]] = [{} for _ in self.tasks[node.id]]
        for stream, fields in streams.items():
            taken = [
                (consumer, given.grouping, [self._deliver(task, node.id, stream) for task in self.tasks[consumer.id]])
                for consumer, given in self._consumers.get((node.id, stream), ())
            ]
            for task in self.tasks[node.id]:
                found[task.index][stream] = self._outlet(node, task, stream, fields, taken)
        return found

    def _deliver(self, task: Task, component: str, stream: str) -> Deliver:
        instance = task.instance
        link = Link(component, stream, own_acks=not instance.auto_ack)
        task.links.append(link)
        if task.node.window is not None:
            return self.windows[task.id].deliver(link, self.topology.nodes[component].fields_of(stream))
        if task.id in self.sinks:
            source = self.topology.nodes[component]
            straight = source.kind == "spout" and len(task.node.inputs) == 1
            return self.sinks[task.id].deliver(link, source.fields_of(stream), straight)
        if not instance.auto_ack:
            return to_held(task, link, self.tracking)
        if not instance.takes_batches:
            return to_rows(task, link, self.tracking)
        if not instance.takes_rows:
            return to_batches(task, link, self.tracking)
        return Deliver(to_rows(task, link, self.tracking).row, to_batches(task, link, self.tracking).batch, task, link)

    def _outlet(
        self,
        node: Node,
        task: Task,
        stream: str,
        fields: tuple[str, ...],
        taken: Sequence[tuple[Node, Grouping, list[Deliver]]],
    ) -> Outlet:
        make = tuple_class(node.id, stream, fields, task.id)
        out = task.outs[stream] = Out(stream, fields)
        if stream in node.direct:
            direct = {
                other.id: deliver.row
                for consumer, _, delivers in taken
                for other, deliver in zip(self.tasks[consumer.id], delivers, strict=True)
            }
            out.receivers = 1
            return Outlet(out, make, _nobody, _nobody, direct)
        fast, tap = None, self.taps.of(node, stream, fields, bool(taken))
        if tap is None and len(taken) == 1 and all(deliver.rows_only for deliver in taken[0][2]):
            consumer, grouping, delivers = taken[0]
            fast = quick(task, out, make, grouping, delivers, self.tracking)
        rows: list[Callable[[Tuple], None]] = []
        batches: list[Callable[[Batch], None]] = []
        for consumer, grouping, delivers in taken:
            row, batch = self._handed(consumer, grouping, fields, delivers, make, out, task)
            rows.append(row)
            batches.append(batch)
        if tap is not None:
            rows.append(tap.row)
            batches.append(tap.batch)
        hand_on = _each(rows)
        return Outlet(out, make, hand_on, _each(batches), None, fast or plain(task, out, make, hand_on))

    def _handed(
        self,
        consumer: Node,
        grouping: Grouping,
        fields: tuple[str, ...],
        delivers: list[Deliver],
        make: type[Tuple],
        out: Out,
        task: Task,
    ) -> tuple[Callable[[Tuple], None], Callable[[Batch], None]]:
        to_row, to_batch = [each.row for each in delivers], [each.batch for each in delivers]
        choose = one(grouping, fields, len(delivers), self._random)
        if choose is not None:
            out.receivers += 1
            if len(delivers) == 1 or grouping.kind == "global":
                first, whole = to_row[0], to_batch[0]
                return first, lambda batch: whole(batch, make)
            refused = self._refused(task, consumer, grouping, fields)

            def to_one(given: Tuple) -> None:
                try:
                    place = choose(given)
                except InvalidParameter:
                    refused(given)
                    return
                to_row[place](given)

            return to_one, _divided(lambda row: (choose(row),), to_batch, make, refused, self._unreadable(task))
        ids = [task.id for task in self.tasks[consumer.id]]
        choose_many = many(grouping, ids, consumer.id)
        if grouping.kind == "all":
            out.receivers += len(ids)

        def row(given: Tuple) -> None:
            places = choose_many(given)
            if grouping.kind != "all":
                out.extra += len(places)
            for place in places:
                to_row[place](given)

        def counted(given: Row) -> Sequence[int]:
            places = choose_many(given)
            if grouping.kind != "all":
                out.extra += len(places)
            return places

        refused = self._refused(task, consumer, grouping, fields)
        return row, _divided(counted, to_batch, make, refused, self._unreadable(task))

    def _refused(
        self, task: Task, consumer: Node, grouping: Grouping, fields: tuple[str, ...]
    ) -> Callable[[Row], None]:
        """Fails what holds just now, for its row has a key that leads to no task."""

        def refused(row: Row) -> None:
            error = key_refused(task.component, consumer.id, grouping.fields, fields, row)
            task.raised(error, row)
            self.tracking.raised(task.component, error)

        return refused

    def _unreadable(self, task: Task) -> Callable[[Exception, Batch], None]:
        """Fails what holds just now, for the rows of its batch cannot be told apart."""

        def unreadable(error: Exception, batch: Batch) -> None:
            task.raised(error, batch)
            self.tracking.raised(task.component, error)

        return unreadable


def _divided(
    places: Callable[[Row], Sequence[int]],
    to: list[Callable[[Batch, type[Tuple]], None]],
    make: type[Tuple],
    refused: Callable[[Row], None],
    unreadable: Callable[[Exception, Batch], None],
) -> Callable[[Batch], None]:
    """A batch's rows, dealt out; each task gets its part as one batch."""

    def batch(given: Batch) -> None:
        parts: list[list[Row]] = [[] for _ in to]
        try:
            rows = given.rows
        except Exception as error:  # noqa: BLE001  # a table has a value that Python has none of
            unreadable(error, given)
            return
        for row in rows:
            try:
                found = places(row)
            except InvalidParameter:
                refused(row)  # the batch fails as one, so nobody gets any of it
                return
            for place in found:
                parts[place].append(row)
        for part, deliver in zip(parts, to, strict=True):
            if part:
                deliver(Batch.of_rows(part, given.fields, given.source_component, given.source_stream), make)

    return batch


def _each(calls: list[Callable[[Any], None]]) -> Callable[[Any], None]:
    if not calls:
        return _nobody
    if len(calls) == 1:
        return calls[0]

    def all_of_them(given: Any) -> None:
        for call in calls:
            call(given)

    return all_of_them


def _nobody(given: Any) -> None:
    """Nobody takes the stream; what is emitted on it is counted and gone, as on Storm."""
