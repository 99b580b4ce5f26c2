"""A topology while it runs: its graph, what each component does, how quick it is, and what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.contract.errors import UsageError
from workbench.streams.running import Running
from workbench.widgets.live import LiveView, script

if TYPE_CHECKING:
    from workbench.streams.watched import Watched

__all__ = ["TopologyView"]


class TopologyView(LiveView):
    """`workbench.view(running)`. `controls=False`: nothing can be paused or stopped from it."""

    _esm = script("topology")

    def __init__(self, running: Running | Watched, controls: bool = True) -> None:
        self._running = running
        if running.topic is None:
            raise UsageError("This topology is not told to anybody, so there is nothing to show.")
        super().__init__(running.topic, running.id, running.engine, controls)

    def control(self, what: str) -> None:
        if isinstance(self._running, Running) and what in ("stop", "pause", "resume"):
            getattr(self._running, what)()
