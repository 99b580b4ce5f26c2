"""One task of a component as it runs: its instance, its counters, its errors."""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.contract.errors import EmitRefused
from workbench.streams.component import FunctionBolt
from workbench.streams.counting import Link, Out
from workbench.streams.topology import Node
from workbench.streams.tuples import shown, told

__all__ = ["Fault", "Task", "where"]

KEPT_ERRORS = 50
_PACKAGE = str(Path(__file__).parent)
Deferred = list[tuple[Callable[[Any], None], Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in a component: where, when (seconds of the epoch), what, and the row that it happened with, as text
    of 500 characters at most."""

    component: str
    task: int
    at: float
    error: str
    row: str


class Task:
    """A task. `flushes` hand on the rows that were gathered for a batch bolt; `deferred` holds what it emits while
    one of its calls is timed, so that the time is its own."""

    def __init__(
        self,
        node: Node,
        task: int,
        index: int,
        sample_every: int,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.node, self.component, self.id, self.index = node, node.id, task, index
        self.sample_every, self.clock, self._wall = sample_every, clock, wall
        self.instance: Any = node.made()
        self.outs: dict[str, Out] = {}
        self.links: list[Link] = []
        self.flushes: list[Callable[[], None]] = []
        self.deferred: Deferred | None = None
        self.defers: list[Callable[[Deferred | None], None]] = []
        """Tell the task's quick emitters what `deferred` is."""
        self.next_tuples: Callable[[int, Sequence[Any]], None] | None = None
        """Of a spout: what gives many tuples at once, where there is that; see `IteratorSpout`."""
        self.thread = 0
        self.idle = {"max-spout": 0.0, "backpressure": 0.0, "inactive": 0.0}
        """Of a spout: seconds in which `next_tuple` was not called, by reason."""
        self.errors, self._told = 0, False
        self.faults: deque[Fault] = deque(maxlen=KEPT_ERRORS)

    def execute(self) -> Callable[[Any], None]:
        """What is called with a tuple. The instance has its collector by now."""
        instance = self.instance
        called: Callable[[Any], None] = instance.called() if type(instance) is FunctionBolt else instance.execute
        return called

    def timed(self, link: Link, execute: Callable[[Any], object], given: Any) -> None:
        """Calls, and adds the time to the link's; what is emitted meanwhile goes on afterwards."""
        if not self.outs:
            began = self.clock()
            returned = execute(given)
            link.execute.add(self.clock() - began)
            if returned is not None:
                self._got(returned)
            return
        deferred: Deferred = []
        raised = returned = None
        self._defer(deferred)
        began = self.clock()
        try:
            returned = execute(given)
        except Exception as error:  # noqa: BLE001  # raised again below
            raised = error
        finally:
            link.execute.add(self.clock() - began)
            self._defer(None)
        for hand_on, what in deferred:
            hand_on(what)
        if raised is not None:
            raise raised
        if returned is not None:
            self._got(returned)

    def _got(self, returned: object) -> None:
        """What a class's `execute` returns goes nowhere, which is told once."""
        if not self._told:
            self._told = True
            why = f"its `execute` has returned {shown(returned, 100)}, which goes nowhere."
            self.raised(EmitRefused(self.component, f"{why} Emit by self.collector.emit(…)."))

    def fold(self) -> None:
        """Sorts the times that were noted."""
        for link in self.links:
            link.execute.fold()
            link.process.fold()
        for out in self.outs.values():
            out.complete.fold()

    def _defer(self, deferred: Deferred | None) -> None:
        self.deferred = deferred
        for tell in self.defers:
            tell(deferred)

    def left_midway(self) -> None:
        """Of a spout: the run has ended within a call."""
        for out in self.outs.values():
            out.left_midway()

    def raised(self, error: BaseException, given: object = "") -> None:
        """Notes it."""
        self.errors += 1
        text = "" if given.__class__ is str and not given else shown(given, 500)
        fault = Fault(self.component, self.id, self._wall(), told(error), text)
        self.faults.append(fault)


def where(thread: int | None) -> str:
    """The line of a component's code that a thread is at."""
    frame = sys._current_frames().get(thread or 0)
    steps = traceback.extract_stack(frame) if frame is not None else []
    own = [
        step
        for step in steps
        if not step.filename.startswith((_PACKAGE, "<string>")) and not step.filename.endswith("threading.py")
    ]
    return f"{own[-1].filename}:{own[-1].lineno} in {own[-1].name}"[:2000] if own else "between two tuples"
