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
    SourceError,
    SqlSyntaxError,
    UnknownName,
    UsageError,
    WorkbenchError,
)
from workbench.server.bodies import BodyRefused, parsed, validated

if TYPE_CHECKING:
    from workbench.server.services import Services

__all__ = ["Handler", "own_origin", "status_of"]

Made = TypeVar("Made")
ARROW = "application/vnd.apache.arrow.stream"


class Handler(APIHandler):
    """Verbs are wrapped in `@web.authenticated` and `@authorized`; `auth_resource` is what is asked of the authoriser.
    Answers are never stored on the way."""

    auth_resource = "workbench"

    @property
    def services(self) -> Services:
        """The user's connections and runs, shared by all handlers."""
        found: Services = self.settings["workbench_services"]
        return found

    async def prepare(self, **options: Any) -> None:
        await super().prepare(**options)
        if not own_origin(self):
            raise web.HTTPError(403, "Requests from pages of another origin are refused")

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def blocking(self, work: Callable[[], Made]) -> Made:
        """Runs what may wait for a disk or a source in a thread, and gives what it gives."""
        return await asyncio.get_running_loop().run_in_executor(self.services.pool, work)

    def body(self, schema: str) -> dict[str, Any]:
        """The request's body, which is what the description calls `schema`."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise web.HTTPError(415, "The body must be of Content-Type application/json")
        try:
            return validated(parsed(self.request.body), schema)
        except BodyRefused as why:
            raise web.HTTPError(400, str(why).replace("%", "%%")) from None

    def text(self, name: str, most: int = 1_000) -> str | None:
        """A text of the query string; None where it is not given."""
        found = self.get_query_arguments(name, strip=False)
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
            if isinstance(error, SqlSyntaxError):
                problem |= {"line": error.line, "column": error.column}
        elif isinstance(error, web.HTTPError) and error.log_message:
            problem["message"] = error.log_message.replace("%%", "%")
        elif not isinstance(error, web.HTTPError):
            problem["message"] = "The server has failed; its log says how."
        self.finish(json.dumps(problem))

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        if not isinstance(error, WorkbenchError):  # what a person is told about their own request is no news
            super().log_exception(kind, error, traceback)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(status_of(error) if isinstance(error, WorkbenchError) else status_code, **kwargs)


def status_of(error: WorkbenchError) -> int:
    """The HTTP status that says whose turn it is."""
    if isinstance(error, UnknownName):
        return 404
    if isinstance(error, DocumentError):
        return 500
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, SourceError):
        return 502
    if isinstance(error, Cancelled):
        return 409
    return 413 if isinstance(error, LimitExceeded) else 500


def own_origin(handler: Any) -> bool:
    """Whether a page of this very server asks, or no page at all: scheme, host and port, not only a name that looks
    alike. Where the administrator allows other origins, that holds, too."""
    origin = handler.request.headers.get("Origin")
    if origin is None:
        return handler.request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")
    if handler.allow_origin or handler.allow_origin_pat:
        return bool(handler.check_origin(origin))
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.netloc.lower() == handler.request.host.lower() and parts.scheme in ("http", "https")
