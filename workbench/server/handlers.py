"""What every handler of ours is: known to the user, allowed by name, small in what it takes, and never in the way of
the server's event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jupyter_server.base.handlers import APIHandler
from tornado import web

from workbench.contract.errors import (
    Cancelled,
    DocumentError,
    LimitExceeded,
    NotReplaced,
    SourceError,
    SourceTimeout,
    SqlSyntaxError,
    UnknownName,
    UsageError,
    WorkbenchError,
)
from workbench.server.bodies import LARGEST, BodyRefused, parsed, query_names, validated
from workbench.server.pool import Busy, Places

if TYPE_CHECKING:
    from workbench.server.services import Services

__all__ = ["Handler", "NothingHere", "own_origin", "status_of"]

Made = TypeVar("Made")
ARROW = "application/vnd.apache.arrow.stream"
JUPYTERS = ("token", "_xsrf")
"""Parameters that Jupyter reads, at any address."""
SECONDS = 120.0
"""So long a request waits for its source."""


@web.stream_request_body  # so that `prepare` decides before a body is taken in
class Handler(APIHandler):
    """Verbs are wrapped in `@web.authenticated` and `@authorized`; `auth_resource` is what is asked of the authoriser.
    Answers are never stored on the way."""

    auth_resource = "workbench"

    @property
    def services(self) -> Services:
        """The user's connections and runs, shared by all handlers."""
        found: Services = self.settings["workbench_services"]
        return found

    def initialize(self, path: str = "") -> None:
        """`path` is the handler's own, as the description writes it."""
        self._path, self._chunks = path, list[bytes]()

    async def prepare(self, **options: Any) -> None:
        connection: Any = self.request.connection
        connection.set_max_body_size(LARGEST)  # of this request
        if not own_origin(self):
            raise web.HTTPError(403, "Requests from pages of another origin are refused")
        await super().prepare(**options)
        if self._finished or self.request.method == "OPTIONS":
            return
        if self.current_user is None:
            raise web.HTTPError(403, "Log in first")  # also for a verb that there is not
        self.services.prepare()
        self._check_query()
        length = self.request.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal() and len(length) < 12 and int(length) <= LARGEST):
            self.set_header("Connection", "close")
            raise web.HTTPError(413, f"A body has {LARGEST:,} bytes at most")

    def _check_query(self) -> None:
        """Nothing is asked for in vain: a name that is not described is an error, not ignored."""
        known = query_names(self._path, str(self.request.method))
        for name, values in self.request.query_arguments.items():
            clock = name.isdecimal() and values == [b""]  # JupyterLab's, so that no cache answers
            if name not in known and name not in JUPYTERS and not clock:
                there = f"known are {', '.join(known)}" if known else "none is taken"
                shown = name.encode("latin-1", "replace").decode("utf-8", "replace")[:100]  # as tornado hands it on
                raise web.HTTPError(400, f"There is no parameter `{shown}` at this address: {there}")

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)  # the connection ends one that is too large

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    asking: tuple[str, ...] = ("GET",)
    """Verbs that change nothing: when whoever asked leaves, nobody waits for the answer any more."""
    left = False
    """Whether whoever asked has gone away."""
    _waits: asyncio.Future[Any] | None = None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.left = True
        if self._waits is not None and self.request.method in self.asking:
            self._waits.cancel()

    async def blocking(
        self, work: Callable[[], Made], source: str = "", begun: bool = False, among: Places = "sources"
    ) -> Made:
        """Runs what may wait for a disk, or for the connection `source`, in a thread, and gives what it gives; see
        `Pool.run`. Raises SourceTimeout after two minutes; the work itself goes on, and keeps its place among those of
        its source."""
        self._waits = waits = asyncio.ensure_future(self.services.blocking(work, source, begun, among))
        try:
            async with asyncio.timeout(SECONDS):
                return await waits
        except TimeoutError:
            raise SourceTimeout("The answer", SECONDS, source) from None
        except asyncio.CancelledError:
            if self.left:
                raise web.Finish from None  # nobody reads an answer
            raise

    def body(self, schema: str) -> dict[str, Any]:
        """The request's body, which is what the description calls `schema`."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise web.HTTPError(415, "The body must be of Content-Type application/json")
        try:
            return validated(parsed(b"".join(self._chunks)), schema)
        except BodyRefused as why:
            raise web.HTTPError(400, str(why)) from None

    def text(self, name: str, most: int = 1_000) -> str | None:
        """A text of the query string; None where it is not given."""
        # not by get_query_arguments, for which control characters are blanks: tables may have them in their names
        found = [self.decode_argument(value, name=name) for value in self.request.query_arguments.get(name, [])]
        if len(found) > 1 or (found and (len(found[0]) > most or "\0" in found[0])):
            raise web.HTTPError(400, f"`{name}` must be given once, with {most:,} characters at most")
        return found[0] if found else None

    def number(self, name: str, default: int, most: int, least: int = 0) -> int:
        """A whole number of the query string."""
        given = self.text(name, 20)
        if given is None:
            return default
        if not (given.isascii() and given.isdecimal() and least <= int(given) <= most):
            raise web.HTTPError(400, f"`{name}` must be a whole number from {least} to {most:,}")
        return int(given)

    def answer(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(json.dumps(value, allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A problem as JSON: `type`, `message`, and the place in the statement where there is one."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem: dict[str, Any] = {"type": "Error", "message": self._reason}
        if isinstance(error, WorkbenchError):
            problem = {"type": type(error).__name__, "message": str(error)}
            if isinstance(error, NotReplaced):
                problem["message"] = error.said
            if isinstance(error, SqlSyntaxError):
                problem |= {"line": error.line, "column": error.column}
        elif isinstance(error, Busy):
            problem = {"type": "Busy", "message": str(error)}
        elif isinstance(error, web.HTTPError) and error.log_message:
            problem["message"] = error.log_message.replace("%%", "%")
        elif not isinstance(error, web.HTTPError):
            problem["message"] = "The server has failed; its log says how."
        self.finish(json.dumps(problem))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, WorkbenchError):
            status_code = status_of(error)
        elif isinstance(error, Busy):
            status_code = 503
        if not self._headers_written:
            super().send_error(status_code, **kwargs)
        elif not self._finished:  # an end that is no end: half an answer must not pass for a whole one
            self.set_status(status_code)
            connection: Any = self.request.connection
            connection.close()
            self.finish()

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        """Without the query string, which may hold the token. What a person is told about their own request is no
        news."""
        if self._headers_written and isinstance(error, (WorkbenchError, Busy)):
            self.log.warning("workbench: %s has failed midway: %s", self._request_summary(), error)
        elif isinstance(error, web.HTTPError):
            self.log.debug("workbench: %d for %s", error.status_code, self._request_summary())
        elif not isinstance(error, (WorkbenchError, Busy)):
            self.log.error("workbench: %s has failed", self._request_summary(), exc_info=(kind, error, traceback))

    def _request_summary(self) -> str:
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"


class NothingHere(Handler):
    """Every other address of ours: in JSON, where Jupyter's page would repeat the address."""

    async def prepare(self, **options: Any) -> None:
        await super().prepare(**options)
        if not self._finished:
            raise web.HTTPError(404, "There is nothing at this address")


def status_of(error: WorkbenchError) -> int:
    """The HTTP status that says whose turn it is."""
    if isinstance(error, UnknownName):
        return 404
    if isinstance(error, DocumentError):
        return 500
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, SourceError):
        return 504 if isinstance(error, SourceTimeout) else 502
    if isinstance(error, Cancelled):
        return 409
    return 413 if isinstance(error, LimitExceeded) else 500


def own_origin(handler: Any) -> bool:
    """Whether a page of this very server asks, or no page at all: scheme, host and port, not only a name that looks
    alike. Where the administrator allows other origins, that holds, too."""
    origin, sent = handler.request.headers.get("Origin"), handler.request.headers
    if sent.get("Sec-Fetch-Mode") == "no-cors":
        return False  # a script, an image: no page of ours asks so
    if origin is None:
        return sent.get("Sec-Fetch-Site") not in ("cross-site", "same-site")
    try:
        if handler.allow_origin or handler.allow_origin_pat:
            return bool(handler.check_origin(origin))
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.netloc.lower() == handler.request.host.lower() and parts.scheme in ("http", "https")
