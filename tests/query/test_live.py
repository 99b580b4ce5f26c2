"""A query that takes a while can be watched from outside: rows as they come, and how it ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.query.support import World, eventually
from workbench.contract.errors import Cancelled, SourceError
from workbench.query.result import Result
from workbench.runs.subscriber import frames
from workbench.runs.topics import Frame


def _watched(world: World, result: Result, rows: int, act: Callable[[], object]) -> list[Frame]:
    """All frames of the result's run; `act` when so many rows were seen."""
    eventually(lambda: result._execution is not None and result._execution.run is not None)
    assert result._execution is not None
    run = result._execution.run
    assert run is not None
    eventually(lambda: world.register.engine(run.id) is not None)
    engine = world.register.engine(run.id)
    assert engine is not None

    async def watch() -> list[Frame]:
        seen: list[Frame] = []
        async for frame in frames(engine, f"runs/{run.id}/progress"):
            before = _state(seen).get("rows", -1)
            seen.append(frame)
            if before < rows <= _state(seen).get("rows", -1):
                act()
        return seen

    return asyncio.run(asyncio.wait_for(watch(), 20))


def _state(seen: list[Frame]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for frame in seen:
        state.update(frame.get("snapshot", {}))
        state.update(frame.get("change", {}))
    return state


@pytest.fixture
def orders(world: World) -> World:
    world.put("orders", {"id": range(1_000), "total": [number * 0.5 for number in range(1_000)]})
    world.catalog.add("held", world.source, orders={"hold_after": 2, "splits": 1, "batch_rows": 100})
    world.catalog.add("slow", world.source, orders={"pause": 0.1, "splits": 1, "batch_rows": 100})
    return world


def _started(world: World, connection: str) -> Result:
    result = world.session.sql(f"select id, total from {connection}.orders").start()
    # Somebody waits for it, as a cell does: its ticks tell the progress while no batch comes.

    def wait() -> None:
        try:
            result.wait()
        except (Cancelled, SourceError):
            return

    threading.Thread(target=wait, daemon=True).start()
    return result


def test_a_query_is_seen_running_and_stopped(orders: World) -> None:
    result = _started(orders, "held")
    seen = _watched(orders, result, 200, result.cancel)
    first = seen[0]["snapshot"]
    assert (first["state"], first["title"]) == ("running", "select id, total from held.orders")
    state = _state(seen)
    assert state["sources"] == [{"connection": "held", "table": "orders", "moved": 200, "kept": 200}]
    assert "end" in seen[-1]
    assert state["state"] == "stopped"


def test_a_query_is_seen_to_its_end(orders: World) -> None:
    result = _started(orders, "slow")
    seen = _watched(orders, result, 0, lambda: None)
    assert (_state(seen)["state"], _state(seen)["rows"]) == ("done", 1_000)
    assert len(result) == 1_000


def test_what_is_over_at_once_publishes_nothing(orders: World) -> None:
    orders.catalog.add("quick", orders.source)
    result = orders.session.sql("select count(*) from quick.orders")
    assert result.arrow().num_rows == 1
    assert result._execution is not None
    assert result._execution.run is not None
    result._execution.wait_closed()
    assert orders.register.engine(result._execution.run.id) is None
