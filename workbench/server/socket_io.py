"""The topics over Socket.IO, for pages that speak it; where `python-socketio` is installed (the extra `socketio`).

A thin adapter: a client that has connected, by WebSocket alone, emits `subscribe` with a topic, or with `{"topic",
"ticket", "cursor"}`, and `unsubscribe` with a topic; it gets `frame` events, the frames that the WebSocket tells. Each
is acknowledged: the next one is sent then, and what is new meanwhile goes as one change, so that a client that is slow
costs nobody anything. One that acknowledges nothing for long is dropped.

What comes from outside is looked at before the library sees it: its size, that it is one of the few packets that there
are, and that its JSON is sound.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.websocket import WebSocketHandler

from workbench.runs.topics import Frame
from workbench.server.bodies import BodyRefused, parsed
from workbench.server.handlers import own_origin
from workbench.server.looking import STUCK_SECONDS, Looks
from workbench.server.watching import MOST_TOPICS, Watch

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PATH", "SocketIO", "there"]

_log = logging.getLogger(__name__)
PATH = "socket.io/"
LONGEST = 4_096
"""Characters of a packet that comes."""
WAITING = 16
"""Packets that have come and are not looked at yet."""
PING_SECONDS, PONG_SECONDS = 25, 20
_PACKET = re.compile(r"3(?:probe)?|1|4([0-3])(\d{0,9})([\[{].*)?", re.DOTALL)
_ASKS = ("subscribe", "unsubscribe")


def there() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("socketio") is not None


class _Quiet(logging.Logger):
    """The library tells each packet, and logs with a traceback what we refuse; our own errors are ours to log."""

    def __init__(self) -> None:
        super().__init__("workbench.socketio", logging.CRITICAL)


class _Json:
    """How the library writes: a frame as it is told on every way, made once for all viewers."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], Frame):
            return f"[{json.dumps(value[0])},{value[1].text}]"
        return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def loads(text: str) -> Any:
        return parsed(text.encode())


class _Client:
    """One that is connected."""

    def __init__(self, adapter: SocketIO, sid: str, handler: Any) -> None:
        self._adapter, self._sid, self._handler = adapter, sid, handler
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def subscribe(self, topic: str, ticket: str, cursor: str) -> str:
        """Why it cannot be had, or nothing."""
        if topic not in self._sending:
            if len(self._sending) >= MOST_TOPICS:
                return f"{MOST_TOPICS} topics are the most at once."
            self._sending[topic] = self._adapter.begun(self._send, topic, ticket, cursor)
        return ""

    async def pace(self) -> None:
        await self._handler.viewers.pace(self._handler.viewer)

    def unsubscribe(self, topic: str) -> None:
        if (task := self._sending.pop(topic, None)) is not None:
            task.cancel()

    def close(self) -> None:
        for task in self._sending.values():
            task.cancel()

    async def _send(self, topic: str, ticket: str, cursor: str) -> None:
        handler = self._handler
        try:
            async with Watch(handler.hub, handler.door({topic: ticket}), (topic,), (cursor,)) as watch:
                while frames := await watch.frames():
                    for frame in frames:
                        await self._say(frame)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  # nobody awaits this task, and the other topics go on
            _log.exception("Topic %s could not be told over Socket.IO", topic)
        finally:
            if self._sending.get(topic) is asyncio.current_task():
                del self._sending[topic]

    async def _say(self, frame: Frame) -> None:
        """One after the other: of what a client has not acknowledged there is one frame, whatever it looks at."""
        async with self._turn:
            taken = asyncio.Event()
            await self._adapter.server.emit("frame", frame, to=self._sid, callback=lambda *_: taken.set())
            try:
                await asyncio.wait_for(taken.wait(), STUCK_SECONDS)
            except TimeoutError:
                self._handler.drop()
                raise asyncio.CancelledError from None


