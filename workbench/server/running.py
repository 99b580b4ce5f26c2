"""What runs for this user, in any process, and what has run; and stopping it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.contract.errors import SourceTimeout, UsageError
from workbench.execution.stop import PATIENCE, POLL_SECONDS, WORKING, Stopped, cancel, settled
from workbench.runs import NativeWork, RunInfo, subscriber
from workbench.server.described import described
from workbench.server.handlers import Handler

__all__ = ["HANDLERS"]

MOST = 1_000
ANSWERING, STARTING = 5.0, 60.0
"""Seconds that an engine has to do what it is asked."""


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
        """Stop: the owner is asked; what it does not end, is ended at its source, each in that source's place, so that
        one that does not answer holds up no other Stop."""
        register = self.services.register
        before = await self.blocking(lambda: register.get(run))
        if not before.active:
            self.answer(_stopped(Stopped(before, "over")))
            return
        await self.blocking(lambda: register.request_stop(run))
        until = time.monotonic() + PATIENCE
        while (now := await self.blocking(lambda: register.get(run))).state in WORKING and time.monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
        natives = now.natives if now.state in (*WORKING, "lost") else ()
        failures = await asyncio.gather(*(self._cancelled(native) for native in natives))
        tried = list(zip(natives, failures, strict=True))
        self.answer(_stopped(await self.blocking(lambda: settled(register, now, tried))))

    async def _cancelled(self, native: NativeWork) -> str:
        opener = self.services.catalog.open
        try:
            where = f"Stop at {native.connection}"
            return await self.blocking(lambda: cancel(opener, native), where, begun=True, among="stops")
        except SourceTimeout as error:
            return f"{native.connection} {native.native_id}: {error}"


class ControlHandler(_Runs):
    """What a run takes besides Stop: asked of its engine, so that a kernel's busy cell does not hold it up."""

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        body = self.body("Control")
        what = f"{body['what']} {body['speed']}" if "speed" in body else body["what"]
        register = self.services.register
        engine = await self.blocking(lambda: register.engine(run))
        if engine is None:
            raise UsageError(f"Run {run} takes nothing but Stop.")
        following = await subscriber.ask(engine, run, what, STARTING if body["what"] == "replay" else ANSWERING)
        self.answer(described(await self.blocking(lambda: register.get(following))))


class HistoryHandler(_Runs):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        register, search = self.services.register, self.text("search", 200) or ""
        limit = self.number("limit", 100, MOST, 1)
        runs = await self.blocking(lambda: register.history(limit, search))
        self.answer({"history": [_past(one) for one in runs]})


HANDLERS = [
    ("runs", RunsHandler),
    ("runs/{run}", RunHandler),
    ("runs/{run}/control", ControlHandler),
    ("history", HistoryHandler),
]


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
