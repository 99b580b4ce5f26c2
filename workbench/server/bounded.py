"""The viewer's HTTP server: with so many connections at most, so that who knows no link keeps nobody out who does."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable
from typing import Any

from tornado import httpserver, httputil, iostream

__all__ = ["BODY_SECONDS", "IDLE_SECONDS", "LARGEST", "LARGEST_MESSAGE", "BoundedServer", "is_known", "room"]

CONNECTIONS = 1_500
"""Open at once besides WebSockets, which are counted where they are made."""
IDLE_SECONDS, BODY_SECONDS = 60.0, 20.0
"""For a connection that asks nothing, or is not done with what it asks; and for a body."""
LARGEST, LARGEST_MESSAGE = 64 << 10, 16 << 20
"""Bytes of a body, which is a form with a password at most, and of a message to a page's kernel."""


def room() -> int:
    """So many connections, and no more than a third of the files that the process may have open: kernels need some."""
    if sys.platform == "win32":
        return CONNECTIONS
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(16, min(CONNECTIONS, files // 3))


def is_known(request: httputil.HTTPServerRequest) -> None:
    """Who asks has logged in: what they have asked for is not cut off."""
    stream = getattr(request.connection, "stream", None)
    if stream is not None:
        stream.workbench_known = True


class _Open:
    def __init__(self, stream: iostream.IOStream) -> None:
        self.stream, self.busy, self.since = stream, False, time.monotonic()


class BoundedServer(httpserver.HTTPServer):
    """When it is full the connection that asks nothing for the longest time makes room for a new one, and where all
    ask something, the one that is not known for the longest time."""

    _open: dict[Any, _Open]
    most: int

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._open, self.most = {}, room()

    def handle_stream(self, stream: iostream.IOStream, address: tuple[Any, ...]) -> None:
        if len(self._open) >= self.most and not self._make_room():
            stream.close()
            return
        before = set(self._connections)
        super().handle_stream(stream, address)
        for connection in self._connections - before:
            self._open[connection] = _Open(stream)

    def _make_room(self) -> bool:
        def may_go(one: _Open) -> bool:
            return not (one.busy and getattr(one.stream, "workbench_known", False))

        going = [(one.busy, one.since, id(one), key) for key, one in self._open.items() if may_go(one)]
        if not going:
            return False
        self._open.pop(min(going)[-1]).stream.close()  # the rest of it goes a turn later
        return True

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> _Noting:
        self.asks(server_conn, False)
        return _Noting(super().start_request(server_conn, request_conn), self, server_conn)

    def asks(self, server_conn: object, busy: bool) -> None:
        found = self._open.get(server_conn)
        if found is not None:
            found.busy, found.since = busy, time.monotonic()

    def on_close(self, server_conn: object) -> None:
        self._open.pop(server_conn, None)
        super().on_close(server_conn)


class _Noting(httputil.HTTPMessageDelegate):
    """A request is one when all of it is there."""

    def __init__(self, to: httputil.HTTPMessageDelegate, server: BoundedServer, server_conn: object) -> None:
        self._to, self._server, self._conn = to, server, server_conn

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        return self._to.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._to.data_received(chunk)

    def finish(self) -> None:
        self._server.asks(self._conn, True)
        self._to.finish()

    def on_connection_close(self) -> None:
        self._to.on_connection_close()
