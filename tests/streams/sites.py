"""A real server on loopback in a thread of its own, which a test tells what to say and when to cut."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

T = TypeVar("T")


class Site:
    """`said` is all that was ever told: a WebSocket gets what is told while it is there, a stream of events what is
    behind its last id. `refuse` is a status that is answered for now, `silent` keeps all to itself."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.there: set[Any] = set()
        self.refuse = 0
        self.silent = False
        self.prefix = ""
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.more = asyncio.Event()

    def address(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def within(self, do: Callable[[], T]) -> T:
        """Does it in the server's thread."""

        async def done() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(60)

    def say(self, *texts: str) -> None:
        def do() -> None:
            self.said += texts
            self.more.set()
            self.more = asyncio.Event()
            for one in list(self.there):
                if isinstance(one, WebSocketHandler):
                    for text in texts:
                        one.write_message(text)

        self.within(do)

    def cut(self) -> None:
        """Every connection, without a word."""

        def do() -> None:
            for one in list(self.there):
                stream = (
                    one.ws_connection.stream if isinstance(one, WebSocketHandler) else one.request.connection.stream
                )
                stream.close()
            self.there.clear()

        self.within(do)


class Socket(WebSocketHandler):
    site: Site

    def initialize(self, site: Site) -> None:
        self.site = site

    def prepare(self) -> None:
        self.site.asked.append(dict(self.request.headers))
        if self.site.refuse:
            self.set_status(self.site.refuse)
            self.finish()

    def open(self, *args: str, **kwargs: str) -> None:
        self.site.there.add(self)

    def on_message(self, message: str | bytes) -> None:
        self.site.heard.append(str(message))

    def on_close(self) -> None:
        self.site.there.discard(self)


class Events(RequestHandler):
    def initialize(self, site: Site) -> None:
        self.site = site

    async def get(self) -> None:
        site = self.site
        site.asked.append(dict(self.request.headers))
        if site.refuse:
            self.set_status(site.refuse)
            return
        site.there.add(self)
        at = int(self.request.headers.get("Last-Event-ID", "0"))
        self.set_header("Content-Type", "text/event-stream")
        try:
            self.write(f"retry: 10\n{site.prefix}\n")
            await self.flush()
            while True:
                for text in site.said[at:] if not site.silent else []:
                    at += 1
                    self.write(f"id: {at}\n{text}\n\n")
                await self.flush()
                await site.more.wait()
        except StreamClosedError:
            pass
        finally:
            site.there.discard(self)


@contextmanager
def site() -> Iterator[Site]:
    made = Site()
    started = threading.Event()

    def serve() -> None:
        asyncio.set_event_loop(made.loop)

        async def begin() -> HTTPServer:
            sockets = bind_sockets(0, "127.0.0.1")
            made.port = sockets[0].getsockname()[1]
            app = Application(
                [("/ws", Socket, {"site": made}), ("/events", Events, {"site": made})], log_function=_quiet
            )
            server = HTTPServer(app)
            server.add_sockets(sockets)
            return server

        server = made.loop.run_until_complete(begin())
        started.set()
        made.loop.run_forever()

        async def finish() -> None:
            server.stop()
            await server.close_all_connections()
            tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        made.loop.run_until_complete(finish())
        made.loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait(60)
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join(60)


def _quiet(handler: RequestHandler) -> None:
    """A refusal is no warning here."""
