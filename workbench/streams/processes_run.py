"""The run's own process of the runner `processes`: it starts the workers and starts them anew, passes on what they send
each other, puts their counts together, and is what the register and the viewers know of the run. No component's code
runs in it, so nothing that a bolt or a notebook does holds it up.

Started by `processes.py`, which says on its stdin all that it needs, and asks; it ends when that pipe does.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from workbench.execution.stop import Watch
from workbench.runs import Register
from workbench.runs.publisher import Publisher
from workbench.streams.given_up import DeadLetters
from workbench.streams.guarantees import Guarantees
from workbench.streams.metrics import History, Scrape
from workbench.streams.processes_counts import Counts
from workbench.streams.processes_frames import Frames, heard, read_all, written
from workbench.streams.processes_kept import KeptCrew
from workbench.streams.processes_slot import Slot, ending
from workbench.streams.processes_wire import json_bytes, plain_scrape, read_scrape
from workbench.streams.report import Metrics
from workbench.streams.running import Running, Snapshot
from workbench.streams.task import Fault
from workbench.streams.telling import Telling

__all__ = ["Run", "main"]

TICK, CARE = 0.05, 0.01
"""Seconds: counts are put together, and it is looked whether workers live."""
ANSWER = 1.0
"""Seconds that a scrape waits for a worker whose component does not return."""
CRASHES, WITHIN = 5, 60.0
"""A worker that has ended by itself so often within so many seconds, and not because of a row that can be given up."""
KEPT = 1_000
OVER = ("done", "stopped", "failed")


def main() -> None:
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    start = json.loads(read_all(source))
    folder = start["folder"]
    try:
        run = Run(start, Path(folder), source, sink)
        run.serve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


class Run(KeptCrew):
    """The loop, in the main thread. `state`, `ask`, `metrics`, `faults` and `letters` are for any thread: it is the
    engine of a handle of its own, by which viewers see it."""

    def __init__(self, start: Mapping[str, Any], folder: Path, source: int, sink: int) -> None:
        super().__init__(start, folder, time.perf_counter)
        self._source, self._sink = source, sink
        self._parent = os.getppid()
        os.set_blocking(source, False)
        self._frames = Frames()
        self.topology: Any = self._outline
        self.error: BaseException | None = None
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._over.wait, name="workbench-run", daemon=True)
        """Lasts as long as the run does, for whoever waits for its end."""
        self.thread.start()
        self.id, self._state, self._text = "", "starting", ""
        self._began = self.clock()
        self._asked = deque[tuple[str, float]]()
        self._wake_read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._counts, self._history = Counts(), History()
        self._faults, self._letters = deque[list[Any]](maxlen=KEPT), deque[dict[str, Any]](maxlen=KEPT)
        self._lettered = self._faulted = 0
        self._latest = self._counts.scrape(self.clock(), self._began, 0)
        self._scrapes: list[tuple[int, int, float, set[int]]] = []
        self._scrape_number = 0
        self._finishing: list[str] | None = None
        self._looked_at, self._ticked, self._cared = 0.0, self.clock(), 0.0
        self._news = False
        """Whether a worker has said how it stands since it was last looked whether all are at rest."""
        self._answers_due: SimpleQueue[bytes | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="workbench-answers", daemon=True)
        self._writer.start()
        self._register = Register(Path(start["register"]))
        self._run: Any = None
        self._telling: Telling | None = None
        self._deadline = float("inf")

    # --- for any thread

    @property
    def state(self) -> str:
        return "running" if self._state in ("starting", "stopping") else self._state

    def ask(self, what: str, patience: float = 2.0) -> None:
        self._asked.append((what, patience))
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"x")

    def metrics(self) -> Metrics:
        now = self._latest
        before = {name: self._history.before(name, now.at) for name in ("10m", "3h", "1d")}
        return Metrics(self.topology.name, self._start["kinds"], now, before)

    def faults(self) -> list[Fault]:
        return [Fault(*fault) for fault in list(self._faults)]

    def letters(self) -> DeadLetters:
        return DeadLetters()  # rows are for who started the run

    def guarantees(self) -> Guarantees:
        return Guarantees.of_document(self._promises())

    @property
    def snapshot(self) -> Snapshot | None:
        return None if self._saving is None else Snapshot(*self._saving.told())

    def where(self) -> str:
        found = [f"worker {slot.number}: {slot.where}" for slot in self._slots if slot.where]
        return "; ".join(found) or "between two tuples"

    def abandon(self, why: str) -> None:
        self.ask("stop", 0.0)

    # --- the loop

    def serve(self) -> None:
        self._selector.register(int(self._router.fd), selectors.EVENT_READ, "router")
        self._selector.register(self._source, selectors.EVENT_READ, "asked")
        self._selector.register(self._wake_read, selectors.EVENT_READ, "wake")
        self._begin()
        while self._state not in OVER:
            busy = self._routed()
            for key, _ in self._selector.select(0 if busy else TICK):
                if key.data == "asked":
                    self._asked_for()
                elif key.data == "wake":
                    os.read(self._wake_read, 4096)
                elif key.data != "router":
                    self._printed(*key.data)
            self._obey()
            self._tick()
        self._end()

    def _status(self, slot: Slot, status: dict[str, Any]) -> None:
        slot.status, slot.where, self._news = status, "", True
        if status["received"] or status["waiting"]:
            slot.deaths = 0  # it gets somewhere
        if "scrape" in status:
            self._counts.put(slot.number, read_scrape(status["scrape"]))
            slot.positions.update(status["positions"])
            for line in status["log"]:
                self.log.add(line)
            self.log.dropped += status["dropped"]
            self._faults.extend(status["faults"])
            self._faulted += len(status["faults"])
            self._letters.extend(status["letters"])
            self._lettered += status["lettered"]
        for number, _, _, left in self._scrapes:
            if status["asked"] is not None and status["asked"] >= number:
                left.discard(slot.number)

    # --- workers

    def _ready(self, slot: Slot) -> None:
        slot.ready = True
        if self._state == "starting":
            if all(one.ready for one in self._slots):
                self._started()
            return
        self._go(slot)

    def _go(self, slot: Slot) -> None:
        slot.going, slot.heard = True, self.clock()
        state = "paused" if self._state == "paused" else "running"
        self._word([slot], {"state": "running", "full": self._full, "look": self._looked})
        if state == "paused":
            self._word([slot], {"state": state})
        self._forward(slot)

    def _started(self) -> None:
        self._run = self._register.begin("topology", f"topology {self.topology.name}")
        self.id, self._state = self._run.id, "running"
        self._watch = Watch(self._register)
        self._watch.add(self._run, lambda: self.ask("stop"))
        self._handle = Running(self)
        published = Publisher.of(self._register, self._start["token"])
        self._telling = Telling(published, self._handle, self._taps, again=self._start["again"])
        self._telling.introduce(self._register)
        self._telling.start()
        self._tell(0, {"started": self.id})
        for slot in self._slots:
            self._go(slot)

    def _dead(self, slot: Slot) -> None:
        """A worker has ended: what it had some of fails at its spouts at once, and it is started anew."""
        assert slot.process is not None
        while self._routed():
            pass
        code, text = slot.process.returncode, ending(slot)
        slot.over()
        self._by_token.pop(slot.token, None)
        self._by_incarnation.pop(slot.incarnation, None)
        self._answers, self._finishing = {}, None
        if self._state == "starting":
            self._fail(slot.failed or {"type": "TopologyError", "text": f"Worker {slot.number} {text}.", "pickle": ""})
            return
        if slot.failed is not None and slot.ran:
            self._fail(slot.failed)
            return
        if slot.failed is not None:
            text = f"could not begin: {slot.failed['type']}: {slot.failed['text']}"
        alone = self._saving is None
        struck = self._strike(slot, text) if alone and (code != -signal.SIGKILL or slot.killed) else False
        slot.mark.unlink(missing_ok=True)
        self._counts.died(slot.number, not alone)
        for other in self._slots if alone else ():
            if other is not slot and other.ready:
                self._work(other, b"L", b"%d" % slot.number)
        now = self.clock()
        fault = f"{text}; {'it is' if alone else 'all are'} started anew"
        self._faults.append([f"worker {slot.number}", 0, time.time(), fault, ""])
        self._faulted += 1
        self.log.add(f"worker {slot.number} {fault}")
        if code != -signal.SIGKILL or slot.killed:
            slot.crashes = [at for at in slot.crashes if now - at < WITHIN or self._in_vain(at)]
            slot.crashes += [] if struck else [now]
        if len(slot.crashes) >= CRASHES:
            when = f"within {WITHIN:g} s" if alone else "before there was a snapshot"
            why = f"Worker {slot.number} ended {CRASHES} times {when}, at last: {text}."
            self._fail({"type": "TopologyError", "text": why, "pickle": ""})
            return
        slot.deaths += 1
        slot.due = now + min(10.0, 0.05 * 2 ** (slot.deaths - 1))
        if not alone:
            self._anew(slot)

    # --- what is asked

    def _asked_for(self) -> None:
        try:
            data = os.read(self._source, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._gone()
            return
        for body in self._frames.feed(data):
            self._answer(json.loads(body))

    def _gone(self) -> None:
        """Whoever started it has ended."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._source)
        self._text = "The process that started it has ended."
        self._stop(0.5)

    def _answer(self, asked: Mapping[str, Any]) -> None:
        number, what = asked["number"], asked["ask"]
        if what == "metrics":
            self._scrape_number += 1
            left = {slot.number for slot in self._slots if slot.ready}
            self._scrapes.append((self._scrape_number, number, self.clock() + ANSWER, left))
            self._broadcast({"scrape": self._scrape_number})
        elif what == "told":
            self._tell(number, self._told(asked["log"], asked["faults"], asked["letters"]))
        elif what == "kept":
            self._tell(number, self._kept_so_far())
        elif what == "where":
            self._tell(number, self.where())
        elif what == "workers":
            self._tell(number, [slot.process.pid if slot.process is not None else 0 for slot in self._slots])
        elif what == "publish":
            if self._telling is not None:
                self._telling.open()
            self._tell(number, None)
        else:
            self.ask(what, asked.get("patience", 2.0))
            self._tell(number, None)

    def _told(self, log: int, faults: int, letters: int) -> dict[str, Any]:
        lines, logged = self.log.since(log)
        new = {"faults": self._faulted - faults, "letters": self._lettered - letters}
        kept: dict[str, list[Any]] = {"faults": list(self._faults), "letters": list(self._letters)}
        return {
            "log": [lines, logged],
            "faults": [kept["faults"][max(0, len(kept["faults"]) - new["faults"]) :], self._faulted],
            "letters": [kept["letters"][max(0, len(kept["letters"]) - new["letters"]) :], self._lettered],
        }

    def _tell(self, number: int, body: Any) -> None:
        self._answers_due.put(json_bytes({"number": number, "state": self._state, "body": body}))

    def _write(self) -> None:
        """In a thread of its own, for whoever asked may not read for a while."""
        with contextlib.suppress(OSError):
            while (body := self._answers_due.get()) is not None:
                written(self._sink, body)

    def _obey(self) -> None:
        while self._asked:
            what, patience = self._asked.popleft()
            if what == "stop":
                self._stop(patience)
            elif what == "pause" and self._state == "running":
                self._state = "paused"
                self._broadcast({"state": "paused"})
            elif what == "resume" and self._state == "paused":
                self._state = "running"
                self._broadcast({"state": "running"})

    def _stop(self, patience: float) -> None:
        if self._state in OVER:
            return
        if self._state != "stopping":
            self._state, self._after, self._ending = "stopping", "stopped", True
            if self._saving is not None and not self._saving.finished:
                self._saving.finish()
        self._deadline = min(self._deadline, self.clock() + patience)

    def _fail(self, error: Mapping[str, Any]) -> None:
        self._failure = error
        self._text = f"{error['type']}: {error['text']}"
        self.error = type(str(error["type"]), (RuntimeError,), {})(error["text"])
        if self._state == "starting":
            self._state, self._ending = "failed", True
            return
        self._stop(2.0)
        self._after = "failed"

    _after = "stopped"
    _closed = False
    _failure: Mapping[str, Any] | None = None

    # --- by time

    def _tick(self) -> None:
        now = self.clock()
        if now - self._ticked > 1.0:  # nobody was heard while this process itself did not get on
            for slot in self._slots:
                slot.heard += now - self._ticked
        self._ticked = now
        if os.getppid() != self._parent and self._state != "stopping":
            self._gone()
        if not self._ending and now - self._cared >= CARE:
            self._cared = now
            self._looked_after()
        self._answer_scrapes(now)
        if self._state == "stopping":
            self._closing(now)
            return
        self._save()
        if now - self._looked_at >= TICK:
            self._looked_at = now
            self._merge()
            if self._run is not None:
                self._progress()
            self._look()
            self._news = True
        if self._news and self._state == "running":
            self._news = False
            self._settle()

    def _merge(self) -> Scrape:
        queued = sum(slot.queued for slot in self._slots)
        self._latest = latest = self._counts.scrape(self.clock(), self._began, queued)
        if self._history.due(latest.at):
            self._history.note(latest)
        return latest

    def _progress(self) -> None:
        spouts = {name for name, kind in self._start["kinds"].items() if kind == "spout"}
        cells = [cell for key, cell in self._latest.cells.items() if key[0] in spouts]
        self._run.progress(sum(cell.acked + cell.untracked for cell in cells), 0)

    def _answer_scrapes(self, now: float) -> None:
        for one in list(self._scrapes):
            _, number, until, left = one
            left &= {slot.number for slot in self._slots if slot.ready}
            if not left or now >= until or self._state in OVER:
                self._scrapes.remove(one)
                self._tell(number, self._measured(max((now - self._slots[name].heard for name in left), default=0.0)))

    def _measured(self, age: float) -> dict[str, Any]:
        now = self._merge()
        before = {name: self._history.before(name, now.at) for name in ("10m", "3h", "1d")}
        return {
            "now": plain_scrape(now),
            "before": {name: None if one is None else plain_scrape(one) for name, one in before.items()},
            "age": age,
        }

    def _settle(self) -> None:
        """Once all rest and no spout will give more: windows hand out what is left, in the order of the tuples; then,
        when nothing waits to be acked, it is done."""
        if not all(slot.rests for slot in self._slots) or (self._saving is not None and self._saving.phase):
            return
        if self._finishing is None:
            self._finishing = list(self._start["windows"])
        elif self._answers:  # of all, for they rest again
            some = any(self._answers.values())
            self._answers = {}
            if some:
                self._finishing = None
                if self._saving is not None:
                    self._saving.more()
                return
            self._finishing.pop(0)
        if self._finishing:
            for slot in self._slots:
                self._work(slot, b"W", json_bytes(self._finishing[0]))
            return
        self._finishing = None
        if not any(slot.status["waiting"] for slot in self._slots if slot.status is not None):
            if self._saving is not None and not self._saving.finished:
                self._saving.finish()
                return
            self._stop(10.0)
            self._after = "done"

    def _closing(self, now: float) -> None:
        """Until all workers have closed their components, or were given long enough."""
        late = now >= self._deadline
        if not self._closed:
            if self._last_snapshot(late):
                return
            self._closed = True
            self._broadcast({"state": "closed"})
            if self._saving is not None and late:  # the snapshot has taken all the time; they may close all the same
                self._deadline, late = now + 1.0, False
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is None and (late or not slot.ready):
                slot.process.kill()
                if late and slot.ready:
                    self.log.add(f"worker {slot.number} was ended, for it did not return: {slot.where or 'in C code'}")
                slot.process.wait()
        if all(slot.process is None or slot.process.poll() is not None for slot in self._slots):
            while self._routed():
                pass
            failed = next((slot.failed for slot in self._slots if slot.failed is not None), None)
            if failed is not None and self._after == "done":
                self._fail(failed)
            self._merge()
            self._state = self._after

    def _end(self) -> None:
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.kill()
                slot.process.wait()
        if self._run is not None:
            self._watch.remove(self._run)
            self._progress()
            self._run.finish(self._state, self._text)
        self._over.set()
        if self._saving is not None:
            self._saving.close()
        last = {
            "metrics": self._measured(0.0),
            "told": self._told(0, 0, 0),
            "failure": self._failure,
            "kept": self._kept_so_far(),
        }
        self._tell(0, {"over": last, "text": self._text})
        for part in self._telling.left(5.0) if self._telling is not None else ():
            self._tell(0, {"left": part})
        self._tell(0, {"all": True})
        self._answers_due.put(None)
        while self._writer.is_alive() and os.getppid() == self._parent:
            self._writer.join(0.2)
        if self._telling is not None:
            self._telling.leave(5.0, self._adopted())
        os.close(self._sink)
        self._router.close()

    def _adopted(self) -> bool:
        """Whether whoever started it shows what is left, once that is said. Meanwhile it is shown here."""
        said = map(json.loads, heard(self._source, self._frames, lambda: os.getppid() == self._parent))
        return next((bool(one["done"]) for one in said if one["ask"] == "adopted"), False)


if __name__ == "__main__":
    main()
