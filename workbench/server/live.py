"""The WebSocket of live views: a page subscribes to topics, and gets a snapshot of each and then its changes.

The page says `{"subscribe": topic}` or `{"unsubscribe": topic}`, the former with a `ticket` where it needs one; it
gets the topics' frames (`workbench.runs.topics`), and `{"topic", "error"}` where it asked for what there is not, or not
now.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from workbench.runs.topics import Frame
from workbench.server.bodies import BodyRefused, parsed
from workbench.server.handlers import own_origin
from workbench.server.looking import STUCK_SECONDS, Looks
from workbench.server.watching import MOST_TOPICS, Watch, refused

__all__ = ["HANDLERS", "LiveHandler"]

LONGEST = 4_096


class LiveHandler(Looks, WebSocketMixin, WebSocketHandler, JupyterHandler):
    auth_resource, way = "workbench:live", "websocket"
    _entered = False

    @property
    def max_message_size(self) -> int:
        return LONGEST

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        allowed = self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
        if asyncio.iscoroutine(allowed):
            allowed = await allowed
        if not allowed or not own_origin(self):
            raise web.HTTPError(403)
        self.viewers.check(self.viewer)
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self.viewers.enter(self.viewer, self.way)
        self._entered = True

    async def on_message(self, message: str | bytes) -> None:
        try:
            what, topic, ticket = _asked(message)
        except BodyRefused as why:
            self.close(1007, str(why)[:100])
            return
        if what == "unsubscribe":
            if (task := self._sending.pop(topic, None)) is not None:
                task.cancel()
            return
        await self.viewers.pace(self.viewer)  # what comes meanwhile stays in the socket
        # One that was just refused, or has ended, may not have been tidied up yet: it is asked for anew.
        if (before := self._sending.pop(topic, None)) is not None:
            before.cancel()
        elif len(self._sending) >= MOST_TOPICS:
            await self._say(Frame(refused(topic, f"{MOST_TOPICS} topics are the most at once.")))
            return
        self._sending[topic] = asyncio.ensure_future(self._send(topic, ticket))

    def on_close(self) -> None:
        super().on_close()
        if self._entered:
            self._entered = False
            self.viewers.leave(self.viewer, self.way)
        for task in getattr(self, "_sending", {}).values():
            task.cancel()

    async def _send(self, topic: str, ticket: str) -> None:
        try:
            async with Watch(self.hub, self.door({topic: ticket}), (topic,)) as watch:
                while frames := await watch.frames():
                    for frame in frames:
                        # Waits until the socket has taken it: meanwhile changes gather.
                        await self._say(frame)
        finally:
            if self._sending.get(topic) is asyncio.current_task():
                del self._sending[topic]

    async def _say(self, frame: Frame) -> None:
        """One after the other: of what is not read there is one frame, however many topics it looks at."""
        async with self._turn:
            try:
                await asyncio.wait_for(self.write_message(frame.text), STUCK_SECONDS)
            except WebSocketClosedError:
                raise asyncio.CancelledError from None
            except TimeoutError:
                self.drop()
                raise asyncio.CancelledError from None


def _asked(message: str | bytes) -> tuple[str, str, str]:
    """What a page wants, of which topic, and the ticket where it has one. Raises BodyRefused."""
    said = parsed(message.encode() if isinstance(message, str) else message)
    if isinstance(said, dict):
        ticket = said.pop("ticket", "")
        if len(said) == 1 and isinstance(ticket, str):
            [(what, topic)] = said.items()
            if what in ("subscribe", "unsubscribe") and isinstance(topic, str):
                return what, topic, ticket
    raise BodyRefused("A message says `subscribe` or `unsubscribe`, and the topic.")


HANDLERS = [("live", LiveHandler)]
