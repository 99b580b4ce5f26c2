"""The runner `inline`: one background thread of this process in which spouts are called, and through them all else."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import EmitRefused
from workbench.runs import Register
from workbench.runs.publisher import Publisher
from workbench.streams.calling import QUEUED, TICK, Calling
from workbench.streams.collecting import patient_collector
from workbench.streams.given_up import DeadLetter, DeadLetters, KeptLetters
from workbench.streams.metrics import History, Scrape, scraped
from workbench.streams.printing import Log, printing_to
from workbench.streams.recovering import LAST_NAPS, Recovery
from workbench.streams.registers import own_register, watch
from workbench.streams.report import Metrics
from workbench.streams.running import Interrupted, Running, Snapshot
from workbench.streams.spool_folders import begin_anew, left_out
from workbench.streams.tapping import Taps
from workbench.streams.task import Fault, Task, where
from workbench.streams.telling import Telling
from workbench.streams.threads import RunThread
from workbench.streams.tuples import told
from workbench.streams.wiring import Wiring

if TYPE_CHECKING:
    import os

    from workbench.streams.guarantees import Guarantees
    from workbench.streams.topology import Topology

__all__ = ["Inline", "run"]

SHORT_NAP = 0.001
NAPS = ((100, SHORT_NAP), (400, 0.01), (sys.maxsize, 0.025))
"""Until so many naps, so many seconds each, while there is nothing to do. Spouts that `wakes` need none."""
ANSWER = 1.0
"""Seconds that a scrape waits for a component to return."""


def run(topology: Topology, *, register: Register | None = None, **options: Any) -> Running:
    """Starts it. Raises what a component's `open` or `prepare` raises."""
    register = register or own_register()
    engine = Inline(topology, register, **options)
    engine.start()
    running = Running(engine)
    running.again = lambda other: run(other, register=register, **{**options, "recover": False})
    telling = Telling(Publisher.of(register), running, engine.taps)
    telling.introduce(register)
    telling.start()
    return running


