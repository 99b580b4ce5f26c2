"""A worker of the runner `processes`: its tasks, in one thread, as the runner `inline` has them; rows from and for the
others come and go by one socket, to the run's own process.

Started by that (`processes_run.py`), which says on its stdin all that it needs. It ends when that ends.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Full, Queue
from typing import Any

import zmq

from workbench.contract.errors import EmitRefused
from workbench.streams import travelling
from workbench.streams.calling import QUEUED, TICK, Calling
from workbench.streams.collecting import patient_collector
from workbench.streams.far import Sender
from workbench.streams.metrics import scraped
from workbench.streams.printing import Log, printing_to
from workbench.streams.processes_guard import end_with_parent, guard
from workbench.streams.processes_keeping import Part, pieces
from workbench.streams.processes_wire import MOST, json_bytes, letter, plain_scrape, told_error
from workbench.streams.processes_wiring import PartWiring
from workbench.streams.processes_words import KINDS, Words
from workbench.streams.task import Task
from workbench.streams.topology import Topology

__all__ = ["Worker", "main"]

STATUS = 0.1
FLUSH = 0.002
"""Seconds that rows and verdicts wait for others, while there is something to do."""
SHORT_NAP, LONG_NAP = 1, 10
"""Milliseconds."""
MESSAGES = 16
"""So many messages are worked on before spouts have their turn."""


def main(start: Mapping[str, Any]) -> None:
    """The process: `start` is what the run said."""
    end_with_parent(start["parent"])
    worker = Worker(start)
    threading.Thread(target=guard, args=(start, worker.watched), name="workbench-watch", daemon=True).start()
    with printing_to(worker.log), patient_collector():
        worker.run()
    sys.stdout.flush()
    os._exit(0)  # threads of components that do not end are not waited for


class Worker(Calling):
    """The loop. All but `watched` and `_post` is of its one thread."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._start, self.log = start, Log()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, bytes.fromhex(start["token"]))
        self._socket.setsockopt(zmq.MAXMSGSIZE, MOST)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.set_hwm(0)  # what waits is bounded by what the run lets through
        self._socket.connect(start["address"])
        with open(start["mark"], "r+b") as file:
            self._mark = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
        self.clock = time.perf_counter
        self._began = self.clock()
        self._inbox: Queue[tuple[Callable[..., None], tuple[Any, ...]]] = Queue(QUEUED)
        self._dead: dict[str, int] = {}
        self._letters: list[dict[str, Any]] = []
        self._lettered = 0
        self._state, self._full = "waiting", False
        self._sent = self._received = 0
        self._logged, self._told_errors = 0, dict[int, int]()
        self._naps = 0
        self._turns = 0
        self._ticked = self._rotated = self._status_at = self._looked = self._flushed = self._began
        self._told: tuple[Any, ...] = ()
        self._stale = False

    _wiring: PartWiring
    _words: Words
    _part: Part | None = None
    _tasks: list[Task]
    _spouts: list[Task]

    def run(self) -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001  # told where the topology was started
            self._send(b"failed", json_bytes(told_error(error)))
            self._socket.close()
            self._context.term()
            return
        self._send(b"ready", b"")
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001  # as above
            for task in self._spouts:
                task.left_midway()
            self._last_status()
            self._send(b"failed", json_bytes(told_error(error)))
        self._close()

    def _open(self) -> None:
        start = self._start
        travelling.install(start["sources"])
        topology = Topology.from_document(start["topology"])
        topology.check()
        self._timeout = topology.config["message_timeout"]
        self._wiring = PartWiring(
            topology,
            worker=start["worker"],
            workers={int(task): worker for task, worker in start["tasks"].items()},
            incarnation=start["incarnation"],
            positions=start["positions"],
            send=self._frame,
            mark=self._mark,
            clock=self.clock,
            wall=time.time,
            post=self._post,
            log=self._note,
            buried=self._bury,
            lost=self._lose,
        )
        self._words = Words(self._wiring.tracking, self._word)
        self._wiring.tell = self._flush
        self._part = Part(start["saved"], self._lose, self._note) if "saved" in start else None
        self._wiring.keeper = None if self._part is None else self._part.keeper
        self._tasks, self._spouts = self._wiring.all_tasks(), self._wiring.spouts()
        self._dead = {task.component: 0 for task in self._spouts}
        self._wiring.open(threading.get_ident())
        self._sender = Sender(self._wiring.taps, self._view, self.clock)

    # --- other threads

    def watched(self) -> tuple[int, bool]:
        """Its turns so far, and whether it has begun."""
        return self._turns, self._state != "waiting"

    def _post(self, call: Callable[..., None], given: tuple[Any, ...]) -> None:
        while True:
            if self._state == "closed":
                name = self._start["topology"]["name"]
                raise EmitRefused(name, "it has ended, so nothing can be emitted, acked or failed any more.")
            try:
                self._inbox.put((call, given), timeout=TICK)
            except Full:
                continue
            return

    # --- the loop

    def _loop(self) -> None:
        while self._state != "closed":
            self._turns += 1
            now = self.clock()
            if self._full and self._state == "running":
                for task in self._spouts:
                    task.idle["backpressure"] += now - self._looked
            self._looked = now
            moved = self._heard()
            if self._state == "waiting" or (self._part is not None and self._part.frozen):
                if self._state != "waiting":
                    self._status()
                self._socket.poll(LONG_NAP)
                continue
            moved = self._handed_in() or moved
            if self._part is not None and self._part.resting:
                self._part.keeper.again()
            elif self._state == "running" and not self._full:
                for task in self._spouts:
                    self._mark[1] = task.id
                    moved = self._burst(task, self._wiring.sources[task.id]) or moved
            moved = self._tell_all() or moved
            moved = self._tick(now) or moved
            if not moved or now - self._flushed >= FLUSH:  # until then rows gather, but for those of a full frame
                self._flushed = now
                self._flush()
            self._sender.step(now)
            self._status(idle=not moved)
            if moved:
                self._naps = 0
            else:
                self._nap()

    def _heard(self) -> bool:
        moved = False
        for _ in range(MESSAGES):
            try:
                kind, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if kind == b"C":
                self._obey(json.loads(parts[0]))
                continue
            if kind == b"V":
                self._sender.heard()
                continue
            moved = True
            if kind == b"D":
                self._wiring.receive(parts[0])
                self._flush()
                self._send(b"R", b"")
            else:
                self._told_of(kind, parts[0])
            self._received += 1
        return moved

    def _told_of(self, kind: bytes, data: bytes) -> None:
        tracking = self._wiring.tracking
        if kind in KINDS:
            self._words.hear(kind, data)
        elif kind == b"L":
            tracking.lost(json.loads(data))
        elif kind == b"W":
            name = json.loads(data)
            some = self._wiring.finish_component(name)
            if tracking.dirty:
                tracking.flush()
            self._flush()
            self._send(b"W", json_bytes([name, some]))

    def _obey(self, what: Mapping[str, Any]) -> None:
        if "full" in what:
            self._full = bool(what["full"])
        if "look" in what:
            self._sender.look(what["look"])
        state = what.get("state")
        if state == "running" and self._state == "paused":
            for task in self._spouts:
                task.instance.activate()
        elif state == "paused" and self._state == "running":
            for task in self._spouts:
                task.instance.deactivate()
        if state is not None:
            if self._state == "waiting":
                self._status_at = -1.0  # its spouts' first positions are told at once
            self._state = state
        if self._part is not None and (answer := self._part.obey(what, self._as_told)) is not None:
            self._kept(self._part, answer)
        if "scrape" in what:
            self._tell_all()  # so that a spout's position is that of its counts
            self._status(force=True, asked=what["scrape"])

    def _as_told(self, what: Mapping[str, Any]) -> bool:
        """Whether nothing has come or gone since the run's process counted."""
        self._flush()
        return (self._sent, self._received) == (what["sent"], what["received"]) and self._inbox.empty()

    def _kept(self, part: Part, answer: bytes) -> None:
        self._flush()
        if (claims := part.claims(self._wiring)) is not None:
            self._send(b"G", json_bytes(claims))  # before what it is true of is written
        for more, data in pieces(answer):
            self._send(b"K", more, data)

    def _tick(self, now: float) -> bool:
        if not self._due(now, self._timeout):
            return False
        return self._tell_all()

    def _nap(self) -> None:
        self._naps += 1
        began = self.clock()
        self._socket.poll(SHORT_NAP if self._naps < 100 else LONG_NAP)
        resting = self._part is not None and bool(self._part.resting)
        self._rested(self.clock() - began, self._state == "paused", resting, self._full)

    def _note(self, component: str, text: str) -> None:
        self.log.add(f"{component}: {text}")

    def _bury(self, task: Task, row: tuple[Any, ...], tries: int, message_id: Any) -> None:
        component, error = self._why
        self._dead[task.component] = self._dead.get(task.component, 0) + 1
        self._letters.append(letter(row, component, error, tries))
        self._lettered += 1
        del self._letters[:-1000]
        self._wiring.bury(task, (row, component, error, tries))

    def _lose(self, task: Task, rows: Iterable[tuple[Any, ...]], why: str) -> None:
        """Rows that a sink's target refuses."""
        before, self._why = self._why, (task.component, why)
        for row in rows:
            self._bury(task, row, 1, None)
        self._why = before

    # --- to the run's process

    def _send(self, kind: bytes, *parts: bytes) -> None:
        self._socket.send_multipart((kind, *parts), copy=False)

    def _view(self, name: str, rows: int, skipped: int, values: bytes) -> None:
        self._send(b"V", name.encode(), b"%d" % rows, b"%d" % skipped, values)

    def _frame(self, worker: int, rows: int, payload: bytes) -> None:
        self._words.flush()  # who else has some of a root is known before they can ack it
        self._sent += 1
        self._send(b"D", b"%d" % worker, b"%d" % rows, payload)

    def _flush(self) -> None:
        self._wiring.outbox.flush_all()
        self._words.flush()

    def _word(self, kind: bytes, owner: int, data: bytes) -> None:
        self._sent += 1
        self._send(kind, b"%d" % owner, data)

    def _status(self, idle: bool = False, force: bool = False, asked: int | None = None) -> None:
        """What has changed, some times a second, and at once, without the counts, that it has come to rest."""
        sources = self._wiring.sources
        instances = [task.instance for task in self._spouts]
        idle = idle and self._inbox.empty()
        finished = all(one.finished and not one.waiting for one in instances)
        waiting = sum(source.waiting for source in sources.values())
        kept = {} if self._part is None else self._part.status(not self._inbox.empty())
        told = (idle, finished, waiting, self._sent, self._received, self._state, *kept.values())
        passed, changed = self.clock() - self._status_at, told != self._told
        whole = force or passed >= 5 * STATUS or (passed >= STATUS and (changed or self._stale or not idle))
        if not whole and not (idle and changed):
            return
        self._told, self._stale = told, not whole
        body: dict[str, Any] = {
            "idle": idle,
            "finished": finished,
            "waiting": waiting,
            "sent": self._sent,
            "received": self._received,
            "asked": asked,
            **kept,
        }
        if whole:
            self._status_at = self.clock()
            body["scrape"] = plain_scrape(self._scrape())
            spouts = self._spouts if self._part is None else ()  # else a snapshot has them
            positions = {str(task.id): task.instance.acked_position() for task in spouts}
            body["positions"] = {task: position for task, position in positions.items() if position is not None}
            body |= self._notes()
            if self._part is not None and (claims := self._part.claims(self._wiring)) is not None:
                self._send(b"G", json_bytes(claims))
        self._send(b"S", json_bytes(body))

    def _last_status(self) -> None:
        """It asks spouts, which may be what has raised: that is told then, and not that it was asked for this."""
        with contextlib.suppress(Exception):
            self._status(force=True)

    def _scrape(self) -> Any:
        scrape = scraped(self._tasks, self.clock(), self._began, self._dead, self._inbox.qsize())
        scrape.windows = self._wiring.window_counts()
        return scrape

    def _notes(self) -> dict[str, Any]:
        """Errors, dead letters and lines since the last time."""
        before = self._logged
        lines, self._logged = self.log.since(self._logged)
        faults = []
        for task in self._tasks:
            new = task.errors - self._told_errors.get(task.id, 0)
            if new:
                self._told_errors[task.id] = task.errors
                faults += [
                    [fault.component, fault.task, fault.at, fault.error, fault.row]
                    for fault in list(task.faults)[-new:]
                ]
        letters, lettered, self._letters, self._lettered = self._letters, self._lettered, [], 0
        dropped = self._logged - before - len(lines)
        return {"log": lines, "dropped": dropped, "faults": faults, "letters": letters, "lettered": lettered}

    def _close(self) -> None:
        self._state = "closed"
        for task in self._tasks:
            try:
                task.instance.close() if task.node.kind == "spout" else task.instance.cleanup()
            except Exception as error:  # noqa: BLE001  # the others are to be closed all the same; it is shown
                task.raised(error)
        self._last_status()
        self._sender.rest()
        self._send(b"closed", b"")
        self._socket.close()
        self._context.term()
