"""The WebSocket of live views: a page subscribes to topics, and gets a snapshot of each and then its changes.

The page says `{"subscribe": topic}` or `{"unsubscribe": topic}`; it gets the topics' frames (`workbench.runs.topics`),
and `{"topic", "error"}` where it asked for what there is not, or not now.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from workbench.contract.errors import WorkbenchError
from workbench.runs.topics import Mailbox
from workbench.server.bodies import BodyRefused, parsed
from workbench.server.handlers import own_origin
from workbench.server.pool import Busy
from workbench.server.services import Services

__all__ = ["HANDLERS", "LiveHandler"]

MOST_TOPICS = 100
LONGEST = 4_096


class LiveHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    auth_resource = "workbench:live"

    @property
    def services(self) -> Services:
        found: Services = self.settings["workbench_services"]
        return found

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
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self._sending: dict[str, asyncio.Task[None]] = {}

    async def on_message(self, message: str | bytes) -> None:
        try:
            said = parsed(message.encode() if isinstance(message, str) else message)
            (what, topic), *others = said.items()
            if others or what not in ("subscribe", "unsubscribe") or not isinstance(topic, str):
                raise BodyRefused("A message says `subscribe` or `unsubscribe`, and the topic.")
        except (BodyRefused, AttributeError, ValueError) as why:
            self.close(1007, str(why)[:100])
            return
        if what == "unsubscribe":
            if (task := self._sending.pop(topic, None)) is not None:
                task.cancel()
        elif topic not in self._sending:
            if len(self._sending) >= MOST_TOPICS:
                await self._say({"topic": topic[:200], "error": f"{MOST_TOPICS} topics are the most at once."})
                return
            self._sending[topic] = asyncio.ensure_future(self._send(topic))

    def on_close(self) -> None:
        super().on_close()
        for task in getattr(self, "_sending", {}).values():
            task.cancel()

    async def _send(self, topic: str) -> None:
        some, mailbox = asyncio.Event(), None
        try:
            mailbox = await self.services.hub.subscribe(topic, some.set)
            await self._forward(mailbox, some)
        except (WorkbenchError, Busy) as error:
            await self._say({"topic": topic[:200], "error": str(error)})
        finally:
            if mailbox is not None:
                mailbox.close()
            if self._sending.get(topic) is asyncio.current_task():
                del self._sending[topic]

    async def _forward(self, mailbox: Mailbox, some: asyncio.Event) -> None:
        some.set()
        while True:
            await some.wait()
            some.clear()
            for frame in mailbox.take():
                # Waits until the socket has taken it: meanwhile changes gather, and what does not fit is a snapshot.
                await self._say(frame)
                if "end" in frame:
                    return

    async def _say(self, value: dict[str, Any]) -> None:
        try:
            await self.write_message(json.dumps(value))
        except WebSocketClosedError:
            raise asyncio.CancelledError from None


HANDLERS = [("live", LiveHandler)]