class SocketIO:
    """For one server, and its event loop. `looks` is what its other ways of live topics have in common."""

    def __init__(self, looks: type[Looks], auth_resource: str) -> None:
        import socketio
        from socketio.packet import Packet

        class OurPacket(Packet):  # type: ignore[misc]
            json = _Json

        self.server = socketio.AsyncServer(
            async_mode="tornado",
            serializer=OurPacket,
            transports=["websocket"],  # another way of polling needs a POST, and there is one by now
            cors_allowed_origins=[],  # asked by the handler, which knows whose page it is
            allow_upgrades=False,
            async_handlers=False,
            monitor_clients=False,
            max_http_buffer_size=LONGEST,
            http_compression=False,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            logger=_Quiet(),
            engineio_logger=_Quiet(),
            always_connect=False,
        )
        self._clients: dict[str, _Client] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.server.eio.start_background_task = self.begun
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        self.server.on("subscribe", self._subscribe)
        self.server.on("unsubscribe", self._unsubscribe)
        self.handler = _handler(socketio, self, looks, auth_resource)

    def begun(self, target: Any, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Begins a task that ends with the server, at the latest. Of the library's own some would be left behind."""
        task = asyncio.get_running_loop().create_task(target(*args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        self._clients[sid] = _Client(self, sid, environ["tornado.handler"])

    async def _disconnect(self, sid: str, *_: Any) -> None:
        if (client := self._clients.pop(sid, None)) is not None:
            client.close()

    async def _subscribe(self, sid: str, asked: Any = None, *_: Any) -> dict[str, Any]:
        """The answer is for those who ask for one."""
        said = {"topic": asked} if isinstance(asked, str) else asked
        known = isinstance(said, dict) and said.keys() <= {"topic", "ticket", "cursor"}
        if (
            not known
            or not isinstance(said.get("topic"), str)
            or not all(isinstance(one, str) for one in said.values())
        ):
            return {"error": "Say a topic, or `topic`, `ticket` and `cursor`."}
        client = self._clients.get(sid)
        if client is not None:
            await client.pace()  # what comes meanwhile stays in the socket
        why = "" if client is None else client.subscribe(said["topic"], said.get("ticket", ""), said.get("cursor", ""))
        return {"topic": said["topic"], **({"error": why} if why else {})}

    async def _unsubscribe(self, sid: str, topic: Any = None, *_: Any) -> dict[str, Any]:
        if not isinstance(topic, str):
            return {"error": "Say a topic."}
        if (client := self._clients.get(sid)) is not None:
            client.unsubscribe(topic)
        return {"topic": topic}


def _handler(socketio: ModuleType, adapter: SocketIO, looks: type[Looks], resource: str) -> type[WebSocketHandler]:
    base: Any = socketio.get_tornado_handler(adapter.server)

    class Handler(looks, base, JupyterHandler):  # type: ignore[misc, valid-type]
        """The library's own, behind the locks of every handler of ours."""

        auth_resource, way = resource, "socketio"
        SUPPORTED_METHODS = ("GET",)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.receive_queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
            self._entered = self._connected = False

        async def prepare(self, **options: Any) -> None:
            await super().prepare(**{**options, "_redirect_to_login": False})

        @property
        def max_message_size(self) -> int:
            return LONGEST

        def get_compression_options(self) -> dict[str, Any] | None:
            return None

        def check_origin(self, origin_to_satisfy_tornado: str = "") -> bool:
            return own_origin(self)

        @ws_authenticated
        async def get(self, *args: Any, **kwargs: Any) -> None:
            allowed = self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
            if asyncio.iscoroutine(allowed):
                allowed = await allowed
            if not allowed or not own_origin(self):
                raise web.HTTPError(403)
            asked = {name: self.get_query_argument(name, "") for name in ("transport", "EIO", "sid", "j")}
            upgrades = self.request.headers.get("Upgrade", "").lower() == "websocket"
            if asked != {"transport": "websocket", "EIO": "4", "sid": "", "j": ""} or not upgrades:
                raise web.HTTPError(400, "Say transports: ['websocket']; for polling there is live/poll")
            self.viewers.check(self.viewer)
            given: Any = super().get(*args, **kwargs)
            await given

        async def open(self, *args: Any, **kwargs: Any) -> None:
            self.viewers.enter(self.viewer, self.way)
            self._entered = True
            adapter.begun(adapter.server.handle_request, self)

        async def on_message(self, message: str | bytes) -> None:
            if self._fits(message):
                await super().on_message(message)  # waits while others wait: what comes then stays in the socket
            else:
                self.close(1007, "This is no packet that is taken here")

        def _fits(self, message: str | bytes) -> bool:
            found = _PACKET.fullmatch(message) if isinstance(message, str) else None
            if found is None or found[1] is None:
                return found is not None
            kind, number, data = found.groups()
            first, self._connected = not self._connected, True
            if (kind == "0") != first or (number and kind not in "23"):
                return False  # it connects once, and at first
            try:
                value = parsed(data.encode()) if data else None
            except (BodyRefused, UnicodeEncodeError):
                return False
            if kind in "01":
                return value is None or (kind == "0" and isinstance(value, dict))
            return isinstance(value, list) and (kind == "3" or (bool(value) and value[0] in _ASKS))

        def on_close(self) -> None:
            if self._entered:
                self._entered = False
                self.viewers.leave(self.viewer, self.way)
            if self.receive_queue.full():
                self.receive_queue.get_nowait()  # there must be room for the word that it is over
            super().on_close()

    return Handler
