"""Servers that never answer, while other things are to be done."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.conftest import Ask
from tests.server.test_connections import lake
from tests.server.test_pool import until
from workbench.server.pool import OWN
from workbench.server.services import Services

__all__ = ["lake"]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing; until it is closed, which resets them."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server


def _mute(server: socket.socket, name: str) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": server.getsockname()[1], "user": "u", "connect_timeout": 300}
    return {"name": name, "connector": "mysql", "parameters": where}


async def test_changes_that_wait_for_a_server_hold_up_nothing_else(
    ask: Ask, lake: dict[str, Any], silent: socket.socket, services: Services
) -> None:
    names = [f"c{number}" for number in range(OWN - 1)]
    for name in names:
        await ask("POST", "connections", {**lake, "name": name})
    saving = [asyncio.ensure_future(ask("PUT", f"connections/{name}", _mute(silent, name))) for name in names]
    removing = asyncio.ensure_future(ask("DELETE", f"connections/{names[0]}"))
    await until(lambda: services.pool._running + sum(services.pool._waiting.values()) == OWN)
    for path in ("runs", "history", "connections"):
        await asyncio.wait_for(ask("GET", path), 3)
    silent.close()
    await asyncio.gather(*saving, removing, return_exceptions=True)
    assert services.catalog.names() == names[1:]


async def test_many_stops_at_a_server_that_does_not_answer_hold_up_nothing_else(
    ask: Ask, silent: socket.socket, services: Services
) -> None:
    await ask("POST", "connections", _mute(silent, "mute"))
    runs = [services.register.begin("query", "q", connections=["mute"]) for _ in range(OWN + 1)]
    for number, run in enumerate(runs):
        run.native_started("mute", f"{number}:mark")
    stops = [asyncio.ensure_future(ask("DELETE", f"runs/{run.id}")) for run in runs]
    await until(lambda: services.pool._waiting.get("Stop at mute", 0) >= 1)
    assert {info.state for info in services.register.runs()} == {"stopping"}  # each was asked
    assert len((await asyncio.wait_for(ask("GET", "runs"), 3))["runs"]) == len(runs)
    silent.close()
    for stopped in await asyncio.gather(*stops):
        assert stopped["by"] == "us"
        assert "mute" in stopped["failures"][0]
    for run in runs:
        run.finish("failed", "over")
