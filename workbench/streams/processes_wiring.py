"""The tasks of one worker, wired: those that are here as in one process, those that are elsewhere by an outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random, SystemRandom
from typing import Any

from workbench.streams.counting import Link, Out
from workbench.streams.delivering import Deliver
from workbench.streams.emitting import Outlet, Post
from workbench.streams.groupings import Grouping
from workbench.streams.processes_flights import Flight, Passenger
from workbench.streams.processes_tracking import Foreign, PartTracking
from workbench.streams.processes_wire import FRAME_ROWS, Entry, Flown, Key, Outbox, refusal, rows_of, tables, unpacked
from workbench.streams.task import Task
from workbench.streams.topology import Node, Topology
from workbench.streams.tracking import Anchor
from workbench.streams.tuples import Batch, Row, Tuple, tuple_class
from workbench.streams.wiring import Wiring

__all__ = ["PartWiring", "placed"]

FRAMES, LEAST_ROWS = 4, 50
LONG = 0.05
"""Seconds of work on a frame after which what is done of it is told before the rest is."""


def placed(topology: Topology, workers: int) -> dict[int, int]:
    """Which worker has which task: each goes where there are the fewest yet, in the order of the tuples, so the tasks
    of a component are spread as evenly as can be. Task ids are those of every runner."""
    ids: dict[str, list[int]] = {}
    number = 0
    for node in topology.nodes.values():
        ids[node.id] = list(range(number + 1, number + 1 + node.parallelism))
        number += node.parallelism
    load = [0] * workers
    found: dict[int, int] = {}
    for name in topology.order():
        for task in ids[name]:
            worker = load.index(min(load))
            load[worker] += 1
            found[task] = worker
    return found


class PartWiring(Wiring):
    """All tasks have a place in it, so that ids, streams and chance are as in one process; only those of `worker` are
    opened and counted. `mark` is told whose row is worked on, for the case that this ends the process."""

    tracking: PartTracking

    def __init__(
        self,
        topology: Topology,
        *,
        worker: int,
        workers: Mapping[int, int],
        incarnation: int,
        positions: Mapping[str, Any],
        send: Callable[[int, int, bytes], None],
        mark: Any,
        clock: Callable[[], float],
        wall: Callable[[], float],
        post: Post,
        log: Callable[[str, str], None],
        buried: Callable[[Task, Row, int, Any], None],
        lost: Callable[[Task, Iterable[Row], str], None],
    ) -> None:
        super().__init__(topology, clock=clock, wall=wall, post=post, log=log, buried=buried, lost=lost)
        self._worker, self._workers, self._positions, self._mark = worker, workers, positions, mark
        # Of the system's chance: edges that two workers draw alike would cancel each other.
        self.tracking = PartTracking(Random(SystemRandom().getrandbits(128)), clock, incarnation)
        self.tracking.flush = self._flush
        # Some frames at least within what may be on its way, so that they are made while others are worked on.
        most = max(LEAST_ROWS, min(FRAME_ROWS, self.config["max_spout_pending"] // FRAMES))
        self.outbox = Outbox(send, self._unsendable, self.tracking, most)
        self.tell: Callable[[], None] = lambda: None
        """Sends what there is for others."""
        self._by_id = {task.id: task for tasks in self.tasks.values() for task in tasks}
        self._delivers: dict[tuple[int, str, str], Deliver] = {}
        self._takers: dict[Key, tuple[Deliver, type[Tuple], tuple[str, ...]]] = {}

    def here(self, task: int) -> bool:
        return self._workers[task] == self._worker

    def all_tasks(self) -> list[Task]:
        return [task for task in super().all_tasks() if self.here(task.id)]

    def window_counts(self) -> dict[tuple[str, int], dict[str, float]]:
        """Of a scrape: its `windows`."""
        return {
            (one.task.component, task): {
                "late": one.late,
                "watermark": one.watermark,
                "behind": one.behind,
                "rows": one.manager.rows,
            }
            for task, one in self.windows.items()
        }

    def finish_component(self, name: str) -> bool:
        """As `finish_windows` and `finish_sinks`, of the tasks of one component that are here."""
        found = [self.windows[task.id].finish() for task in self.tasks[name] if task.id in self.windows]
        for sink in [self.sinks[task.id] for task in self.tasks[name] if task.id in self.sinks]:
            found.append(sink.waits)
            sink.flush()
        return any(found)

    def _open(self, node: Node, task: Task, outlets: dict[str, Outlet]) -> None:
        if not self.here(task.id):
            self._random.getrandbits(64)  # as if it were: the others' chance is that of every runner
            return
        if str(task.id) in self._positions:
            task.instance.resume(self._positions[str(task.id)])
        super()._open(node, task, outlets)

    # --- to other workers

    def _deliver(self, task: Task, component: str, stream: str) -> Deliver:
        if self.here(task.id):
            deliver = super()._deliver(task, component, stream)
            self._delivers[task.id, component, stream] = deliver
            return deliver
        return self._elsewhere(task, component, stream)

    def _elsewhere(self, task: Task, component: str, stream: str) -> Deliver:
        worker, taker, tracking, outbox = self._workers[task.id], task.id, self.tracking, self.outbox
        crossing, put = tracking.crossing, outbox.row
        gathers = task.instance.auto_ack and not task.instance.takes_rows and task.node.window is None
        gathered: list[Tuple] = []

        flights: dict[type[Tuple], Flight] = {}

        def row(given: Tuple) -> None:
            anchors = tracking.anchors
            if anchors:
                anchor = anchors[0]
                if anchor.__class__ is Anchor and not anchor.busy:
                    kind = given.__class__
                    flight = flights.get(kind)
                    if flight is None or flight.closed:
                        key = (taker, component, stream, kind.source_task)
                        flight = flights[kind] = outbox.flight(worker, key, len(kind.fields))
                    flight.values += given
                    flight.number += 1
                    anchor.busy, anchor.flight = True, flight
                    return
            put(worker, taker, given, crossing(worker))

        def gather(given: Tuple) -> None:
            gathered.append(given)
            tracking.dirty = True

        def batch(rows: Batch, make: type[Tuple]) -> None:
            if gathered:
                flush()
            if len(rows):
                outbox.batch(worker, (taker, component, stream, make.source_task), rows, crossing(worker))

        def flush() -> None:
            if gathered:
                rows: list[Any] = gathered[:]
                gathered.clear()
                kind = rows[0].__class__
                batch(Batch.of_rows(rows, kind.fields, component, stream), kind)

        if gathers:
            task.flushes.append(flush)
        return Deliver(gather if gathers else row, batch, task, Link(component, stream))

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
        if grouping.kind == "local_or_shuffle":
            delivers = [one for one in delivers if self.here(one.task.id)] or delivers
        return super()._handed(consumer, grouping, fields, delivers, make, out, task)

    def _unsendable(self, key: Key, edges: dict[int, int] | None, item: Any, error: Exception) -> None:
        giver = self._by_id[key[3]]
        refused = refusal(giver.component, item, error)
        giver.raised(refused, item)
        if edges:
            self.tracking.fail(edges, (giver.component, f"{type(refused).__name__}: {refused}"))

    # --- from other workers

    def receive(self, payload: bytes) -> None:
        """Works on a frame, item by item; each is acked when its call has returned."""
        for run in unpacked(payload):
            key = run[0]
            taker = self._takers.get(key) or self._taker(key)
            self._mark[1] = key[0]
            if len(run) == 6:
                self._land(taker[0], taker[1], run)
            else:
                self._receive(taker, run)
            self._mark[0] = 0

    def _receive(self, taker: tuple[Deliver, type[Tuple], tuple[str, ...]], entry: Entry) -> None:
        _, items, roots, edges = entry
        due = self._clock() + LONG
        for item, root, edge in zip(items, roots, edges, strict=True):
            foreign = None if root is None and edge is None else Foreign(edge if root is None else {root: edge})
            self._mark[0] = root or 0
            self._take(*taker, item, foreign)
            if self._clock() > due:
                self.tell()
                due = self._clock() + LONG

    def _land(self, deliver: Deliver, make: type[Tuple], flight: Flown) -> None:
        """A flight: one answer is for all its rows, but those of which more was told."""
        _, base, edge, number, width, values = flight
        tracking, keeper, mark, row, clock = self.tracking, self.keeper, self._mark, deliver.row, self._clock
        passenger = Passenger(base, edge)
        anchors, due = (passenger,), clock() + LONG
        try:
            for root, given in enumerate(rows_of(values, width, number), base):
                mark[0] = root
                if keeper is not None:
                    keeper.others += 1
                failed, tracking.anchors = tracking.failed, anchors
                row(make(given))
                if tracking.dirty:
                    tracking.flush()
                if passenger.alone and tracking.failed == failed:
                    tracking.ack(passenger)
                passenger.next(root + 1)
                if clock() > due:
                    tracking.landed.append((base, root + 1 - base))
                    self.tell()
                    due = clock() + LONG
        finally:
            tracking.anchors = ()
        tracking.landed.append((base, number))

    def _take(
        self, deliver: Deliver, make: type[Tuple], fields: tuple[str, ...], item: Any, foreign: Foreign | None
    ) -> None:
        tracking = self.tracking
        if self.keeper is not None:
            self.keeper.others += 1
        failed = tracking.failed
        tracking.anchors = () if foreign is None else (foreign,)
        try:
            if item.__class__ is tuple:
                deliver.row(make(item))
            else:
                deliver.batch(_batch(item, fields, make), make)
            if tracking.dirty:
                tracking.flush()
        finally:
            tracking.anchors = ()
        if foreign is not None and tracking.failed == failed:
            tracking.ack(foreign)

    def _taker(self, key: Key) -> tuple[Deliver, type[Tuple], tuple[str, ...]]:
        taker, component, stream, giver = key
        fields = self.topology.nodes[component].fields_of(stream)
        found = self._delivers[taker, component, stream], tuple_class(component, stream, fields, giver), fields
        self._takers[key] = found
        return found


def _batch(item: Sequence[Any], fields: tuple[str, ...], make: type[Tuple]) -> Batch:
    data, origin = item
    if data.__class__ is list:
        batch = Batch.of_rows(data, fields, make.source_component, make.source_stream)
    else:
        batch = Batch(tables(data), fields)
        batch.source_component, batch.source_stream = make.source_component, make.source_stream
    if origin is not None:
        batch.origin = origin
    return batch
