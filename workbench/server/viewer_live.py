"""Live topics for those who look at dashboards: each only with a ticket, which the dashboard's own code has made."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from workbench.contract.errors import WorkbenchError
from workbench.runs import Register, tickets
from workbench.runs.register import Engine
from workbench.server.comet import Events, Poll
from workbench.server.hub import Hub, run_of
from workbench.server.live import LiveHandler
from workbench.server.looking import Looks
from workbench.server.pool import Busy, Pool

__all__ = ["ViewerEvents", "ViewerHub", "ViewerLive", "ViewerLooks", "ViewerPoll"]

AGAIN = 1.0
"""Seconds until it is looked again whether a viewer who looks is still let in."""


class ViewerHub:
    """What the viewer's server has for it."""

    def __init__(self, register: Register) -> None:
        self.register, self.pool = register, Pool()
        self.hub = Hub(register, self.pool.run)
        self._asking: dict[str, asyncio.Future[Engine | None]] = {}

    async def engine(self, run: str) -> Engine | None:
        """Where that run is told; however many ask at once, the register is asked once. Raises UnknownRun, Busy."""
        asking = self._asking.get(run)
        if asking is None:
            asking = self._asking[run] = asyncio.ensure_future(self.pool.run(lambda: self.register.engine(run)))
            asking.add_done_callback(lambda done: self._asked(run, done))
        return await asyncio.shield(asking)

    def _asked(self, run: str, done: asyncio.Future[Engine | None]) -> None:
        self._asking.pop(run, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; where all have gone, nobody is

    def prepare(self) -> None:
        """Nothing is loaded ahead."""


class ViewerLooks(Looks):
    """In the viewer's server: who has logged in, and sees what the tickets are for that a dashboard has given out."""

    @property
    def services(self) -> ViewerHub:
        found: ViewerHub = self.settings["workbench_viewer_hub"]
        return found

    @property
    def hub(self) -> Hub:
        return self.services.hub

    @property
    def viewer(self) -> str:
        return str(self.current_user.username)

    identity_provider: Any
    _asked_at = 0.0
    _still_in = True

    def still_in(self) -> bool:
        """A new secret puts out also those who are looking."""
        now = time.monotonic()
        if self._still_in and now - self._asked_at >= AGAIN:
            self._asked_at, self._still_in = now, self.identity_provider.get_user_cookie(self) is not None
        return self._still_in

    async def permitted(self, topic: str, ticket: str) -> bool:
        run = run_of(topic)
        if run is None or not ticket or not self.still_in():
            return False
        try:
            engine = await self.services.engine(run)
        except (WorkbenchError, Busy):
            return False
        return engine is not None and tickets.fits(ticket, engine, topic)


class ViewerLive(ViewerLooks, LiveHandler):
    auth_resource = "dashboards"


class ViewerEvents(ViewerLooks, Events):  # type: ignore[misc]  # its services are others
    auth_resource = "dashboards"


class ViewerPoll(ViewerLooks, Poll):  # type: ignore[misc]
    auth_resource = "dashboards"
