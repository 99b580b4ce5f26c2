"""A topology while it runs: its graph, what each component does, how quick it is, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UsageError
from workbench.streams.controlling import control
from workbench.streams.running import Running
from workbench.streams.watched import tell_viewers
from workbench.widgets.live import LiveView, newest, script

if TYPE_CHECKING:
    from workbench.runs.register import Engine
    from workbench.streams.watched import Watched

__all__ = ["TopologyView"]


class TopologyView(LiveView):
    """`workbench.view(running)`. `controls=False`: nothing can be paused or stopped from it."""

    _esm = script("topology")

    def __init__(self, running: Running | Watched, controls: bool = True) -> None:
        self._running = running = newest(running)
        if running.topic is None:
            raise UsageError("This topology is not told to anybody, so there is nothing to show.")
        engine = running.engine
        if engine is None and not isinstance(running, Running):
            tell_viewers(running.name)
        super().__init__(running.topic, running.id, engine, controls)

    def place(self) -> Engine | None:
        found: Engine | None = self._running.engine
        return found

    def control(self, what: str) -> None:
        if not isinstance(self._running, Running):
            raise UsageError("It runs in another process, and can be looked at alone from here.")
        control(self._running, what)  # the page reads of it in the topic

    def follow(self, following: Mapping[str, Any] | None) -> None:
        self._running = running = newest(self._running, following)
        if running.topic is not None:
            self.watched(running.topic, running.engine)
