"""The handler of a webhook, apart for what it loads."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from tornado import httpserver, iostream, web

from workbench.streams import webhook
from workbench.streams.webhook import SIGNATURE, UNKNOWN_SECONDS, Webhook, answer

__all__ = ["Bounded", "Post"]


class Bounded(httpserver.HTTPServer):
    """With so many connections at most."""

    def handle_stream(self, stream: iostream.IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= webhook.CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)


@web.stream_request_body  # so that what is not taken is refused before its body is read
class Post(web.RequestHandler):
    def initialize(self, hook: Webhook) -> None:
        self._hook, self._body, self._began = hook, bytearray(), False
        self._known = True

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        headers, request = self.request.headers, self.request
        if (refused := self._hook.refusal(headers, str(request.method), request.path)) is not None:
            if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
                self.set_header("Connection", "close")  # what follows is not read
            self._say(*refused)
            return
        self._known = SIGNATURE not in headers
        self._hook.began(self._known)
        self._began = True
        if not self._known:
            connection: Any = request.connection
            connection.set_body_timeout(UNKNOWN_SECONDS)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._body += chunk  # the connection ends one that is too large
        return None

    async def post(self) -> None:
        body = bytes(self._body)
        fits = self._hook.fits(self.request.headers, body)
        self._identified(fits)
        if not fits:
            self._say(401, "the signature is not that of the body")
            return
        self._say(*await self._hook.take(body))

    def _say(self, status: int, text: str) -> None:
        self.set_status(status)
        if status in (429, 503):
            self.set_header("Retry-After", "1")
        self.finish(answer(text))

    def on_finish(self) -> None:
        self._end()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._end()

    def _identified(self, fits: bool) -> None:
        if not self._known:
            self._known = True
            self._hook.identified(fits)

    def _end(self) -> None:
        self._identified(False)
        if self._began:
            self._began = False
            self._hook.ended()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(answer(self._reason))
