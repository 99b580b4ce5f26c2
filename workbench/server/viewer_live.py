"""Live topics for those who look at dashboards: each only with a ticket, which the dashboard's own code has made."""

from __future__ import annotations

from workbench.contract.errors import WorkbenchError
from workbench.runs import Register, tickets
from workbench.server.hub import Hub, run_of
from workbench.server.live import LiveHandler
from workbench.server.pool import Busy, Pool

__all__ = ["ViewerHub", "ViewerLive"]


class ViewerHub:
    """What the viewer's server has for it."""

    def __init__(self, register: Register) -> None:
        self.register, self.pool = register, Pool()
        self.hub = Hub(register, self.pool.run)


class ViewerLive(LiveHandler):
    auth_resource = "dashboards"

    @property
    def _own(self) -> ViewerHub:
        found: ViewerHub = self.settings["workbench_viewer_hub"]
        return found

    @property
    def hub(self) -> Hub:
        return self._own.hub

    async def permitted(self, topic: str, ticket: str) -> bool:
        run, register = run_of(topic), self._own.register
        if run is None or not ticket:
            return False
        try:
            engine = await self._own.pool.run(lambda: register.engine(run))
        except (WorkbenchError, Busy):
            return False
        return engine is not None and tickets.fits(ticket, engine, topic)
