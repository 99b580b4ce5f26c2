"""What runs for this user, in any process, and what has run; and stopping it."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.execution.stop import Stopped, stop
from workbench.runs import RunInfo
from workbench.server.described import described
from workbench.server.handlers import Handler

__all__ = ["HANDLERS"]

MOST = 1_000


class _Runs(Handler):
    auth_resource = "workbench:runs"


class RunsHandler(_Runs):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        register, active = self.services.register, self.text("active") != "false"
        limit = self.number("limit", 200, MOST, 1)
        runs = await self.blocking(lambda: register.runs(active=active, limit=limit))
        self.answer({"runs": [described(one) for one in runs]})


class RunHandler(_Runs):
    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        register = self.services.register
        self.answer(described(await self.blocking(lambda: register.get(run))))

    @web.authenticated
    @authorized
    async def delete(self, run: str) -> None:
        """Stop: the owner is asked; what it does not end, is ended at its source."""
        services = self.services
        stopped = await self.blocking(lambda: stop(services.register, services.catalog, run))
        self.answer(_stopped(stopped))


class HistoryHandler(_Runs):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        register, search = self.services.register, self.text("search", 200) or ""
        limit = self.number("limit", 100, MOST, 1)
        runs = await self.blocking(lambda: register.history(limit, search))
        self.answer({"history": [_past(one) for one in runs]})


HANDLERS = [("runs", RunsHandler), ("runs/{run}", RunHandler), ("history", HistoryHandler)]


def _past(info: RunInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "kind": info.kind,
        "statement": info.statement or info.title,
        "connections": list(info.connections),
        "native": info.connections[0] if info.kind == "native" and info.connections else "",
        "rows": info.rows,
        "seconds": max(0.0, (info.ended or info.started) - info.started),
        "status": info.state,
        "error": info.error,
        "started": info.started,
    }


def _stopped(stopped: Stopped) -> dict[str, Any]:
    return {"run": described(stopped.run), "by": stopped.by, "failures": list(stopped.failures)}
