"""The handle of a topology that runs: stop, pause, metrics, errors, log, from any thread."""

from __future__ import annotations

import ctypes
import html
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench.contract.errors import UsageError
from workbench.streams.given_up import DeadLetters, Faults
from workbench.streams.printing import Log
from workbench.streams.report import Metrics
from workbench.streams.task import Fault
from workbench.streams.tuples import told

if TYPE_CHECKING:
    from workbench.runs.register import Engine as PublishedAt
    from workbench.runs.topics import Topic
    from workbench.streams.guarantees import Guarantees
    from workbench.streams.topology import Topology
    from workbench.streams.views import StreamView

__all__ = ["Interrupted", "Running", "Snapshot"]

PATIENCE = 2.0
"""Seconds that a component has to return when the topology is stopped, before it is interrupted."""


class Interrupted(BaseException):
    """Raised in a component that does not return although the topology is stopped."""


@dataclass(frozen=True)
class Snapshot:
    """The last one of a run with state: its `number` (0: none yet), when it was made (seconds of the epoch), the file,
    and why there was none when there should have been one."""

    number: int
    at: float
    file: str
    why_not: str = ""


class Engine(Protocol):
    """What runs a topology, as far as its handle needs it."""

    topology: Topology
    id: str
    thread: threading.Thread
    error: BaseException | None

    @property
    def state(self) -> str: ...
    @property
    def log(self) -> Log: ...
    def ask(self, what: str) -> None: ...
    def metrics(self) -> Metrics: ...
    def faults(self) -> list[Fault]: ...
    def letters(self) -> DeadLetters: ...
    def guarantees(self) -> Guarantees: ...
    @property
    def snapshot(self) -> Snapshot | None: ...
    def where(self) -> str: ...
    def abandon(self, why: str) -> None: ...


class Running:
    """A topology that runs. `state` is `running`, `paused`, `done` (its spouts are finished and all is acked),
    `stopped` or `failed`. `wb.running()` lists it by `id`, and any process of the user can stop it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.topic: Topic | str | None = None
        """What viewers see of it, set by the runner; its name, where another process has it."""
        self.publish: Callable[[], PublishedAt | None] | None = None
        """Lets others watch it from now on, and says where; set by the runner."""
        self.show: Callable[[Sequence[StreamView]], Topic | str] | None = None
        """Makes the topic of a dashboard; set by the runner."""
        self.again: Callable[[Topology], Running] | None = None
        """Runs a topology as this one runs; set by the runner."""
        self._replaying = threading.Lock()
        self.following: Running | None = None
        """The run that `replay` started."""
        self.replaced: Callable[[Running], None] | None = None
        """Tells viewers to go on there; set by the runner."""

    @property
    def id(self) -> str:
        return self._engine.id

    @property
    def topology(self) -> Topology:
        return self._engine.topology

    @property
    def state(self) -> str:
        return self._engine.state

    @property
    def engine(self) -> PublishedAt | None:
        """Where viewers find it, from now on."""
        return None if self.publish is None else self.publish()

    def shown(self, views: Sequence[StreamView]) -> Topic | str:
        """The topic of a dashboard of its streams, or its name where another process has it: see
        `workbench.streams.showing`. Raises UsageError."""
        if self.show is None:
            raise UsageError("This run is not told to anybody, so there is nothing to show.")
        return self.show(views)

    @property
    def failure(self) -> str:
        """What made it fail, in words; empty where nothing did."""
        error = self._engine.error
        return "" if error is None else told(error)

    def ended(self, seconds: float) -> bool:
        """Whether it has ended, now or within so many seconds."""
        self._engine.thread.join(seconds)
        return self.state in ("done", "stopped", "failed")

    def stop(self, patience: float = PATIENCE) -> Running:
        """Ends it between two tuples. A component that does not return within `patience` seconds is interrupted; one
        that does not heed that (it waits in C code) is left behind, and what it does counts no more."""
        engine = self._engine
        engine.ask("stop")
        if threading.current_thread() is engine.thread:
            return self  # a component stops its own topology
        engine.thread.join(patience)
        if engine.thread.is_alive():
            where = engine.where()
            _interrupt(engine.thread)
            engine.thread.join(patience)
            if engine.thread.is_alive():
                engine.abandon(f"It did not return when it was stopped: {where}")
        return self

    def pause(self) -> Running:
        """Spouts are not called until `resume`; what is on its way goes on."""
        self._engine.ask("pause")
        return self

    def resume(self) -> Running:
        self._engine.ask("resume")
        return self

    def replay(self, speed: float | None = None) -> Running:
        """Starts it again from the beginning of what its spouts play (`ParquetReplay`), at another `speed` where one is
        said; what still runs is stopped, and what it kept as state begins anew. Views go on with the new run, which is
        returned, and is `following` here. Raises UsageError where its spouts cannot be played again."""
        if threading.current_thread() is self._engine.thread:
            raise UsageError("A component cannot start its own topology again.")
        with self._replaying:  # two who press Replay at once start it twice, one after the other
            if self.following is None:
                topology = self.topology.played_again(speed)
                if self.again is None:
                    raise UsageError("This run cannot be started again from here.")
                if not self.ended(0):
                    self.stop()
                self.following = self.again(topology)
                if self.replaced is not None:
                    self.replaced(self.following)
                return self.following
        return self.following.replay(speed)

    def wait(self, seconds: float | None = None) -> Running:
        """Until it has ended, or so long. Raises what made it fail."""
        if threading.current_thread() is self._engine.thread:
            raise UsageError("A component cannot wait for the end of its own topology.")
        self._engine.thread.join(seconds)
        if self._engine.error is not None and self.state == "failed":
            raise self._engine.error
        return self

    def metrics(self) -> Metrics:
        """Everything counted, at one moment between two tuples. When a component does not return, that of before."""
        return self._engine.metrics()

    @property
    def errors(self) -> Faults:
        """The last errors of the components, the newest last; each fails its tuple's tree, none ends the run."""
        return Faults(self._engine.faults())

    @property
    def log(self) -> Log:
        """What components printed and logged."""
        return self._engine.log

    @property
    def dead_letters(self) -> DeadLetters:
        """The last rows that were given up: 1,000, of 32 MiB at most; `dropped` is how many there were before."""
        return self._engine.letters()

    def guarantees(self) -> Guarantees:
        """What each sink may claim, "effectively once" or "at least once", and why not more; what has happened since
        the run began counts, too."""
        return self._engine.guarantees()

    @property
    def snapshot(self) -> Snapshot | None:
        """The last snapshot, in a run with state."""
        return self._engine.snapshot

    def where(self) -> str:
        """Where it is just now, in the components' code: for one that does not return."""
        return self._engine.where()

    def __repr__(self) -> str:
        return f"topology {self.topology.name} ({self.state}, run {self.id})\n{self.metrics()!r}"

    def _repr_html_(self) -> str:
        head = f"topology {html.escape(self.topology.name)} ({self.state}, run {html.escape(self.id)})"
        return f"<p>{head}</p>{self.metrics()._repr_html_()}"


def _interrupt(thread: threading.Thread) -> None:
    raised: Callable[..., int] = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raised(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))
