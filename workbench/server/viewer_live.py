"""Live topics for those who look at dashboards: each only with a ticket, which the dashboard's own code has made, and
as long as that dashboard is published and their log-in is good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from workbench.contract.errors import WorkbenchError
from workbench.runs import Register, tickets
from workbench.runs.register import Engine
from workbench.server.comet import Events, Poll
from workbench.server.hub import Hub, run_of
from workbench.server.live import LiveHandler
from workbench.server.looking import NOT_FOR_YOU, Door, Looks
from workbench.server.pool import Busy, Pool
from workbench.server.viewer_rounds import OUT, Rounds

__all__ = ["ViewerDoor", "ViewerEvents", "ViewerHub", "ViewerLive", "ViewerLooks", "ViewerPoll"]

LOOKED_FOR = 2
BUSY = "The server has too much to do just now. Load the page again in a moment."


class ViewerHub:
    """What the viewer's server has for it."""

    def __init__(self, register: Register, rounds: Rounds) -> None:
        self.register, self.rounds, self.pool = register, rounds, Pool()
        self.hub = Hub(register, self.pool.run)
        self._asking: dict[str, asyncio.Future[Engine | None]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def engine(self, run: str) -> Engine | None:
        """Where that run is told; however many ask at once, the register is asked once. Raises UnknownRun, Busy."""
        asking = self._asking.get(run)
        if asking is None:
            asking = self._asking[run] = asyncio.ensure_future(self.pool.run(lambda: self.register.engine(run)))
            asking.add_done_callback(lambda done: self._asked(run, done))
        return await asyncio.shield(asking)

    def turn(self, viewer: str) -> asyncio.Semaphore:
        """One viewer asks the register for so many runs at once, so that others find it free."""
        found = self._turns.get(viewer)
        if found is None:
            found = self._turns[viewer] = asyncio.Semaphore(LOOKED_FOR)
        return found

    def _asked(self, run: str, done: asyncio.Future[Engine | None]) -> None:
        self._asking.pop(run, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; where all have gone, nobody is

    def prepare(self) -> None:
        """Nothing is loaded ahead."""


class ViewerDoor(Door):
    def __init__(self, handler: ViewerLooks, given: Mapping[str, str]) -> None:
        super().__init__(handler)
        self._tickets, self._services = given, handler.services
        self._said: dict[str, tuple[int, str]] = {}

    async def why_not(self, topic: str) -> str:
        """A ticket is for one topic, and for what its engine has said that it went on as."""
        given = self._tickets.get(topic, "")
        if run_of(topic) is None or not tickets.page_of(given) or not self._handler.still_in():
            return NOT_FOR_YOU
        turn = self._services.turn(self._handler.viewer)
        for one in self._services.hub.line(topic):
            try:
                async with turn:
                    engine = await self._services.engine(run_of(one) or "")
            except WorkbenchError:
                continue
            except Busy:
                return BUSY
            if engine is not None and tickets.fits(given, engine, one):
                return self.why_not_any_more(topic)
        return NOT_FOR_YOU

    def why_not_any_more(self, topic: str) -> str:
        rounds = self._services.rounds
        number, why = self._said.get(topic, (-1, ""))
        if number != rounds.number:
            number, why = rounds.number, OUT
            if self._handler.still_in():
                why = rounds.why_not(tickets.page_of(self._tickets.get(topic, "")))
            self._said[topic] = number, why
        return why

    def listen(self, wake: Callable[[], object]) -> Callable[[], object]:
        return self._services.rounds.listen(wake)


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

    def door(self, tickets: Mapping[str, str]) -> Door:
        return ViewerDoor(self, tickets)

    identity_provider: Any
    _round, _in = -1, True

    def still_in(self) -> bool:
        """A new secret puts out also those who are looking. Read again when there is another one."""
        there = self.services.rounds.number
        if self._in and self._round != there:
            self._round = there
            try:
                self._in = self.identity_provider.get_user_cookie(self) is not None
            except (OSError, WorkbenchError):
                self._in = False
        return self._in


class ViewerLive(ViewerLooks, LiveHandler):
    auth_resource = "dashboards"


class ViewerEvents(ViewerLooks, Events):  # type: ignore[misc]  # its services are others
    auth_resource = "dashboards"


class ViewerPoll(ViewerLooks, Poll):  # type: ignore[misc]
    auth_resource = "dashboards"
