"""The runner `processes`: a process for each worker, one that looks after them, and here only the handle.

So a notebook's kernel that is busy or stalled holds nothing up, a worker that is killed is started anew, and what it
was at is emitted again.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import DocumentError, InvalidParameter, TopologyError, WorkbenchError
from workbench.runs.publisher import Publisher
from workbench.streams import travelling
from workbench.streams.component import IteratorSpout, Spout
from workbench.streams.configuration import seconds
from workbench.streams.controlling import control
from workbench.streams.ended import retain
from workbench.streams.given_up import DeadLetters
from workbench.streams.outline import Outline
from workbench.streams.printing import Log
from workbench.streams.processes_frames import read_all, written
from workbench.streams.processes_handle import RunningProcesses
from workbench.streams.processes_told import Told
from workbench.streams.processes_wire import json_bytes, read_scrape
from workbench.streams.processes_wiring import placed
from workbench.streams.report import Metrics
from workbench.streams.running import Running, Snapshot
from workbench.streams.saving import imported, references
from workbench.streams.sinks import Sink
from workbench.streams.spool_folders import left_out
from workbench.streams.state import gives_again
from workbench.streams.task import Fault
from workbench.streams.threads import RunThread

if TYPE_CHECKING:
    from workbench.runs import Register
    from workbench.streams.ended import Last
    from workbench.streams.guarantees import Guarantees
    from workbench.streams.topology import Node, Topology

__all__ = ["MOST_WORKERS", "Elsewhere", "run"]

_log = logging.getLogger(__name__)
MOST_WORKERS = 60
ANSWER = 5.0
"""Seconds that the run's process, which runs nobody's code, has to answer."""
LEAST_MEMORY = 64 << 20
LEAST_HANG = 1.0
"""Workers that have nothing to do say each half second that they are there."""
LONGEST_FOLDER = 90


def run(
    topology: Topology,
    *,
    register: Register | None = None,
    workers: int = 2,
    memory: int | None = None,
    hang: float | str | None = None,
    state: bool | str | os.PathLike[str] | None = False,
    recover: bool = True,
    forget: Iterable[str] = (),
) -> Running:
    """Starts it. `workers` processes share the tasks; one that has more than `memory` bytes, or does not return for
    `hang` seconds, is ended and started anew (if nothing is said: three quarters of the machine's memory in all, and
    twice the `message_timeout`). Raises TopologyError for a component that cannot travel, and what a component's `open`
    or `prepare` raises."""
    from workbench.streams.registers import own_register

    if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= MOST_WORKERS:
        raise InvalidParameter("workers", f"is {workers!r}; it is a whole number from 1 to {MOST_WORKERS}.")
    most = _memory() * 3 // 4 // workers if memory is None else memory
    if not isinstance(most, int) or most < LEAST_MEMORY:
        raise InvalidParameter("memory", f"is {memory!r}; it is bytes of a worker, {LEAST_MEMORY:,} or more.")
    longest = max(LEAST_HANG, 2 * topology.config["message_timeout"]) if hang is None else seconds(hang, "hang")
    if longest < LEAST_HANG:
        raise InvalidParameter("hang", f"is {hang!r}; it is {LEAST_HANG:g} s or more.")
    kept = None if state is False or state is None else _kept(topology, state, recover, forget)
    start = _start(topology, workers, kept is not None)
    register = register or own_register()
    start |= {
        "state": kept,
        "anew": left_out(topology, recover, forget),
        "register": str(register.path),
        "memory": most,
        "hang": longest,
    }
    engine = Elsewhere(topology, start, register)
    try:
        engine.start()
    except BaseException:
        engine.let_go()
        raise
    running = RunningProcesses(engine, register)
    running.again = lambda other: run(
        other, register=register, workers=workers, memory=memory, hang=hang, state=state, recover=False
    )
    engine.hold(running)
    return running


def _kept(
    topology: Topology, state: bool | str | os.PathLike[str], recover: bool, forget: Iterable[str]
) -> dict[str, Any]:
    from workbench.streams.snapshots import file_of, forgotten, shape_of

    return {
        "path": str(file_of(topology, state)),
        "recover": recover,
        "forget": list(forgotten(forget)),
        "every": topology.config["snapshot_every"],
        "shape": shape_of(topology),
    }


def _start(topology: Topology, workers: int, state: bool) -> dict[str, Any]:
    """All that the processes need, as plain values."""
    try:
        document = topology.to_document()
    except DocumentError as error:
        raise TopologyError(topology.name, f"in other processes it {error.why}") from None
    _newest(topology, document)
    tasks = placed(topology, workers)
    numbers = itertools.count(1)
    components = {next(numbers): node.id for node in topology.nodes.values() for _ in range(node.parallelism)}
    return {
        "topology": document,
        "sources": travelling.sources_of(references(document)),
        "path": sys.path,
        "workers": workers,
        "tasks": tasks,
        "components": components,
        "kinds": {node.id: node.kind for node in topology.nodes.values()},
        "outline": Outline.of(topology).document(),
        "windows": [name for name in topology.order() if _gathers(topology.nodes[name])],
        "guarantees": _guarantees(topology, state).document(),
    }


def _guarantees(topology: Topology, state: bool) -> Guarantees:
    """What a sink may claim here. Without state a spout's worker may end and the others go on; with it all begin anew
    from the last snapshot."""
    from workbench.streams.guarantees import guarantees

    if state:
        spouts = [node for node in topology.nodes.values() if node.kind == "spout"]
        gone = [node.id for node in spouts if not gives_again(node.component)]
        lost = "begins anew when a worker is killed: of what happens only once, what came since a snapshot is lost"
        return guarantees(topology, True, since=[f"`{name}` {lost}" for name in gone])
    anew = [node.id for node in topology.nodes.values() if node.kind == "spout" and not _goes_on(node.component)]
    why = (
        f"`{name}` begins anew when its worker is killed: of what happens only once, what was not acked then is lost"
        for name in anew
    )
    return guarantees(topology, False, since=tuple(why))


def _goes_on(spout: Any) -> bool:
    own = type(spout).acked_position not in (Spout.acked_position, IteratorSpout.acked_position)
    return bool(own or gives_again(spout))


def _gathers(node: Node) -> bool:
    """Whether there is something left in it when all that comes has come."""
    return node.window is not None or isinstance(node.component, Sink)


def _newest(topology: Topology, document: Mapping[str, Any]) -> None:
    """A `%%bolts` cell that was run again has made other classes; the topology would run with the ones of before."""
    for name, one in document["components"].items():
        component = topology.nodes[name].component
        code = getattr(component, "function", None) or type(component)
        if one["code"].startswith(f"{travelling.PACKAGE}."):
            found = imported(topology.name, name, one["code"])
            if code not in (found, getattr(found, "function", None)):
                raise TopologyError(
                    topology.name,
                    f"component `{name}` is of an older version of its %%bolts cell. Build the topology again.",
                )


def _folder() -> str:
    """For the socket, with mode 0700: nobody else gets at it. The path of a socket has some 100 bytes at most."""
    folder = tempfile.mkdtemp(prefix="wb-streams-")
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="wb-streams-", dir="/tmp")
    return folder


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 16 << 30


class Elsewhere:
    """The run's process, as an engine of a handle. One thread reads what it says; who asks waits for the answer."""

    def __init__(self, topology: Topology, start: Mapping[str, Any], register: Register) -> None:
        self.topology, self._told, self._register = topology, Told(), register
        self.outline = Outline.of(topology)
        self._publisher = Publisher.of(register)
        """It shows what is left of the run, and is known by the same token, so tickets stay good."""
        self._left: list[dict[str, Any]] = []
        self._last_there = threading.Event()
        self._last_seen: Last | None = None
        self._loose: list[Last] = []
        self._forsaken = self._ended = False
        self._held: Running | None = None
        self.error: BaseException | None = None
        self.id, self._state, self._text = "", "running", ""
        self._folder = _folder()
        token, again = self._publisher.token, self._opened() if self.outline.replayable else ""
        self._starting = {**start, "folder": self._folder, "token": token, "again": again}
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._ready = threading.Event()
        self._last: Metrics | None = None
        self._promises: dict[str, Any] = start["guarantees"]
        self._snapshot: list[Any] | None = None
        self.thread: threading.Thread = RunThread(self._main, f"workbench-stream-{topology.name}")

    def start(self) -> None:
        # Not in our session: what interrupts the notebook is not for them. `-c`, not `-m`: the path may be ours alone.
        code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from workbench.streams import processes_run"
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{code}; processes_run.main()", json.dumps(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        written(self._to, json_bytes(self._starting))
        self.thread.start()
        self._ready.wait()
        if not self.id:
            self.thread.join()
            raise self.error or TopologyError(self.topology.name, "its process ended before it began.")

    # --- the handle's

    @property
    def state(self) -> str:
        return self._state

    @property
    def pid(self) -> int:
        """Of the process that looks after the workers."""
        return self._process.pid

    def ask(self, what: str, **more: Any) -> None:
        self._asked(what, **more)

    def halt(self, patience: float) -> None:
        """Ends it, and all of its processes."""
        self._asked("stop", patience=patience)
        self.thread.join(patience + ANSWER)
        if self._process.poll() is None:
            self._process.kill()  # its workers end with it
        self.thread.join(ANSWER)

    def abandon(self, why: str) -> None:
        self.halt(0.0)

    def metrics(self) -> Metrics:
        found = self._asked("metrics")
        if found is not None:
            self._last = self._measured(found)
        return self._last or Metrics(self.topology.name, self._kinds, read_scrape(_NOTHING))

    @property
    def log(self) -> Log:
        self._catch_up()
        return self._told.log

    def faults(self) -> list[Fault]:
        self._catch_up()
        return list(self._told.faults)

    def letters(self) -> DeadLetters:
        self._catch_up()
        return self._told.letters.all()

    def guarantees(self) -> Guarantees:
        from workbench.streams.guarantees import Guarantees

        self._hear_kept()
        return Guarantees.of_document(self._promises)

    @property
    def snapshot(self) -> Snapshot | None:
        self._hear_kept()
        return None if self._snapshot is None else Snapshot(*self._snapshot)

    def hold(self, running: Running) -> None:
        """As long as it runs, its handle stays, and others can ask for it to be started again; then as long as somebody
        has it."""
        if self.outline.replayable:
            handle = weakref.ref(running)
            self._publisher.control(self.id, lambda what: control(handle(), what))
        with self._lock:
            self._held = None if self._ended else running

    @property
    def last(self) -> Last | None:
        """What is left of it, once it is over."""
        if self._state in ("running", "paused"):
            return None
        self._last_there.wait(ANSWER)
        return self._last_seen

    def forsaken(self) -> None:
        """Nobody has the handle any more."""
        self._forsaken = True
        self._retain()

    def _retain(self) -> None:
        with contextlib.suppress(IndexError):  # once, whoever comes first
            retain(self._loose.pop())

    def let_go(self) -> None:
        """Of one that has not begun."""
        self._publisher.release()

    def _opened(self) -> str:
        """Where it is asked to be started again; nowhere, where no socket can be had."""
        try:
            self._publisher.open()
        except (OSError, WorkbenchError) as error:
            _log.warning("Topology %s cannot be started again from its view: %s", self.topology.name, error)
            return ""
        return self._publisher.address

    def _hear_kept(self) -> None:
        kept = self._asked("kept") if self._starting["state"] is not None else None
        if kept is not None:
            self._promises, self._snapshot = kept["promises"], kept["snapshot"]

    def where(self) -> str:
        return str(self._asked("where") or "between two tuples")

    def publish(self) -> None:
        """Lets others watch it from now on."""
        self._asked("publish")

    # --- asking

    @property
    def _kinds(self) -> dict[str, str]:
        return {node.id: node.kind for node in self.topology.nodes.values()}

    def _asked(self, what: str, **more: Any) -> Any:
        """The answer; None once it has ended."""
        if self._state not in ("running", "paused") or threading.current_thread() is self.thread:
            return None
        number, answered, found = next(self._numbers), threading.Event(), list[Any]()
        self._waiting[number] = answered, found
        try:
            with self._lock:
                written(self._to, json_bytes({"number": number, "ask": what, **more}))
            answered.wait(ANSWER)
        except OSError:
            return None
        finally:
            self._waiting.pop(number, None)
        return found[0] if found else None

    def _catch_up(self) -> None:
        with self._telling:
            told = self._asked("told", **self._told.seen)
            if told is not None:
                self._told.take(told)

    def _measured(self, body: Mapping[str, Any]) -> Metrics:
        before = {name: None if one is None else read_scrape(one) for name, one in body["before"].items()}
        return Metrics(self.topology.name, self._kinds, read_scrape(body["now"]), before, body["age"])

    # --- in its thread

    def _main(self) -> None:
        over = False
        try:
            while True:
                said = json.loads(read_all(self._from))
                over = self._hear(said["number"], said["state"], said["body"]) or over
        except (EOFError, OSError):  # it has ended
            pass
        except Exception as error:  # noqa: BLE001  # what it says cannot be read, so it is of no use
            self.error = error
            self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # where it was killed
        if not over:
            self._state = "failed"
            why = f"its process (pid {self._process.pid}) ended unasked, with {self._process.returncode}"
            self.error = self.error or TopologyError(self.topology.name, f"{why}, and its workers with it.")
        if self._last_seen is None:
            self._keep_last()
        with self._lock:
            self._ended, self._held, self._to = True, None, -1
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        self._let_all_go()
        self._last_there.set()
        self._ready.set()

    def _let_all_go(self) -> None:
        """Nobody is answered any more."""
        for answered, _ in list(self._waiting.values()):
            answered.set()

    def _keep_last(self) -> bool:
        """Whether others can see it here from now on."""
        from workbench.streams.processes_left import adopted

        if not self.id:
            return False
        why = "" if self.error is None else f"{type(self.error).__name__}: {self.error}"
        ended = self._state, why
        last, found = adopted(self._register, self._publisher, self.id, self.outline, self._left, ended)
        self._left, self._last_seen = [], last
        self._loose.append(last)
        self._last_there.set()
        if self._forsaken:
            self._retain()
        return found

    def _hear(self, number: int, state: str, body: Any) -> bool:
        if number == 0 and "started" in body:
            self.id = body["started"]
            self._ready.set()
        elif number == 0 and "left" in body:
            self._left.append(body["left"])
        elif number == 0 and "all" in body:
            done = self._keep_last()
            with self._lock:
                written(self._to, json_bytes({"number": 0, "ask": "adopted", "done": done}))
        elif number == 0:
            last = body["over"]
            self._last = self._measured(last["metrics"])
            self._promises, self._snapshot = last["kept"]["promises"], last["kept"]["snapshot"]
            self._let_all_go()  # who asks for what was said holds this lock
            with self._telling:
                self._told.take(last["told"])
            if last["failure"] is not None:
                self.error = _error(last["failure"])
            self._state = state
            self._let_all_go()
            return True
        elif number in self._waiting:
            answered, found = self._waiting[number]
            found.append(body)
            answered.set()
        if state in ("running", "paused"):
            self._state = state
        return False


def _error(body: Mapping[str, Any]) -> BaseException:
    """The error itself, where it could be pickled; else its type and text."""
    if body["pickle"]:
        with contextlib.suppress(Exception):
            found = pickle.loads(base64.b64decode(body["pickle"]))
            if isinstance(found, BaseException):
                return found
    return RuntimeError(f"{body['type']}: {body['text']}" if body["type"] != "TopologyError" else body["text"])


_NOTHING: dict[str, Any] = {
    "at": 0.0,
    "uptime": 0.0,
    "errors": {},
    "dead": {},
    "queued": 0,
    "cells": [],
    "idle": [],
    "windows": [],
    "sources": [],
}