class Inline(Calling):
    """The thread, and what others ask of it. `clock` gives seconds that only move on, `wall` those of the epoch."""

    def __init__(
        self,
        topology: Topology,
        register: Register,
        *,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float] = time.time,
        state: bool | str | os.PathLike[str] | None = False,
        recover: bool = True,
        forget: Iterable[str] = (),
    ) -> None:
        kept = state is not False and state is not None
        self._anew = left_out(topology, recover, forget)
        self.recovery = Recovery(topology, state, recover, forget, clock, wall) if kept else None
        self.topology, self.log = topology, Log()
        self.error: BaseException | None = None
        self.clock, self._began = clock, clock()
        self.taps = Taps()
        self._wiring = Wiring(
            topology,
            clock=clock,
            wall=wall,
            post=self._post,
            log=self._note,
            buried=self._bury,
            lost=self._lose,
            taps=self.taps,
            wake=self._wake,
            stopping=lambda: self._stopping,
        )
        self._tasks, self._spouts = self._wiring.all_tasks(), self._wiring.spouts()
        self._register, self._run, self.id = register, None, ""
        self._state, self._asked = "running", deque[str]()
        self._attention, self._ready = threading.Event(), threading.Event()
        self._calls: list[None] = []
        """Not empty while the attention is asked for: looking at a list costs a tenth of asking the event."""
        self._inbox: Queue[tuple[Callable[..., None], tuple[Any, ...]]] = Queue(QUEUED)
        self._letters = KeptLetters()
        self._dead = {task.component: 0 for task in self._spouts}
        self._history, self._last = History(), None
        self._scrapes: deque[tuple[threading.Event, list[Scrape]]] = deque()
        self._ticked = self._rotated = self._began
        self._naps = 0
        self._stopping = False
        self._rests = False  # whether spouts rest, for a snapshot is due
        self._abandoned = False
        self.thread: threading.Thread = RunThread(self._main, f"workbench-stream-{topology.name}")

    _run: Any
    _last: Scrape | None

    # --- from any thread

    @property
    def state(self) -> str:
        return self._state

    def start(self) -> None:
        self.thread.start()
        self._ready.wait()
        if self.error is not None and not self.id:
            self.thread.join()
            raise self.error

    def ask(self, what: str) -> None:
        """`stop`, `pause` or `resume`, between two tuples; `stop` between two windows, too."""
        self._stopping = self._stopping or what == "stop"
        self._asked.append(what)
        self._call()

    def _call(self) -> None:
        self._calls.append(None)
        self._attention.set()

    def _wake(self) -> None:
        if not self._attention.is_set():
            self._attention.set()

    def metrics(self) -> Metrics:
        answered, found = threading.Event(), list[Scrape]()
        if threading.current_thread() is not self.thread and self.thread.is_alive():
            self._scrapes.append((answered, found))
            self._call()
            answered.wait(ANSWER)
        if not found and not self.thread.is_alive():
            found = [self._last or self._scrape()]
        scrape = found[0] if found else self._last or self._scrape()
        age = self.clock() - scrape.at if self.thread.is_alive() else 0.0
        kinds = {node.id: node.kind for node in self.topology.nodes.values()}
        before = {name: self._history.before(name, scrape.at) for name in ("10m", "3h", "1d")}
        return Metrics(self.topology.name, kinds, scrape, before, age)

    def faults(self) -> list[Fault]:
        return sorted((fault for task in self._tasks for fault in list(task.faults)), key=lambda fault: fault.at)

    def letters(self) -> DeadLetters:
        return self._letters.all()

    def guarantees(self) -> Guarantees:
        from workbench.streams.guarantees import of_run

        return of_run(self._wiring)

    @property
    def snapshot(self) -> Snapshot | None:
        return None if self.recovery is None else self.recovery.last

    def where(self) -> str:
        return where(self.thread.ident)

    def abandon(self, why: str) -> None:
        """Its thread does not end: the run does, all the same."""
        self._abandoned = True
        self._finish("stopped", why)

    def _post(self, call: Callable[..., None], given: tuple[Any, ...]) -> None:
        while True:
            if not self.thread.is_alive() or self._state in ("done", "stopped", "failed"):
                raise EmitRefused(
                    self.topology.name, "it has ended, so nothing can be emitted, acked or failed any more."
                )
            try:
                self._inbox.put((call, given), timeout=TICK)
            except Full:
                continue
            self._call()
            return

    def _note(self, component: str, text: str) -> None:
        self.log.add(f"{component}: {text}")

    # --- in its thread

    def _main(self) -> None:
        with printing_to(self.log), patient_collector():
            try:
                if self.recovery is not None:
                    self._wiring.keeper = self.recovery.open(self._lose, self._note)
                begin_anew(self.topology.name, self._anew, str(self.recovery.path) if self.recovery else "")
                self._wiring.open(threading.get_ident())
                self._run = self._register.begin("topology", f"topology {self.topology.name}")
                self.id = self._run.id
            except BaseException as error:  # noqa: BLE001  # raised where it was started
                self.error = error
                if self.recovery is not None:
                    self.recovery.close()
                self._ready.set()
                return
            watch(self._register).add(self._run, lambda: self.ask("stop"))
            self._ready.set()
            state, text = "failed", ""
            try:
                state = self._loop()
            except Interrupted:
                state, text = "stopped", "A component was interrupted, for it did not return."
                for task in self._spouts:
                    task.left_midway()
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                self.error, text = error, told(error)
                for task in self._spouts:
                    task.left_midway()
            self._close(state, text)

    def _loop(self) -> str:
        self._scrape()  # what is told while its first tuple does not return
        while True:
            if self._calls:
                self._calls.clear()
                self._attend()
            if self._state == "stopping":
                self._last_snapshot()
                return "stopped"
            moved = False
            if self._state == "running" and self.recovery is not None and (self._rests or self.recovery.due):
                moved = self._snapshot(self.recovery)
            elif self._state == "running":
                for task in self._spouts:
                    moved = self._burst(task, self._wiring.sources[task.id]) or moved
            if self._tick() or self._tell_all() or moved:  # verdicts may come with a call that emits nothing
                self._naps = 0
            elif self._inbox.empty():
                if self._finished():
                    if self._wiring.finish_windows() or self._wiring.finish_sinks():
                        self._flush()
                        continue
                    if not any(source.waiting for source in self._wiring.sources.values()):
                        self._last_snapshot()
                        return "done"
                self._nap()

    def _attend(self) -> None:
        while self._asked:
            self._obey(self._asked.popleft())
        full, began = self._inbox.qsize() >= QUEUED // 2, self.clock()
        self._handed_in()
        if full:
            for task in self._spouts:
                task.idle["backpressure"] += self.clock() - began
        self._tell_all()
        while self._scrapes:
            answered, found = self._scrapes.popleft()
            found.append(self._scrape())
            answered.set()

    def _obey(self, what: str) -> None:
        if what == "stop":
            self._state = "stopping"
        elif what == "pause" and self._state == "running":
            self._state = "paused"
            for task in self._spouts:
                task.instance.deactivate()
        elif what == "resume" and self._state == "paused":
            self._state = "running"
            for task in self._spouts:
                task.instance.activate()

    def _tick(self) -> bool:
        """What is due by time; whether that has moved anything."""
        now = self.clock()
        if not self._due(now, self.topology.config["message_timeout"]):
            return False
        if self._history.due(now):
            self._history.note(self._scrape())
        counts = [out for task in self._spouts for out in task.outs.values()]
        self._run.progress(sum(out.acked + out.untracked for out in counts), 0)
        return self._tell_all()

    def _unquiet(self) -> str:
        """Why it is no moment for a snapshot; has what failed sent again, and nothing new."""
        keeper = self._wiring.keeper
        assert keeper is not None
        keeper.again()
        self._flush()
        return keeper.unquiet() or ("" if self._inbox.empty() else "calls from other threads wait")

    def _snapshot(self, recovery: Recovery) -> bool:
        """One is due: spouts rest until what is on its way is done. Whether it was made."""
        if not (why := self._unquiet()):
            recovery.take()
        self._rests = bool(why) and not recovery.vain(why)
        return not why

    def _last_snapshot(self) -> None:
        """Of what has come so far, so that the next run goes on from here."""
        if self.recovery is None:
            self._wiring.finish_sinks()
            self._flush()
            return
        keeper, why = self.recovery.keeper, ""
        for _ in range(LAST_NAPS):
            if self._calls:
                self._calls.clear()
                self._attend()
            if why := self._unquiet():
                self._attention.wait(SHORT_NAP)
                self._attention.clear()
                continue
            self.recovery.take()
            if keeper is None or not keeper.gathers:  # what one sink refuses may go to another
                return
        self.log.add(f"no last snapshot was made: {why}.")

    def _nap(self) -> None:
        """Nothing to do: waits a little, and writes down why."""
        self._naps += 1
        began = self.clock()
        self._attention.wait(self._nap_for())
        self._attention.clear()  # what it was set for is looked at after that
        slept = self.clock() - began
        self._rested(slept, self._state == "paused", self._rests)

    def _nap_for(self) -> float:
        """Seconds: until the next tick where nobody needs to be asked before."""
        if self._state == "running":
            for task in self._spouts:
                spout = task.instance
                asked = spout.waiting or not (spout.wakes or spout.finished)
                if asked and not self._wiring.sources[task.id].full():
                    return next(nap for naps, nap in NAPS if self._naps <= naps)
        return TICK

    def _finished(self) -> bool:
        """No spout has anything to give, new or again; what is on its way then is held by windows and bolts."""
        if self._state != "running":
            return False
        return all(task.instance.finished and not task.instance.waiting for task in self._spouts)

    def _flush(self) -> None:
        if self._wiring.tracking.dirty:
            self._wiring.tracking.flush()
        self._tell_all()

    def _scrape(self) -> Scrape:
        scrape = scraped(self._tasks, self.clock(), self._began, self._dead, self._inbox.qsize())
        scrape.windows = {
            (one.task.component, task): {
                "late": one.late,
                "watermark": one.watermark,
                "behind": one.behind,
                "rows": one.manager.rows,
            }
            for task, one in self._wiring.windows.items()
        }
        self._last = scrape
        return scrape

    def _bury(self, task: Task, row: tuple[Any, ...], tries: int, message_id: Any) -> None:
        component, error = self._why
        self._letters.add(DeadLetter(row, component, error, tries))
        self._dead[task.component] += 1
        self._wiring.bury(task, (row, component, error, tries))

    def _lose(self, task: Task, rows: Iterable[tuple[Any, ...]], why: str) -> None:
        """Rows that nobody sends again."""
        for row in rows:
            self._letters.add(DeadLetter(row, task.component, why, 1))
            self._dead[task.component] = self._dead.get(task.component, 0) + 1
            self._wiring.bury(task, (row, task.component, why, 1))

    # --- the end

    def _close(self, state: str, text: str) -> None:
        if self.recovery is not None:
            self.recovery.close()
        for task in self._tasks:
            try:
                task.instance.close() if task.node.kind == "spout" else task.instance.cleanup()
            except Exception as error:  # noqa: BLE001  # the others are to be closed all the same; it is shown
                task.raised(error)
        self._scrape()
        self._finish(state, text)
        while self._scrapes:
            answered, found = self._scrapes.popleft()
            found.append(self._last or self._scrape())
            answered.set()

    def _finish(self, state: str, text: str) -> None:
        if self._state in ("done", "stopped", "failed"):
            return
        self._state = state
        watch(self._register).remove(self._run)
        counts = [out for task in self._spouts for out in task.outs.values()]
        self._run.progress(sum(out.acked + out.untracked for out in counts), 0)
        self._run.finish(state, text)
