"""What every way to live topics asks, whether WebSocket, events, polling or Socket.IO: where the hub is, who looks, and
whether they may see a topic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tornado import web

from workbench.server.hub import Hub, is_about_runs

__all__ = ["NOT_FOR_YOU", "STUCK_SECONDS", "WAYS", "Door", "Looks", "Viewers"]

STUCK_SECONDS = 30.0
"""So long a viewer has to take what it is sent; then it is dropped, for it reads no more."""
WAYS = ("websocket", "events", "poll", "socketio")
MOST_EACH, MOST = 64, 1_000
"""Connections at once of one viewer, and of all of them."""
AT_ONCE, EACH_SECOND = 200, 50
"""So many topics may a viewer ask for at once, and then in a second; who asks for more waits."""
NOT_FOR_YOU = "It is not for you, or it is over."


class Door:
    """What lets one viewer see topics. This one asks Jupyter's authorizer, who may say more of each topic than that
    topics may be looked at: what runs, with its title and how far it is, is for those who may read `workbench:runs`,
    as it is at `GET runs`; what is shown of topologies for those who may read `workbench:live`."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    async def why_not(self, topic: str) -> str:
        """Why this viewer may not see the topic; nothing where they may. The hub knows no topics but those of the
        register's runs, which are all of one owner."""
        handler = self._handler
        resource = "workbench:runs" if is_about_runs(topic) else "workbench:live"
        allowed = handler.authorizer.is_authorized(handler, handler.current_user, "read", resource)
        if asyncio.iscoroutine(allowed):
            allowed = await allowed
        return "" if allowed else NOT_FOR_YOU

    def why_not_any_more(self, topic: str) -> str:
        """The same of one that was let in; asked before each of its frames."""
        return ""

    def listen(self, wake: Callable[[], object]) -> Callable[[], object]:
        """`wake` is called when `why_not_any_more` may say something else; what is returned ends that."""
        return lambda: None


class Viewers:
    """Who looks now: connections by viewer and by way. For one event loop."""

    def __init__(self) -> None:
        self._each: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        """Connections by way, those of `WAYS`."""
        self.dropped: Counter[str] = Counter()
        """Connections, by way, that were ended because nobody read what they were sent."""
        self._paid: dict[str, float] = {}

    def check(self, viewer: str) -> None:
        """Raises HTTPError where there is no place for one more; a viewer without a name is not counted alone."""
        if viewer and self._each[viewer] >= MOST_EACH:
            raise web.HTTPError(429, f"You look at {MOST_EACH} things at once by now: close some")
        if self.ways.total() >= MOST:
            raise web.HTTPError(503, f"{MOST:,} connections look by now: try again in a minute")

    async def pace(self, viewer: str) -> None:
        """Before a topic is looked for: returns at once, or when it is this viewer's turn again."""
        if not viewer:
            return
        now = asyncio.get_running_loop().time()
        paid = self._paid[viewer] = max(self._paid.get(viewer, now), now) + 1 / EACH_SECOND
        if len(self._paid) > 2 * MOST:
            self._paid = {one: until for one, until in self._paid.items() if until > now}
        if (ahead := paid - now - AT_ONCE / EACH_SECOND) > 0:
            await asyncio.sleep(ahead)

    def enter(self, viewer: str, way: str) -> None:
        self._each[viewer] += 1
        self.ways[way] += 1

    def leave(self, viewer: str, way: str) -> None:
        self._each[viewer] -= 1
        self.ways[way] -= 1
        if not self._each[viewer]:
            del self._each[viewer]

    @contextmanager
    def place(self, viewer: str, way: str) -> Iterator[None]:
        """For a `with` around a request that looks. Raises what `check` raises."""
        self.check(viewer)
        self.enter(viewer, way)
        try:
            yield
        finally:
            self.leave(viewer, way)


class Looks:
    """In the Jupyter server: its owner looks, and may see each topic of the runs in their own register."""

    settings: Any
    current_user: Any

    @property
    def hub(self) -> Hub:
        found: Hub = self.settings["workbench_services"].hub
        return found

    @property
    def viewers(self) -> Viewers:
        found: Viewers = self.settings.setdefault("workbench_viewers", Viewers())
        return found

    @property
    def viewer(self) -> str:
        """Who looks. Of Jupyter's server nobody by name: each request with a token is a user of its own there."""
        return ""

    way = ""
    """Of the four, which this is."""
    ws_connection: Any = None
    _dropped = False

    def drop(self) -> None:
        """Of a WebSocket: it is not read. At once, for a farewell would lie behind all that is not read."""
        if not self._dropped and self.ws_connection is not None:
            self._dropped = True
            self.viewers.dropped[self.way] += 1
            self.ws_connection.stream.close()

    def door(self, tickets: Mapping[str, str]) -> Door:
        """By which this viewer comes to topics, with a ticket for each where they have some."""
        return Door(self)
