"""The part of a runner's loop that is the same in one process and in a worker: spouts are called, some tuples each in
turn, and told what has become of theirs; what other threads have asked for is done; and what is due by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from workbench.streams.tracking import LOST, Source, Why

if TYPE_CHECKING:
    from workbench.streams.task import Task
    from workbench.streams.wiring import Wiring

__all__ = ["QUEUED", "TICK", "Calling"]

BURST = 100
"""Calls of one spout's task before the next one's turn."""
QUEUED = 10_000
"""Calls from other threads that may wait; whoever has one more, waits itself. They go before what spouts give, and the
time that half of them and more take is counted as back-pressure."""
TICK = 0.2
"""Seconds."""


class Calling:
    """All of it is of the runner's thread. `_why` is why the tuple has failed that a spout is told of just now."""

    _wiring: Wiring
    _tasks: list[Task]
    _spouts: list[Task]
    _inbox: Queue[tuple[Callable[..., None], tuple[Any, ...]]]
    _calls: Sequence[Any] = ()
    """Not empty: spouts are to return."""
    _why: Why = ("", "")
    _ticked = _rotated = 0.0

    def _burst(self, task: Task, source: Source) -> bool:
        """Whether something was emitted, or a verdict told."""
        next_tuple, next_tuples, calls = task.instance.next_tuple, task.next_tuples, self._calls
        before = start = source.calls
        left = BURST
        try:
            while left > 0 and not calls and not source.full():
                if next_tuples is None:
                    next_tuple()
                else:
                    next_tuples(left, calls)
                if source.calls == before:
                    break
                left -= source.calls - before
                before = source.calls
        except Exception as error:
            task.raised(error)
            raise
        told = bool(source.acks or source.fails)
        if told:
            self._tell(task, source)
        return told or source.calls != start

    def _tell(self, task: Task, source: Source) -> None:
        spout = task.instance
        if source.acks:
            acks = source.acks[:]
            source.acks.clear()  # the collector holds on to this list
            spout.ack_each(acks)
        if source.fails:
            fails, source.fails = source.fails, []
            for message_id, why in fails:
                self._why = why
                if self._wiring.keeper is not None:
                    self._wiring.keeper.told(source, message_id, why)
                (spout.lost if why is LOST else spout.fail)(message_id)

    def _tell_all(self) -> bool:
        told = False
        for task in self._spouts:
            source = self._wiring.sources[task.id]
            if source.acks or source.fails:
                self._tell(task, source)
                told = True
        return told

    def _handed_in(self) -> bool:
        """Does what other threads have asked for; whether that was anything."""
        for number in range(QUEUED):
            try:
                call, given = self._inbox.get_nowait()
            except Empty:
                return bool(number)
            call(*given)
            if self._wiring.tracking.dirty:
                self._wiring.tracking.flush()
        return True

    def _due(self, now: float, timeout: float) -> bool:
        """Does what is due by time, if a tick has passed; whether one has."""
        if now - self._ticked < TICK:
            return False
        self._ticked = now
        if now - self._rotated >= timeout:
            self._rotated = now
            self._wiring.tracking.rotate()
        for task in self._tasks:
            task.fold()
        for windows in self._wiring.windows.values():
            windows.tick()
        for sink in self._wiring.sinks.values():
            sink.tick()
        return True

    def _rested(self, seconds: float, paused: bool, resting: bool, full: bool = False) -> None:
        """Writes down why spouts were not called: the run is paused, a snapshot is due (which is back-pressure), or as
        many of their tuples are on their way as may be; `full` is counted elsewhere."""
        for task in self._spouts:
            if paused:
                task.idle["inactive"] += seconds
            elif resting:
                task.idle["backpressure"] += seconds
            elif not full and self._wiring.sources[task.id].full():
                task.idle["max-spout"] += seconds
