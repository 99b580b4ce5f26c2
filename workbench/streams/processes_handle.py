"""The handle of a topology that runs in processes of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import WorkbenchError
from workbench.streams.running import Running

if TYPE_CHECKING:
    from workbench.runs import Register
    from workbench.runs.topics import Topic
    from workbench.streams.processes import Elsewhere
    from workbench.streams.views import StreamView

__all__ = ["RunningProcesses"]

JUST_ENDED = 5.0
"""Seconds that what is left of a run has to come, where it ends while it is asked."""


class RunningProcesses(Running):
    """The handle of a topology that runs in processes of its own; see Running."""

    def __init__(self, engine: Elsewhere, register: Register) -> None:
        super().__init__(engine)
        self._elsewhere = engine
        self.topic = f"runs/{engine.id}/topology"
        self.publish = self._published(register)
        self.show = self._show
        self.replaced = self._replaced
        weakref.finalize(self, engine.forsaken)

    def _published(self, register: Register) -> Callable[[], Any]:
        def publish() -> Any:
            self._elsewhere.publish()
            return register.engine(self.id)

        return publish

    def _show(self, views: Sequence[StreamView]) -> Topic | str:
        from workbench.streams.far import Far
        from workbench.streams.showing import folds_of
        from workbench.streams.tapping import Taps
        from workbench.streams.views import definitions
        from workbench.streams.watched import shown

        outline = self._elsewhere.outline
        views = definitions(views)
        folds_of(outline, Taps.of_outline(outline, Far), views)  # raises what it raises where it runs
        if (last := self._elsewhere.last) is None:
            try:
                return shown(self.engine, self.id, outline.name, views)
            except WorkbenchError:  # it may have ended just now
                if not self.ended(JUST_ENDED) or (last := self._elsewhere.last) is None:
                    raise
        return last.views.show(views)

    def _replaced(self, following: Running) -> None:
        self.ended(JUST_ENDED)
        last = self._elsewhere.last
        if last is not None:
            last.replaced(following)

    def stop(self, patience: float = 2.0) -> Running:
        """Ends it, and all of its processes: a worker that does not return within `patience` seconds is killed."""
        self._elsewhere.halt(patience)
        return self
