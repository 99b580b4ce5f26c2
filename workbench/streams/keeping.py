"""What the tasks of one process keep: gathered for a snapshot at a quiet moment, given back when a run begins, and put
back as it was when a tuple's tree fails. Runners call it; it has no thread, file or clock of its own.

A moment is quiet when everything that was emitted is done, or lies in windows and sinks. Then the positions of the
spouts, the states, the windows and what sinks are to write belong together: a run that begins with them goes on as if
nothing had been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import StateRefused
from workbench.streams.encoding import NotPlain, from_text, to_text
from workbench.streams.snapshots import Collected, Saved
from workbench.streams.state import State, StatefulBolt, Unit, Units, gives_again

if TYPE_CHECKING:
    from workbench.streams.sinking import SinkTask
    from workbench.streams.task import Task
    from workbench.streams.tracking import Hold, Source, Tracking
    from workbench.streams.tuples import Row
    from workbench.streams.windowing import WindowTask

__all__ = ["Keeper"]

MOST_REASONS = 20


class Keeper:
    """Of one process. `lost` takes rows that nobody will send again, the component and the reason."""

    def __init__(
        self,
        saved: Saved,
        where: str = "",
        lost: Callable[[Task, Iterable[Row], str], None] = lambda task, rows, why: None,
        note: Callable[[str, str], None] = lambda component, text: None,
    ) -> None:
        self.saved, self.epoch, self.where = saved, saved.epoch, where
        self.units = Units(self._roots)
        self.reasons: list[str] = []
        """Why results may have something twice or not in time after all, since this run began."""
        self._lost, self._note = lost, note
        self._tracking: Tracking | None = None
        self._topology = ""
        self._states: list[tuple[Task, State]] = []
        self._windows: list[tuple[Task, WindowTask]] = []
        self._sinks: list[tuple[Task, SinkTask]] = []
        self._spouts: list[tuple[Task, Source]] = []
        self.others = 0
        """How many items came from other processes: what is done with one is of one unit."""
        self.alone = True
        """Whether all tasks are here, so that what one has sent to another can be taken back."""
        self._undone: list[tuple[int, Any]] = []
        self._positions: list[tuple[Any, Any]] = []

    def _roots(self) -> int:
        assert self._tracking is not None
        return sum([source.calls for source in self._tracking.sources]) + self.others

    # --- when a run begins

    def adopt(
        self,
        topology: str,
        task: Task,
        tracking: Tracking,
        source: Source | None = None,
        window: WindowTask | None = None,
        sink: SinkTask | None = None,
    ) -> None:
        """A task, before its `open` or `prepare`: gives it what was kept of it. Raises StateRefused."""
        self._topology, self._tracking = topology, tracking
        tracking.undo = self._undo
        place = (task.component, task.index)
        try:
            if isinstance(task.instance, StatefulBolt):
                state = task.instance.state = State(self.saved.states.get(place, {}), self.units)
                self._states.append((task, state))
            if window is not None:
                window.keep(self)
                self._windows.append((task, window))
                if (body := self.saved.parts.get((*place, "window"))) is not None:
                    window.restore(json.loads(body))
            if sink is not None:
                sink.keep(self.units, self.saved.id)
                self._sinks.append((task, sink))
                if (body := self.saved.parts.get((*place, "sink"))) is not None:
                    sink.restore(body, self.epoch)
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(task, error) from None
        if source is not None:
            self._spouts.append((task, source))

    def opened(self, task: Task) -> None:
        """A spout's task, after its `open`. Raises PositionLost, StateRefused."""
        body = self.saved.parts.get((task.component, task.index, "spout"))
        if body is None or not gives_again(task.instance):
            return
        try:
            position = from_text(str(body))
        except ValueError as error:
            raise self._damaged(task, error) from None
        task.instance.seek(position)

    def begun(self) -> None:
        """All are open: sinks write what the snapshot has for them. Raises what a sink raises."""
        for _, sink in self._sinks:
            sink.recover(self.epoch)
        kept = {part[0] for part in self.saved.parts} | {place[0] for place in self.saved.states}
        if self.epoch:
            new = sorted({task.component for task, _ in self._states} - kept)
            for component in new:
                self._note(component, "nothing was kept of it before; it begins empty.")

    def _damaged(self, task: Task, error: Exception) -> StateRefused:
        return StateRefused(
            self._topology,
            self.where,
            f"what is kept of `{task.component}` is damaged ({type(error).__name__}: {error}). Leave it out "
            f'(forget=("{task.component}",)), or begin anew (recover=False).',
        )

    # --- snapshots

    @property
    def gathers(self) -> bool:
        """Whether rows have come to sinks since the last snapshot."""
        return any(sink.gathers for _, sink in self._sinks)

    @property
    def crowded(self) -> bool:
        """Whether a sink has so much to write that a snapshot is to be made soon."""
        return any(sink.crowded for _, sink in self._sinks)

    def again(self) -> None:
        """Has spouts send again what is due to be, and nothing new."""
        for task, source in self._spouts:
            while task.instance.waiting:
                before = source.calls
                task.instance.again()
                if source.calls == before:
                    break

    def unquiet(self) -> str:
        """Why it is no quiet moment; empty when it is one. Call it when verdicts are told and batches are handed on."""
        for task, source in self._spouts:
            if source.acks or source.fails:
                return f"verdicts of `{task.component}` are not told yet"
            if source.waiting > source.held:
                number = source.waiting - source.held
                return f"{number:,} tuples of `{task.component}` are on their way"
            if task.instance.midway:
                return f"`{task.component}` is within what it gives only as a whole"
            if task.instance.waiting:
                return f"tuples of `{task.component}` wait to be sent again"
        return ""

    def collect(self) -> Collected:
        """At a quiet moment. Raises StateRefused where something is no plain value."""
        found = Collected()
        self._positions = []
        for task, _ in self._spouts:
            with self._told(task):
                self._spout(task, found)
        for task, window in self._windows:
            with self._told(task):
                found.parts[task.component, task.index, "window"] = _text(window.kept())
        for task, sink in self._sinks:
            with self._told(task):
                if (rows := sink.kept()) is not None:
                    found.parts[task.component, task.index, "sink"] = rows
        for task, state in self._states:
            with self._told(task):
                found.changes[task.component, task.index] = state.changes()
        return found

    @contextmanager
    def _told(self, task: Task) -> Iterator[None]:
        try:
            yield
        except NotPlain as error:
            raise StateRefused(
                self._topology, self.where, f"component `{task.component}` {error} Keep plain values in it."
            ) from None

    def _spout(self, task: Task, found: Collected) -> None:
        if gives_again(task.instance):
            position = task.instance.position()
            self._positions.append((task.instance, position))
            found.parts[task.component, task.index, "spout"] = to_text(position)

    def keeps(self, epoch: int) -> None:
        """What was collected is in the file: states count their changes from now on."""
        self.epoch = epoch
        for _, state in self._states:
            state.saved()
        for _, sink in self._sinks:
            sink.sealed(epoch)

    def commit(self) -> None:
        """Sinks write what the snapshot has for them. Raises what a sink raises; call it again then, until it does not,
        before anything else goes on."""
        for _, sink in self._sinks:
            sink.commit()
        for spout, position in self._positions:
            spout.committed(position)
        self._positions = []

    # --- when something fails

    def _undo(self, source: Source, message_id: Any, hold: Hold | None, fused: bool) -> None:
        """A root's call is over and it has failed: takes back what it has done here."""
        unit = self.units.root
        whole = [state.undo(unit) for _, state in self._states]
        whole += [sink.undo(unit) for _, sink in self._sinks]
        whole += [window.undo(unit, hold) for _, window in self._windows]
        if all(whole) and fused:
            self._undone.append((source.place, message_id))

    def told(self, source: Source, message_id: Any, why: tuple[str, str]) -> None:
        """A spout is told that a tuple has failed."""
        if (source.place, message_id) in self._undone:
            self._undone.remove((source.place, message_id))
            return
        component, error = why
        where = f"`{component}` failed: {error}" if component else f"a tuple was not done in time ({error})"
        self.degrade(f"{where}, and what had been made of the tuple before stays beside what comes of it again")

    def degrade(self, reason: str) -> None:
        if reason not in self.reasons and len(self.reasons) < MOST_REASONS:
            self.reasons.append(reason[:500])

    def window_failed(self, unit: Unit, task: Task, rows: Iterable[Row]) -> None:
        """A window's bolt has failed: takes back what it did with that window. `rows` are those that no spout sends
        again, for they are of a snapshot."""
        for _, state in self._states:
            state.undo(unit)
        for _, sink in self._sinks:
            sink.undo(unit)
        if not self.alone:
            self.degrade(f"`{task.component}` failed with a window, and what it had sent to other processes stays")
        lost = list(rows)
        if lost:
            self._lost(task, lost, "its window failed, and it was of a snapshot, so that no spout sends it again")


def _text(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), allow_nan=False)
